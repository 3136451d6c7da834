"""How far a proxy can be optimised before the truth falls: best-of-n, and the curves of Gao, Schulman and Hilton.

"Scaling Laws for Reward Model Overoptimization" (arXiv 2210.10760), sections 3.1 and 3.2. With d = √KL(π‖π_untrained),
nats a completion, the gain of a reward over the untrained model is

    best-of-n:               R(d) = d(α − βd)
    reinforcement learning:  R(d) = d(α − β log d)
"""

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln

from gaard.errors import ConfigError, suggest
from gaard.messages import shortened

Kind = Literal["best-of-n", "rl"]


def best_of_n_kl(n: int) -> float:
    """KL of the best of n completions to the model that they come from, nats a completion: log n − (n − 1)/n.

    Source: Stiennon et al., "Learning to summarize from human feedback" (arXiv 2009.01325), appendix G.3.

    Args:
        n: Completions that are drawn for each that is kept.

    Returns:
        The KL, exact where no two completions have the same reward, else the most that it can be.

    Raises:
        ConfigError: For another n than a whole number from 1 on.
    """
    _check_whole(n)
    return math.log(n) - (n - 1) / n


def best_of_n(proxy: ArrayLike, reward: ArrayLike, n: int) -> float:
    """Mean reward of the completion that the proxy likes best among n, from one pool of samples.

    Unbiased: the mean over all subsets of n completions. The completion at rank i of N is the best of the subsets that
    hold it and n − 1 of the i − 1 below: C(i − 1, n − 1) of C(N, n). Where completions tie, each is as likely.

    Source: Nakano et al., "WebGPT" (arXiv 2112.09332), appendix I.

    Args:
        proxy: [N], what chooses.
        reward: [N], what is averaged: the true reward, or the proxy itself.
        n: 1 to N.

    Returns:
        The mean.

    Raises:
        ConfigError: For another n, where the two are not of one length, or for what is no finite number.
    """
    order, mean = _numbers(proxy, "proxy"), _numbers(reward, "reward")
    _check_fellows(order, mean, "proxy and reward")
    size = len(order)
    _check_whole(n, size)
    _, group = np.unique(order, return_inverse=True)
    tied = np.bincount(group, mean) / np.bincount(group)  # of completions with one proxy reward
    rank = np.arange(n, size + 1)
    chance = np.exp(_log_choose(rank - 1, n - 1) - _log_choose(np.array(size), n))
    return float(chance @ tied[np.sort(group)][n - 1 :])


def _check_whole(n: object, most: float = math.inf) -> None:
    """Refuse an n that is no number of completions."""
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or not 1 <= n <= most:
        there = "" if most == math.inf else f" and there are {most} completions"
        to = ", 1 or more" if most == math.inf else f" from 1 to {most}" if most else ", and some completions"
        raise ConfigError(f"best of n: n is {shortened(n)}{there}: give a whole number{to}")


def _numbers(values: ArrayLike, name: str) -> NDArray[np.float64]:
    """A list of finite numbers."""
    try:
        found = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise ConfigError(f"{name}={shortened(values)} must be a list of numbers") from None
    if not np.isfinite(found).all():
        raise ConfigError(f"{name} holds a number that is not finite: leave that completion or point out everywhere")
    return found


def _check_fellows(one: NDArray[np.float64], other: NDArray[np.float64], names: str) -> None:
    """Refuse two lists that are not of the same things."""
    if one.shape != other.shape or one.ndim != 1:
        raise ConfigError(f"{names} have the shapes {one.shape} and {other.shape}: give two lists of one length")


def _log_choose(of: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    """Logarithm of the binomial coefficient."""
    found: NDArray[np.float64] = gammaln(of + 1.0) - gammaln(k + 1.0) - gammaln(of - k + 1.0)
    return found


@dataclass(frozen=True)
class Curve:
    """One fitted curve of the gain over d.

    Attributes:
        kind: Of best-of-n, or of reinforcement learning.
        alpha: α, reward per √nat.
        beta: β; positive where the reward turns.
    """

    kind: Kind
    alpha: float
    beta: float

    def gain(self, d: ArrayLike) -> NDArray[np.float64]:
        """The gain at some d ≥ 0, √nats; 0 at 0.

        Args:
            d: Square roots of the KL.
        """
        at = np.asarray(d, np.float64)
        slowed = at if self.kind == "best-of-n" else np.log(np.maximum(at, np.finfo(np.float64).tiny))
        found: NDArray[np.float64] = at * (self.alpha - self.beta * slowed)
        return found

    @property
    def turn(self) -> float | None:
        """Where the gain is greatest, √nats: α/2β, or e^(α/β − 1); 0 where it falls from the start.

        None where it never turns: β ≤ 0, or farther than a number can say.
        """
        if self.beta <= 0:
            return None
        if self.kind == "best-of-n":
            turn = max(0.0, self.alpha / (2 * self.beta))
            return turn if math.isfinite(turn) else None
        exponent = self.alpha / self.beta - 1
        return math.exp(exponent) if exponent < math.log(np.finfo(np.float64).max) else None


def fit(kind: Kind, d: ArrayLike, gain: ArrayLike) -> Curve:
    """The curve through some points, by least squares: both forms are linear in α and β.

    Args:
        kind: Which form.
        d: [m] square roots of the KL; points at 0 say nothing and are left out.
        gain: [m] reward less that of the untrained model.

    Returns:
        The curve.

    Raises:
        ConfigError: With fewer than two different d above 0, for a d below, for another form, or for what are no two
            lists of finite numbers of one length.
    """
    if kind not in get_args(Kind):
        raise ConfigError(f"kind={kind!r} is not known: {suggest(str(kind), get_args(Kind))}")
    at, found = _numbers(d, "d"), _numbers(gain, "gain")
    _check_fellows(at, found, "d and gain")
    if (at < 0).any():
        raise ConfigError(f"d holds {at.min():g}, and a square root of the KL is 0 or more")
    at, found = at[at > 0], found[at > 0]
    if len(np.unique(at)) < 2:
        raise ConfigError(f"a curve of {len(at)} points with d > 0 has no shape: give two different d at least")
    slowed = at if kind == "best-of-n" else np.log(at)
    alpha, beta = np.linalg.lstsq(np.stack([at, -at * slowed], 1), found, rcond=None)[0]
    return Curve(kind, float(alpha), float(beta))
