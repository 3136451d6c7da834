"""Rewards learned from few human ratings: what a reward model is that has seen little.

The sentences are of films, of those that Hutto and Gilbert had rated (ICWSM 2014), and the model is that of
:class:`gaard.rewards.human.HumanReward`. That one is fitted to all ratings; these are fitted, when first needed, to
some of the 2,000 that come with gaard (``scripts/pocket/rated_sentences.py``).
"""

import gzip
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from gaard.content import short_hash
from gaard.errors import ConfigError, did_you_mean
from gaard.messages import shortened
from gaard.rewards.human import BUCKETS, HumanReward, buckets, normalized, word_buckets

ASSET = "rated_sentences.json.gz"
DAMPING = 0.5  # best, or within 0.002 of it, for 100 to 400 ratings in the correlation with held-out ratings
Features = Literal["all", "words"]
FEATURES = {"all": buckets, "words": word_buckets}


@dataclass(frozen=True)
class Ratings:
    """Rated sentences.

    Attributes:
        texts: N sentences.
        values: N mean ratings of twenty people, −4 (worst) to 4 (best).
    """

    texts: tuple[str, ...]
    values: tuple[float, ...]

    def first(self, count: int) -> "Ratings":
        """So many of them, from the beginning: a smaller set is part of a larger one.

        Args:
            count: How many.

        Raises:
            ConfigError: If there are not so many.
        """
        if not 0 <= count <= len(self.texts):
            raise ConfigError(f"ratings: the first {count} are asked for: give a number from 0 to {len(self.texts)}")
        return Ratings(self.texts[:count], self.values[:count])

    def part(self, index: int, parts: int) -> "Ratings":
        """One of so many disjoint parts: every so-manieth sentence."""
        return Ratings(self.texts[index::parts], self.values[index::parts])

    def resampled(self, seed: int) -> "Ratings":
        """As many, drawn from them with replacement (a bootstrap sample)."""
        drawn = np.random.default_rng(seed).integers(len(self.texts), size=len(self.texts))
        return Ratings(tuple(self.texts[i] for i in drawn), tuple(self.values[i] for i in drawn))


@lru_cache(maxsize=1)
def shipped_ratings() -> Ratings:
    """The 2,000 that come with gaard, in an order that is random and fixed."""
    rows = json.loads(gzip.decompress((Path(str(files("gaard"))) / "assets" / ASSET).read_bytes()))
    return Ratings(tuple(text for text, _ in rows), tuple(rating for _, rating in rows))


class LearnedReward(HumanReward):
    """A human reward that is fitted to some ratings.

    Args:
        ratings: What it is fitted to.
        features: ``"all"``, those of `HumanReward` (words, word pairs, groups of letters), or ``"words"`` alone: a
            smaller model.
        damping: Of the ridge regression, above 0.
        include_prompt: Whether the prompt is rated along with its completion, as one text.

    Raises:
        ConfigError: Fewer than two ratings, other features, or a damping that is not above 0.
    """

    def __init__(
        self,
        ratings: Ratings,
        *,
        features: Features = "all",
        damping: float = DAMPING,
        include_prompt: bool = True,
    ) -> None:
        if len(ratings.texts) < 2 or not damping > 0:
            raise ConfigError(
                f"a reward cannot be learned from {len(ratings.texts)} rating(s) with damping={damping!r}: give two "
                "ratings or more, and a damping above 0"
            )
        if features not in FEATURES:
            known = get_args(Features)
            raise ConfigError(
                f"learned reward: features is {shortened(features)}: choose {' or '.join(map(repr, known))}."
                f"{did_you_mean(features, known)}"
            )
        self.include_prompt = include_prompt
        self._buckets = FEATURES[features]
        self._weights, self._intercept = _fitted(ratings, features, damping)
        self.name = f"learned from {len(ratings.texts)} ratings{'' if features == 'all' else ', words alone'}"
        content = short_hash(json.dumps([ratings.texts, ratings.values, damping]).encode())
        self._own = f", {self.name}, {content}"


@lru_cache(maxsize=16)
def _fitted(ratings: Ratings, features: Features, damping: float) -> tuple[np.ndarray, float]:
    """Weights and intercept; the weights in single precision, so that another machine's last digits hardly show."""
    mean = float(np.mean(ratings.values))
    rows = [Counter(FEATURES[features](text)) for text in ratings.texts]
    if not all(rows):
        raise ConfigError(f"ratings: text {[bool(row) for row in rows].index(False)} has no words: leave it out")
    return ridge(rows, np.array(ratings.values) - mean, damping).astype(np.float32).astype(np.float64), mean


def ridge(rows: Sequence[Counter[int]], targets: np.ndarray, damping: float) -> np.ndarray:
    """Ridge regression on normalised features, by the dual: w = Xᵀ(XXᵀ + d²I)⁻¹y.

    There are far more features than sentences, so the system of n equations is the small one.

    Args:
        rows: Of n texts: bucket → occurrences.
        targets: float64 [n].
        damping: d; what is minimised is |Xw − y|² + d²|w|².

    Returns:
        float64 [``BUCKETS``].
    """
    places = [np.fromiter(row, dtype=np.int64) for row in rows]
    values = [normalized(row) for row in rows]
    flat, weighed = np.concatenate(places), np.concatenate(values)
    starts = np.cumsum([0, *map(len, places)])[:-1]
    kernel = np.empty((len(rows), len(rows)))
    for line, dense in enumerate(_dense(places, values)):
        kernel[line] = np.add.reduceat(dense[flat] * weighed, starts)
    dual = np.linalg.solve(kernel + damping**2 * np.eye(len(rows)), targets)
    weights = np.zeros(BUCKETS)
    np.add.at(weights, flat, np.concatenate([a * row for a, row in zip(dual, values, strict=True)]))
    return weights


def _dense(places: list[np.ndarray], values: list[np.ndarray]) -> Iterator[np.ndarray]:
    """Each row of X, one at a time: all of them would not fit."""
    for at, row in zip(places, values, strict=True):
        dense = np.zeros(BUCKETS)
        dense[at] = row
        yield dense


@lru_cache(maxsize=8)
def learned_ensemble(members: int = 5) -> Sequence[LearnedReward]:
    """Rewards that have learned the same thing from disjoint parts of the shipped ratings.

    Args:
        members: K; each learns from 2,000 / K ratings.

    Returns:
        K rewards; the same objects each time.
    """
    return tuple(LearnedReward(shipped_ratings().part(index, members)) for index in range(members))
