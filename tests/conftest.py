"""What several tests share: tiny random models of three architectures, and a word-level tokenizer made on the spot."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no test but the marked ones may reach for a network

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    LlamaConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
)

VOCABULARY = 37
EOS = 3


def tiny_config(architecture: str, vocab_size: int = VOCABULARY):
    """Two layers, grouped queries where the architecture has them."""
    common = dict(vocab_size=vocab_size, bos_token_id=2, eos_token_id=EOS, pad_token_id=0)
    if architecture == "gpt2":
        return GPT2Config(n_layer=2, n_head=4, n_embd=32, n_positions=128, **common)
    rotary = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4)
    rotary |= dict(num_key_value_heads=2, max_position_embeddings=128)
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


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)
