"""The tiny model of this study: a Llama of random weights over 60 words, the same every time.

``python studies/18-ordinary-tasks/tiny_model.py FOLDER``
"""

import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

SPECIAL = {"pad_token": "<pad>", "unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
VOCABULARY = [*SPECIAL.values(), *(f"w{number}" for number in range(60))]
SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}


def model(seed: int = 0) -> LlamaForCausalLM:
    """Two layers of width 32; untrained, every word is about as likely as any other.

    Args:
        seed: Of the weights.

    Returns:
        The model, in float32. Other draws of the process are not disturbed.
    """
    ids = {name.replace("token", "token_id"): VOCABULARY.index(word) for name, word in SPECIAL.items()}
    del ids["unk_token_id"]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(LlamaConfig(vocab_size=len(VOCABULARY), max_position_embeddings=64, **SIZES, **ids))


def tokenizer() -> PreTrainedTokenizerFast:
    """A token a word, w0 to w59."""
    ids = {word: index for index, word in enumerate(VOCABULARY)}
    words = Tokenizer(models.WordLevel(ids, unk_token=SPECIAL["unk_token"]))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=words, padding_side="left", **SPECIAL)


def main(folder: Path) -> None:
    """Write both as a folder that gaard loads."""
    model().save_pretrained(folder)
    tokenizer().save_pretrained(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
