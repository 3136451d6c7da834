"""What a text has that another may lack: words, phrases, places, repeated words, length, repetition."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, TypeVar

import numpy as np
import regex

LONGEST = 4  # words of a phrase
LEAST = 5  # texts that must have a pattern, and that must lack it
CUTS = np.arange(1, 10) / 10  # quantiles at which lengths and repetition are cut

# Unicode's word boundaries, which part texts without spaces into letters, and every change between a word and a mark:
# Unicode keeps "that's" whole, and a reward that looks for "that" finds it there.
BOUNDARY = regex.compile(r"(?w)\b|(?<=\w)(?=[^\w\s])|(?<=[^\w\s])(?=\w)")

Spans = Sequence[tuple[int, int]]  # start and end of each piece of a text
T = TypeVar("T", bound=Hashable)


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
    plain = [" ".join(text.casefold().split()) for text in texts]
    cut = [pieces(text) for text in plain]
    words = [[text[start:end] for start, end in spans] for text, spans in zip(plain, cut, strict=True)]
    having = _phrases(plain, cut) | _having([_placed(own) for own in words])
    having |= _cut_at("length", np.array([len(own) for own in words]), lambda limit: f"{limit:.0f} words and marks")
    repeated = np.array([1 - len(set(own)) / max(1, len(own)) for own in words])
    having |= _cut_at("repetition", repeated, lambda limit: f"{limit:.0%} said before")
    kept = {own: found for own, found in having.items() if LEAST <= len(found) <= len(texts) - LEAST}
    order = sorted(kept, key=lambda own: (own.kind != "word", -len(own.text), own.kind, own.text))
    counts = [len(kept[own]) for own in order]
    members = np.array([number for own in order for number in kept[own]], dtype=int)
    return Occurrences(tuple(order), members, np.repeat(np.arange(len(order)), counts))


def _phrases(plain: Sequence[str], cut: Sequence[Spans]) -> dict[Pattern, list[int]]:
    """Words, and phrases of two to four, that ``LEAST`` texts have.

    Such a phrase is made of two shorter ones that these texts have too. Most phrases are not: they are not looked at.
    """
    found: dict[Pattern, list[int]] = {}
    starts: list[Sequence[int]] = [range(len(spans)) for spans in cut]
    for size in range(1, LONGEST + 1):
        phrases = [
            [text[spans[first][0] : spans[first + size - 1][1]] for first in own]
            for text, spans, own in zip(plain, cut, starts, strict=True)
        ]
        common = {phrase: numbers for phrase, numbers in _having(phrases).items() if len(numbers) >= LEAST}
        kind = "word" if size == 1 else "phrase"
        found |= {Pattern(kind, phrase): numbers for phrase, numbers in common.items()}
        starts = [_longer(own, said, common) for own, said in zip(starts, phrases, strict=True)]
    return found


def _longer(starts: Sequence[int], phrases: Sequence[str], common: Mapping[str, object]) -> list[int]:
    """Where a text may have a common phrase that is longer by a word; ``starts`` are those of its phrases now."""
    there = {first for first, phrase in zip(starts, phrases, strict=True) if phrase in common}
    return [first for first in starts if first in there and first + 1 in there]


def _having(texts: Sequence[Iterable[T]]) -> dict[T, list[int]]:
    """The numbers of the texts that have each of what they have."""
    having: dict[T, list[int]] = {}
    for number, found in enumerate(texts):
        for one in set(found):
            having.setdefault(one, []).append(number)
    return having


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
