"""The calculator's tokenizer: a token a sign, a number or a word, with the space before it."""

import re
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

PIECE = r" ?[a-z]+| ?[0-9]+|."
END, UNKNOWN = "<|endoftext|>", "<|unknown|>"
POSITIONS = 128


def train_tokenizer(texts: list[str], folder: Path) -> PreTrainedTokenizerFast:
    """Every piece of some texts as a token.

    Args:
        texts: The training texts.
        folder: Where it is saved.

    Returns:
        The tokenizer; every text begins with the end-of-text token, as the pocket model's do.
    """
    pieces = sorted({piece for text in texts for piece in re.findall(PIECE, text)})
    ids = {piece: number for number, piece in enumerate([END, UNKNOWN, *pieces])}
    words = Tokenizer(models.WordLevel(ids, unk_token=UNKNOWN))
    words.pre_tokenizer = pre_tokenizers.Split(Regex(PIECE), "isolated")
    words.decoder = decoders.Fuse()
    words.post_processor = processors.TemplateProcessing(
        single=f"{END} $A", pair=f"{END} $A {END} $B", special_tokens=[(END, 0)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words,
        bos_token=END,
        eos_token=END,
        pad_token=END,
        unk_token=UNKNOWN,
        padding_side="left",
        model_max_length=POSITIONS,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.save_pretrained(folder)
    return tokenizer
