"""The human reward learned again from few ratings: a proxy that is wrong where it has seen little.

Gao, Schulman and Hilton ("Scaling Laws for Reward Model Overoptimization", arXiv 2210.10760) train proxies of several
sizes on labels that one large reward model gives, and watch that model while a policy trains on a proxy. Here the
proxies are fitted to the first N of ``MOST`` rated sentences, drawn with a fixed seed from those that `HumanReward`
was fitted to, and `HumanReward` is what they are held against.
"""

import gzip
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Literal, get_args

import numpy as np

from gaard.errors import ConfigError, did_you_mean
from gaard.messages import shortened
from gaard.rewards.human import BUCKETS, HumanReward, buckets, normalized, word_buckets

SENTENCES = "human_ratings.json.gz"
MOST = 800  # sentences that ship
DAMPING = 0.5  # as of the fit to all ratings, scripts/pocket/human_reward.py
Features = Literal["all", "words"]
FEATURES: dict[str, Callable[[str], Iterable[int]]] = {"all": buckets, "words": word_buckets}
Rated = tuple[str, float]


class FewRatings(HumanReward):
    """What `HumanReward` would be, had it been fitted to a few of its ratings alone.

    Args:
        count: How many ratings it is fitted to, 2 to ``MOST``; a smaller set is the beginning of a larger one.
        features: ``"all"``, those of `HumanReward` (words, word pairs, groups of letters), or ``"words"`` alone: a
            smaller model.
        include_prompt: Whether the prompt is rated along with its completion, as one text.

    Raises:
        ConfigError: Another count, or other features.
    """

    def __init__(self, count: int, *, features: Features = "all", include_prompt: bool = True) -> None:
        if not isinstance(count, int) or isinstance(count, bool) or not 2 <= count <= MOST:
            raise ConfigError(f"few ratings: count is {shortened(count)}: give a whole number from 2 to {MOST}")
        if features not in FEATURES:
            known = get_args(Features)
            raise ConfigError(
                f"few ratings: features is {shortened(features)}: choose {' or '.join(map(repr, known))}."
                f"{did_you_mean(features, known)}"
            )
        self.count, self.feature_set, self.include_prompt = count, features, include_prompt
        self.name = f"{count} ratings{'' if features == 'all' else ', words alone'}"
        self._weights, self._intercept = _fitted(count, features)
        self._buckets = FEATURES[features]

    def __repr__(self) -> str:
        return f"FewRatings({self.count}, features={self.feature_set!r}, include_prompt={self.include_prompt})"


def rated_sentences() -> list[Rated]:
    """The rated sentences that ship, text and mean rating, −4…4, in the order in which they were drawn."""
    packed = (files("gaard") / "assets" / SENTENCES).read_bytes()
    return [(text, rating) for text, rating in json.loads(gzip.decompress(packed))]


@lru_cache(maxsize=8)
def _fitted(count: int, features: Features) -> tuple[np.ndarray, float]:
    """Weights and intercept; in half precision, as those of the full fit, and so the same on every machine."""
    texts, ratings = zip(*rated_sentences()[:count], strict=True)
    targets = np.array(ratings)
    weights = ridge([Counter(FEATURES[features](text)) for text in texts], targets - targets.mean(), DAMPING)
    return weights.astype(np.float16).astype(np.float64), float(targets.mean())


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
