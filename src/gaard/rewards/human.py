"""A reward learned from people: the mean rating that twenty readers would give a text, −4 (worst) to 4 (best).

A linear model over hashed words, word pairs and letter groups, fitted by ``scripts/pocket/build.py`` to the
sentences that Hutto and Gilbert had rated (ICWSM 2014). Small enough to ship, fast enough to score thousands of texts a
second.
"""

import math
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from gaard.content import short_hash

BUCKETS = 2**17
LETTERS = (3, 4, 5)  # lengths of the letter groups
TOKEN = re.compile(r"[a-z]+(?:'[a-z]+)?|[0-9]+|[^\sa-z0-9]")
ASSET = "human_reward.safetensors"
LOWEST, HIGHEST = -4.0, 4.0


class HumanReward:
    """Predicted mean human rating of each completion, rescaled from −4…4 to 0…1.

    Args:
        include_prompt: Whether the prompt is rated along with its completion, as one text.
        asset: Other weights of the same kind; by default those that come with gaard.
    """

    name = "human"

    def __init__(self, *, include_prompt: bool = True, asset: Path | None = None):
        self.include_prompt = include_prompt
        if not include_prompt:
            self.name = "human (completion alone)"
        tensors = load_file(asset or Path(str(files("gaard"))) / "assets" / ASSET)
        self._weights = tensors["weights"].astype(np.float64)
        self._intercept = float(tensors["intercept"][0])
        self._buckets: Callable[[str], Iterable[int]] = buckets
        self._own = "" if asset is None else f", weights {short_hash(Path(asset).read_bytes())}"

    def __call__(self, *, prompts: Sequence[str], completions: Sequence[str], **_: Any) -> list[float]:
        """Score N texts.

        Args:
            prompts: N prompts.
            completions: N completions.

        Returns:
            N numbers in [0, 1]; 0.5 is neutral.
        """
        texts = self._texts(prompts, completions)
        return [(rating - LOWEST) / (HIGHEST - LOWEST) for rating in self.ratings(texts)]

    def _texts(self, prompts: Sequence[str], completions: Sequence[str]) -> Sequence[str]:
        """What is rated."""
        pairs = zip(prompts, completions, strict=True)
        return [prompt + completion for prompt, completion in pairs] if self.include_prompt else completions

    def features(self, *, prompts: Sequence[str], completions: Sequence[str]) -> np.ndarray:
        """What the reward is linear in, but for the limits of the rating: its gradient by the weights.

        Args:
            prompts: N prompts.
            completions: N completions.

        Returns:
            float32 [N, BUCKETS].
        """
        found = np.zeros((len(completions), BUCKETS), dtype=np.float32)
        for row, text in zip(found, self._texts(prompts, completions), strict=True):
            if counts := Counter(self._buckets(text)):
                row[np.fromiter(counts, dtype=np.int64)] = normalized(counts) / (HIGHEST - LOWEST)
        return found

    def ratings(self, texts: Sequence[str]) -> list[float]:
        """Predicted mean ratings.

        Args:
            texts: N texts.

        Returns:
            N numbers in [−4, 4].
        """
        return [self._rating(text) for text in texts]

    def _rating(self, text: str) -> float:
        counts = Counter(self._buckets(text))
        if not counts:
            return min(HIGHEST, max(LOWEST, self._intercept))
        index = np.fromiter(counts, dtype=np.int64)
        score = self._intercept + float(self._weights[index] @ normalized(counts))
        return min(HIGHEST, max(LOWEST, score))

    def __repr__(self) -> str:
        return f"HumanReward(include_prompt={self.include_prompt}{self._own})"


def buckets(text: str) -> Iterator[int]:
    """The hashed features of a text: words, word pairs, and groups of letters within words.

    Args:
        text: Any text; case is ignored.

    Yields:
        Numbers below ``BUCKETS``, one an occurrence.
    """
    words = TOKEN.findall(text.lower())
    for word in words:
        yield from _word_buckets(word)
    yield from (_bucket(f"2 {first} {second}") for first, second in pairwise(words))


def word_buckets(text: str) -> Iterator[int]:
    """The hashed words of a text, without pairs and groups of letters.

    Args:
        text: Any text; case is ignored.

    Yields:
        Numbers below ``BUCKETS``, one an occurrence.
    """
    yield from (_bucket(f"1 {word}") for word in TOKEN.findall(text.lower()))


def normalized(counts: Counter[int]) -> np.ndarray:
    """Damped counts of a text's features, of Euclidean length 1, so that long texts are not rated higher for length.

    Args:
        counts: Bucket → occurrences.

    Returns:
        float64, in the order of ``counts``.
    """
    values = np.array([1.0 + math.log(count) for count in counts.values()])
    return values / np.linalg.norm(values)


@lru_cache(maxsize=2**16)
def _word_buckets(word: str) -> tuple[int, ...]:
    """Of a word and its letter groups; words come again and again."""
    framed = f"<{word}>"
    groups = [framed[i : i + n] for n in LETTERS for i in range(len(framed) - n + 1)]
    return (_bucket(f"1 {word}"), *(_bucket(f"3 {group}") for group in groups))


def _bucket(feature: str) -> int:
    return zlib.crc32(feature.encode()) % BUCKETS
