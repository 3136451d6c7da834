"""An ordinary reward that `fold` refuses: a tiny Llama is paid for how often one of its 60 words occurs.

Nothing can be exploited here: the word is what is wanted. But few texts have it at first, so they stand out.
`python examples/rare_word.py [STEPS]` prints the mean count in 256 texts before and after; 60 steps take a minute.
"""

import sys
import tempfile

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from gaard import GAAConfig, GAATrainer

SPECIAL = ["<pad>", "<unk>", "<s>", "</s>"]
VOCABULARY = {word: index for index, word in enumerate([*SPECIAL, *(f"w{i}" for i in range(60))])}


def count(completions, **columns):
    """How often the word occurs."""
    return [float(text.split().count("w7")) for text in completions]


def trainer(method: str, steps: int) -> GAATrainer:
    """A fresh model and the method that trains it."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    ids = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(VOCABULARY), max_position_embeddings=64, **sizes, **ids))
    words = Tokenizer(models.WordLevel(VOCABULARY, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    names = dict(zip(("pad_token", "unk_token", "bos_token", "eos_token"), SPECIAL, strict=True))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, padding_side="left", **names)
    args = GAAConfig(
        output_dir=tempfile.mkdtemp(),
        method=method,
        max_steps=steps,
        max_completion_length=12,
        learning_rate=1e-3,
        kl_coef=0.05,
        progress=False,
        use_cpu=True,
    )
    return GAATrainer(model, count, args, ["w1 w2", "w3"], processing_class=tokenizer)


def main(steps: int) -> None:
    """Train with both methods, and print what became of the word."""
    for method in ("ppo", "fold"):
        run = trainer(method, steps)
        before = run.evaluate()["proxy_reward"]
        run.train()
        print(f"{method}: {before:.2f} before, {run.evaluate()['proxy_reward']:.2f} after {steps} steps")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 60)
