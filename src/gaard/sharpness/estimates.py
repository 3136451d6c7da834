"""A mean over random probes, with its interval."""

import math
from dataclasses import dataclass
from statistics import fmean, stdev

from scipy.stats import t as student

LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A number that random probes estimate.

    Attributes:
        value: The estimate.
        error: Half of Student's 95% interval over the probes; NaN with one probe.
        probes: How many.
    """

    value: float
    error: float
    probes: int

    @property
    def interval(self) -> tuple[float, float]:
        """From and to."""
        return self.value - self.error, self.value + self.error


def mean_of(draws: list[float], offset: float = 0.0) -> Estimate:
    """The mean of independent draws, plus a number that is known.

    Args:
        draws: At least one.
        offset: Added to the mean.

    Returns:
        The estimate.
    """
    count = len(draws)
    error = math.nan
    if count > 1:
        error = float(student.ppf((1 + LEVEL) / 2, count - 1)) * stdev(draws) / math.sqrt(count)
    return Estimate(offset + fmean(draws), error, count)
