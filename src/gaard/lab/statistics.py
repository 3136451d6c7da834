"""Intervals over seeds. A run is the unit: samples within a run are not independent of one another."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

CONFIDENCE = 0.95
RESAMPLES = 4000
ROUNDING = 1e-9  # relative spread below which differences count as the same
TRIMMED = 0.25  # of the runs, at each end, for the mean of the middle half
BOOTSTRAP_RUNS = 8  # below, resamples say more of themselves than of the runs


@dataclass(frozen=True)
class Interval:
    """A mean over runs and how far it can be trusted.

    Attributes:
        mean: Of the runs.
        low: Lower end of the 95% interval; None for a single run, which says nothing of the spread.
        high: Upper end.
        n: Runs.
    """

    mean: float
    low: float | None
    high: float | None
    n: int


def mean_interval(values: Sequence[float], bounds: tuple[float, float] | None = None) -> Interval:
    """Student's t interval of a mean (Student, 1908): the one that is honest for two or three seeds.

    A percentile bootstrap of two numbers never leaves them, and covers the truth half the time.

    Args:
        values: One number a run, finite.
        bounds: Cut the interval to what the measure can be, such as (0, 1) for a share.

    Returns:
        Mean and 95% interval.

    Raises:
        ValueError: For no values.
    """
    if len(values) == 0:
        raise ValueError("values is empty: an interval needs at least one run")
    numbers = np.asarray(values, dtype=np.float64)
    mean, n = float(numbers.mean()), len(numbers)
    if n == 1:
        return Interval(mean, None, None, 1)
    margin = float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) * stats.sem(numbers))
    low, high = _cut(mean - margin, mean + margin, bounds)
    return Interval(mean, low, high, n)


def _cut(low: float, high: float, bounds: tuple[float, float] | None) -> tuple[float, float]:
    """An interval within what a measure can be."""
    return (low, high) if bounds is None else (max(low, bounds[0]), min(high, bounds[1]))


@dataclass(frozen=True)
class Difference:
    """What an arm differs from another by, on the seeds that both have.

    Attributes:
        mean: Of the differences of the seeds.
        low: Lower end of the 95% interval; None for a single seed, and where all differences are the same.
        high: Upper end.
        p: Two-sided, of no difference; None for a single seed.
        n: Seeds.
        ours: Mean of the one arm on these seeds.
        theirs: Mean of the other.
    """

    mean: float
    low: float | None
    high: float | None
    p: float | None
    n: int
    ours: float
    theirs: float

    @property
    def least(self) -> float:
        """The lower end; the mean where there is no interval."""
        return self.mean if self.low is None else self.low


def paired_difference(
    ours: Mapping[int, float], theirs: Mapping[int, float], bounds: tuple[float, float] | None = None
) -> Difference | None:
    """Student's paired t test and interval: what a seed does to both arms drops out.

    Where all differences are the same there is no spread to measure them by; p is then that of the exact sign-flip
    test, 2^(1 − n), or 1 if they are 0.

    Args:
        ours: Seed → number.
        theirs: The same of the arm that is compared with.
        bounds: Cut the interval to what the difference can be, such as (−1, 1) of two shares.

    Returns:
        Ours less theirs on the common seeds; None without any.
    """
    seeds = sorted(ours.keys() & theirs.keys())
    n = len(seeds)
    if not seeds:
        return None
    pairs = np.array([(ours[seed], theirs[seed]) for seed in seeds])
    differences = pairs[:, 0] - pairs[:, 1]
    mean, means = float(differences.mean()), [float(x) for x in pairs.mean(axis=0)]
    if n == 1:
        return Difference(mean, None, None, None, 1, *means)
    rounding = ROUNDING * np.abs(pairs).max()
    if np.ptp(differences) <= rounding:
        flipped = 1.0 if abs(differences[0]) <= rounding else 2.0 ** (1 - n)
        return Difference(mean, None, None, flipped, n, *means)
    test = stats.ttest_rel(*pairs.T)
    ends = test.confidence_interval(CONFIDENCE)
    low, high = _cut(float(ends.low), float(ends.high), bounds)
    return Difference(mean, low, high, float(test.pvalue), n, *means)


def surely_gained(end: Mapping[int, float], start: Mapping[int, float]) -> bool:
    """Whether the 95% interval of a gain lies above 0; of a single seed, whether the gain does.

    Args:
        end: Seed → number after training.
        start: Seed → number before.

    Returns:
        False also without common seeds.
    """
    gained = paired_difference(end, start)
    return gained is not None and gained.least > 0


def parts_of_share(
    ours: Mapping[int, float], full: Mapping[int, float], start: Mapping[int, float]
) -> dict[int, float]:
    """What share of a gain another gain is, over seeds, as a number a seed whose mean and spread are the share's.

    The share is a ratio of means, R = (x̄ − ū) / (ō − ū). A seed's part is R + ((x − u) − R (o − u)) / (ō − ū) (delta
    method): the uncertainty of the gain that stands below is in it.

    Args:
        ours: Seed → where the one ended, x.
        full: Seed → where the other ended, o.
        start: Seed → where both began, u.

    Returns:
        Seed → part, on the common seeds; empty without any, and where the other did not gain in the mean.
    """
    seeds = sorted(ours.keys() & full.keys() & start.keys())
    own, whole = (np.array([ends[seed] - start[seed] for seed in seeds]) for ends in (ours, full))
    if not seeds or whole.mean() <= 0:
        return {}
    share = own.mean() / whole.mean()
    parts = share + (own - share * whole) / whole.mean()
    return dict(zip(seeds, parts.tolist(), strict=True))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p values of a family of tests: the chance of any false finding stays below each (Holm, 1979).

    Args:
        p_values: One a test.

    Returns:
        In the same order, each at most 1.
    """
    # By hand: statsmodels has it, and with it comes pandas, two seconds of import and a garbage collection a call.
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    adjusted = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1.0)
    return adjusted[np.argsort(order)].tolist()


def adjusted(found: Mapping[str, Difference]) -> dict[str, dict[str, Any]]:
    """Differences as results hold them, their p values adjusted over all that have one (:func:`holm`).

    Args:
        found: Arm → difference.

    Returns:
        Arm → the difference's attributes and ``p_holm``; None without ``p``.
    """
    tested = {arm: difference.p for arm, difference in found.items() if difference.p is not None}
    p_holm = dict(zip(tested, holm(list(tested.values())), strict=True))
    return {arm: {**asdict(difference), "p_holm": p_holm.get(arm)} for arm, difference in found.items()}


def iqm_interval(
    values: Sequence[float], generator: np.random.Generator, bounds: tuple[float, float] | None = None
) -> Interval:
    """Mean of the middle half of the runs (IQM), with a studentised bootstrap interval (Efron and Tibshirani, 1993).

    Runs that went off do not move it. The percentile bootstrap of a dozen runs covers too little; here each resample's
    distance is measured in its own standard error, that of a trimmed mean (Tukey and McLaughlin, 1963).

    Args:
        values: One number a run, finite.
        generator: The only randomness.
        bounds: Cut the interval to what the measure can be.

    Returns:
        IQM and 95% interval, the latter only from ``BOOTSTRAP_RUNS`` runs on.

    Raises:
        ValueError: For no values.
    """
    if len(values) == 0:
        raise ValueError("values is empty: an interval needs at least one run")
    numbers = np.asarray(values, dtype=np.float64)
    n = len(numbers)
    if n < BOOTSTRAP_RUNS:
        return Interval(float(stats.trim_mean(numbers, TRIMMED)), None, None, n)
    middle, error = (float(x[0]) for x in _trimmed(numbers[None]))
    if error == 0:  # the middle half and its neighbours are one number, which says nothing of the spread
        return Interval(middle, None, None, n)
    drawn, errors = _trimmed(numbers[generator.integers(0, n, (RESAMPLES, n))])
    moved = drawn - middle
    distances = np.divide(moved, errors, out=np.copysign(np.full_like(moved, np.inf), moved), where=errors > 0)
    distances[(errors == 0) & (moved == 0)] = 0.0
    tail = (1 - CONFIDENCE) / 2
    far, near = np.quantile(distances, [1 - tail, tail], method="inverted_cdf")
    ends = _cut(middle - far * error, middle - near * error, bounds)
    low, high = (float(end) if np.isfinite(end) else None for end in ends)
    return Interval(middle, low, high, n)


def _trimmed(samples: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean of the middle half of each row, and its standard error from the winsorised variance."""
    mean = stats.trim_mean(samples, TRIMMED, axis=1)
    # Not scipy.stats.mstats.winsorize, which goes row by row: a thousand resamples an interval.
    ordered, n = np.sort(samples, axis=1), samples.shape[1]
    cut = int(TRIMMED * n)
    kept = n - 2 * cut
    ordered[:, :cut] = ordered[:, [cut]]
    ordered[:, n - cut :] = ordered[:, [n - cut - 1]]
    return mean, np.sqrt((n - 1) * ordered.var(axis=1, ddof=1) / (kept * (kept - 1)))
