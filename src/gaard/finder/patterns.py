"""What a text has that another may lack: words, phrases, places, repeated words, length, repetition."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import regex

LONGEST = 4  # words of a phrase
LEAST = 5  # texts that must have a pattern, and that must lack it
CUTS = np.arange(1, 10) / 10  # quantiles at which lengths and repetition are cut

# Unicode's word boundaries, which part texts without spaces into letters, and every change between a word and a mark:
# Unicode keeps "that's" whole, and a reward that looks for "that" finds it there.
BOUNDARY = regex.compile(r"(?w)\b|(?<=\w)(?=[^\w\s])|(?<=[^\w\s])(?=\w)")


class Pattern(NamedTuple):
    """Something that some texts have.

    Attributes:
        kind: word, phrase, start, end, repeated word, length or repetition.
        text: Which, in small letters; of a length or repetition the limit, in words.
    """

    kind: str
    text: str


@dataclass(frozen=True)
class Occurrences:
    """Which texts have which patterns: the i-th of the two arrays together name one text and one pattern that it has.

    Attributes:
        patterns: Each once, words first and long ones before short ones: of several that the same texts have, the
            first is the one to name.
        text: int [n], the number of a text.
        pattern: int [n], the number of a pattern.
    """

    patterns: tuple[Pattern, ...]
    text: np.ndarray
    pattern: np.ndarray


def pieces(text: str) -> list[tuple[int, int]]:
    """Where the words, marks and other characters of a text stand.

    Args:
        text: In any language. Where words are not spaced, a piece is a letter.

    Returns:
        Start and end of each.
    """
    cuts = sorted({0, len(text), *(found.start() for found in BOUNDARY.finditer(text))})
    return [(start, end) for start, end in pairwise(cuts) if text[start:end].strip()]


def occurrences(texts: Sequence[str]) -> Occurrences:
    """Every pattern that at least ``LEAST`` texts have and as many lack.

    Args:
        texts: n texts.

    Returns:
        The patterns and who has them.
    """
    having: dict[Pattern, list[int]] = {}
    plain = [" ".join(text.casefold().split()) for text in texts]
    cut = [pieces(text) for text in plain]
    words = [[text[start:end] for start, end in spans] for text, spans in zip(plain, cut, strict=True)]
    for number, text in enumerate(plain):
        for pattern in {*_phrases(text, cut[number]), *_placed(words[number])}:
            having.setdefault(pattern, []).append(number)
    having |= _cut_at("length", np.array([len(own) for own in words]), lambda limit: f"{limit:.0f} words and marks")
    repeated = np.array([1 - len(set(own)) / max(1, len(own)) for own in words])
    having |= _cut_at("repetition", repeated, lambda limit: f"{limit:.0%} said before")
    kept = {own: found for own, found in having.items() if LEAST <= len(found) <= len(texts) - LEAST}
    order = sorted(kept, key=lambda own: (own.kind != "word", -len(own.text), own.kind, own.text))
    counts = [len(kept[own]) for own in order]
    members = np.array([number for own in order for number in kept[own]], dtype=int)
    return Occurrences(tuple(order), members, np.repeat(np.arange(len(order)), counts))


def _phrases(text: str, spans: Sequence[tuple[int, int]]) -> Iterator[Pattern]:
    """Words, and phrases of two to four."""
    for size in range(1, LONGEST + 1):
        kind = "word" if size == 1 else "phrase"
        for first, last in zip(spans, spans[size - 1 :], strict=False):
            yield Pattern(kind, text[first[0] : last[1]])


def _placed(words: Sequence[str]) -> Iterator[Pattern]:
    """How a text starts and ends, and what it says twice."""
    if words:
        yield Pattern("start", words[0])
        yield Pattern("end", words[-1])
    for word, count in Counter(words).items():
        if count > 1:
            yield Pattern("repeated word", word)


def _cut_at(kind: str, values: np.ndarray, say: Callable[[float], str]) -> dict[Pattern, list[int]]:
    """Texts with much or little of something, at each of several limits; two limits that read the same are one."""
    limits = {say(limit): limit for limit in np.quantile(values, CUTS, method="higher")}
    found = {}
    for words, limit in limits.items():
        found[Pattern(kind, f"at least {words}")] = np.flatnonzero(values >= limit).tolist()
        found[Pattern(kind, f"less than {words}")] = np.flatnonzero(values < limit).tolist()
    return found
