"""Rewards learned from few human ratings: what a reward model is that has seen little.

The sentences are of films, of those that Hutto and Gilbert had rated (ICWSM 2014), and the model is that of
:class:`gaard.rewards.human.HumanReward`. That one is fitted to all ratings; these are fitted, when first needed, to
some of the 2,000 that come with gaard (``scripts/pocket/rated_sentences.py``).
"""

import gzip
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

import numpy as np

from gaard.content import short_hash
from gaard.errors import ConfigError
from gaard.rewards.human import BUCKETS, HumanReward, buckets, normalized

ASSET = "rated_sentences.json.gz"
DAMPING = 0.5  # best, or within 0.002 of it, for 100 to 400 ratings in the correlation with held-out ratings


@dataclass(frozen=True)
class Ratings:
    """Rated sentences.

    Attributes:
        texts: N sentences.
        values: N mean ratings of twenty people, −4 (worst) to 4 (best).
    """

    texts: tuple[str, ...]
    values: tuple[float, ...]

    def part(self, index: int, parts: int) -> "Ratings":
        """One of so many disjoint parts: every so-manieth sentence."""
        return Ratings(self.texts[index::parts], self.values[index::parts])


@lru_cache(maxsize=1)
def shipped_ratings() -> Ratings:
    """The 2,000 that come with gaard, in an order that is random and fixed."""
    rows = json.loads(gzip.decompress((Path(str(files("gaard"))) / "assets" / ASSET).read_bytes()))
    return Ratings(tuple(text for text, _ in rows), tuple(rating for _, rating in rows))


def ridge_weights(ratings: Ratings, damping: float = DAMPING) -> tuple[np.ndarray, float]:
    """Fit mean ratings by ridge regression on hashed features: min ‖Xw − (y − ȳ)‖² + damping²·‖w‖².

    Solved in the sentences, which are fewer than the features: w = Xᵀ(XXᵀ + damping²·I)⁻¹(y − ȳ).

    Args:
        ratings: What it is fitted to.
        damping: Of ridge regression, above 0.

    Returns:
        Weights, float64 [BUCKETS], and the intercept ȳ.
    """
    counted = [Counter(buckets(text)) for text in ratings.texts]
    columns = {bucket: column for column, bucket in enumerate(sorted(set().union(*counted)))}
    x = np.zeros((len(counted), len(columns)))
    for row, counts in zip(x, counted, strict=True):
        row[[columns[bucket] for bucket in counts]] = normalized(counts)
    y = np.array(ratings.values)
    own = np.linalg.solve(x @ x.T + damping**2 * np.eye(len(y)), y - y.mean()) @ x
    weights = np.zeros(BUCKETS)
    weights[list(columns)] = own
    return weights, float(y.mean())


class LearnedReward(HumanReward):
    """A human reward that is fitted to some ratings.

    Args:
        ratings: What it is fitted to.
        damping: Of the ridge regression.
        include_prompt: Whether the prompt is rated along with its completion, as one text.

    Raises:
        ConfigError: Fewer than two ratings, or a damping that is not above 0.
    """

    def __init__(self, ratings: Ratings, *, damping: float = DAMPING, include_prompt: bool = True) -> None:
        if len(ratings.texts) < 2 or not damping > 0:
            raise ConfigError(
                f"a reward cannot be learned from {len(ratings.texts)} rating(s) with damping={damping!r}: give two "
                "ratings or more, and a damping above 0"
            )
        self.include_prompt = include_prompt
        self._buckets = buckets
        self._weights, self._intercept = ridge_weights(ratings, damping)
        content = short_hash(json.dumps([ratings.texts, ratings.values, damping]).encode())
        self.name = f"learned from {len(ratings.texts)} ratings"
        self._own = f", {self.name}, {content}"


@lru_cache(maxsize=8)
def learned_ensemble(members: int = 5) -> Sequence[LearnedReward]:
    """Rewards that have learned the same thing from disjoint parts of the shipped ratings.

    Args:
        members: K; each learns from 2,000 / K ratings.

    Returns:
        K rewards; the same objects each time.
    """
    return tuple(LearnedReward(shipped_ratings().part(index, members)) for index in range(members))
