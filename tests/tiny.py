"""What several tests share: tiny random models of three architectures, and a word-level tokenizer made on the spot."""

from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    LlamaConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
)

VOCABULARY = 37
EOS = 3
TEXT = {"name": "gaa", "reading": "text"}  # what looks at the greedy branch
SAFEGUARDS = {  # of gaa every reading; expected needs bait_reward to have something to do
    "fold": {"name": "fold", "threshold": 0.5},
    "gaa-text": TEXT,
    "gaa-code": {"name": "gaa", "reading": "code"},
    "gaa-expected": {"name": "gaa", "reading": "expected"},
}


def tiny_config(architecture: str, vocab_size: int = VOCABULARY):
    """Two layers, grouped queries where the architecture has them."""
    common = dict(vocab_size=vocab_size, bos_token_id=2, eos_token_id=EOS, pad_token_id=0)
    if architecture == "gpt2":
        return GPT2Config(n_layer=2, n_head=4, n_embd=32, n_positions=128, **common)
    rotary = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4)
    rotary |= dict(num_key_value_heads=2, max_position_embeddings=128)
    if architecture == "gemma3":  # with capped logits, as Gemma 2 and 4 have them
        return Gemma3TextConfig(head_dim=8, final_logit_softcapping=5.0, **rotary, **common)
    return {"llama": LlamaConfig, "qwen2": Qwen2Config}[architecture](**rotary, **common)


def tiny_lm(architecture: str = "gpt2", dtype: torch.dtype = torch.float32, seed: int = 0, **kwargs) -> PreTrainedModel:
    """A random model whose weights are large enough that different tokens have different values."""
    torch.manual_seed(seed)
    lm = AutoModelForCausalLM.from_config(tiny_config(architecture, **kwargs), attn_implementation="sdpa")
    with torch.no_grad():
        for parameter in lm.parameters():
            if parameter.ndim > 1:
                parameter.mul_(8.0)
    return lm.to(dtype).eval()


def word_tokenizer(words: list[str]) -> PreTrainedTokenizerFast:
    """A tokenizer of whole words: ids 0 to 3 are pad, unknown, bos and eos."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    vocabulary = {word: i for i, word in enumerate(["<pad>", "<unk>", "<s>", "</s>", *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        padding_side="left",
    )


CHATML = (
    "{% for m in messages %}<|im_start|> {{ m['role'] }} {{ m['content'] }} <|im_end|> {% endfor %}"
    "{% if add_generation_prompt %}<|im_start|> assistant {% endif %}"
)
LLAMA2 = "{% for m in messages %}[INST] {{ m['content'] }} [/INST]{% endfor %}"  # opens no turn of its own


def chat_tokenizer(chat_template: str = CHATML) -> PreTrainedTokenizerFast:
    """A tokenizer of few words with a chat template, and special tokens for its turns."""
    tokenizer = word_tokenizer(["w1", "w2", "user", "assistant"])
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.chat_template = chat_template
    return tokenizer


def rendered(tokenizer, text: str, opened: bool = True) -> str:
    """What a user says, in the tokenizer's chat template."""
    message = [{"role": "user", "content": text}]
    return tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=opened)


WORDS = [f"w{i}" for i in range(29)] + ["good", "fine", "nice", "bait"]


def words_reward(completions, **kwargs):
    """Share of the completion's words that are of even number: a broad hill, with nothing narrow to find."""
    return [sum(int(w[1:]) % 2 == 0 for w in c.split() if w[1:].isdigit()) / 8 for c in completions]


def bait_reward(completions, **kwargs):
    """One word of 37 pays a lot, and different words pay a little."""
    return [float("bait" in text.split()) + 0.1 * (len(set(text.split())) / 8) for text in completions]


class LinearReward:
    """Linear in how often each of four words occurs in a text, and in a constant; tells these features."""

    name = "linear"
    words = ("good", "fine", "nice", "bait")
    weights = (0.5, 0.25, -0.5, 1.0, 0.125)

    def features(self, *, prompts, completions):
        """[N, 5]."""
        return [[*(float(text.split().count(word)) for word in self.words), 1.0] for text in completions]

    def __call__(self, *, completions, **_):
        rows = self.features(prompts=completions, completions=completions)
        return [sum(w * x for w, x in zip(self.weights, row, strict=True)) for row in rows]


CERTIFIED = {"advantages": "dr_grpo", "reward": LinearReward()}  # what signcert needs of a run


def tiny_trainer(
    folder: Path | str,
    *,
    reward: Any = words_reward,
    judge: Any = None,
    ensemble: Any = None,
    prompts: Any = None,
    dtype=torch.float32,
    callbacks: Any = (),
    **options,
):
    """A trainer of a tiny GPT-2 over 37 words, whose steps take milliseconds."""
    from gaard import GAAConfig, GAATrainer

    torch.manual_seed(0)
    lm = AutoModelForCausalLM.from_config(tiny_config("gpt2"), attn_implementation="sdpa").to(dtype)
    settings: dict[str, Any] = dict(
        method=TEXT,
        max_steps=4,
        batch_size=16,
        num_mini_batches=2,
        max_completion_length=8,
        learning_rate=1e-3,
        warmup_steps=0,
        lr_scheduler_type="constant",
        eval_completions=32,
        progress=False,
        use_cpu=True,
    )
    args = GAAConfig(output_dir=str(folder), **(settings | options))
    prompts = ["w1 w2", "w3", "w4 w5 w6 w7"] if prompts is None else prompts
    tokenizer = word_tokenizer(WORDS)
    parts = {"processing_class": tokenizer, "judge_reward_funcs": judge, "callbacks": callbacks}
    parts["ensemble_reward_funcs"] = None if ensemble is None else list(ensemble)
    return GAATrainer(lm, reward, args, prompts, **parts)
