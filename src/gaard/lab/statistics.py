"""Intervals over seeds. A run is the unit: samples within a run are not independent of one another."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

CONFIDENCE = 0.95


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
    margin = float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) * numbers.std(ddof=1) / np.sqrt(n))
    low, high = mean - margin, mean + margin
    if bounds is not None:
        low, high = max(low, bounds[0]), min(high, bounds[1])
    return Interval(mean, low, high, n)
