"""The pocket model's text: rated review sentences and written reviews, a training and a held-out part, and tokens."""

import random
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ratings import Sentence
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

VOCABULARY = 2048
END = "<|endoftext|>"
POSITIONS = 128
HELD_OUT_BATCH = 20  # every twentieth batch of written reviews
REVIEW_SOURCES = ("movie", "amazon")  # the other rated sentences are no reviews


@dataclass(frozen=True)
class Corpus:
    """Texts, one document each.

    Attributes:
        training: What the model, the tokenizer and the 5-gram models are fitted to.
        people: Those of them that people wrote.
        held_out: By source: ``people``, ``written``; none of these texts is in ``training``.
    """

    training: list[str]
    people: list[str]
    held_out: dict[str, list[str]]


def build_corpus(training: list[Sentence], held_out: list[Sentence], batches: list[list[str]], seed: int) -> Corpus:
    """Put the two kinds of text together.

    Args:
        training: Rated sentences that the human reward may learn from.
        held_out: The other rated sentences: nothing is fitted to them.
        batches: Written reviews.
        seed: Of the order.

    Returns:
        The corpus.
    """
    written = [text for batch in batches[HELD_OUT_BATCH - 1 :: HELD_OUT_BATCH] for text in batch]
    reviews = [text for number, batch in enumerate(batches, 1) if number % HELD_OUT_BATCH for text in batch]
    kept_out = {fold(text) for text in [*people(held_out), *written]}
    texts = [text for text in dict.fromkeys([*people(training), *reviews]) if fold(text) not in kept_out]
    random.Random(seed).shuffle(texts)
    by_people, written = set(people(training)), list(dict.fromkeys(written))
    return Corpus(
        texts, [text for text in texts if text in by_people], {"people": people(held_out), "written": written}
    )


def people(sentences: list[Sentence]) -> list[str]:
    """The review sentences among the rated ones, in sentence case: half of them came without capitals."""
    texts = [sentence.text for sentence in sentences if sentence.source in REVIEW_SOURCES]
    return [re.sub(r"\bi\b(?!\.)", "I", text[:1].upper() + text[1:]) for text in texts if len(text.split()) >= 4]


def fold(text: str) -> str:
    """What counts as the same text."""
    return " ".join(re.findall(r"\w+", text.lower()))


def train_tokenizer(texts: list[str], folder: Path) -> PreTrainedTokenizerFast:
    """A byte-level BPE; every text begins with the end-of-text token, so that the first word can be predicted.

    Args:
        texts: The training texts.
        folder: Where it is saved.

    Returns:
        The tokenizer.
    """
    bpe = Tokenizer(models.BPE())
    bpe.normalizer = normalizers.NFC()
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=[END], initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator(texts, trainer)
    bpe.post_processor = processors.TemplateProcessing(
        single=f"{END} $A", pair=f"{END} $A {END} $B", special_tokens=[(END, 0)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token=END,
        eos_token=END,
        pad_token=END,
        padding_side="left",
        model_max_length=POSITIONS,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.save_pretrained(folder)
    return tokenizer


def tokens(tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> list[np.ndarray]:
    """Each text as int64 ids between two end-of-text tokens, cut to what the model can take."""
    encoded = tokenizer(texts, add_special_tokens=True).input_ids
    return [np.array([*ids, tokenizer.eos_token_id], dtype=np.int64)[: POSITIONS + 1] for ids in encoded]
