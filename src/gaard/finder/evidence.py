"""How much more the texts with a pattern were paid than other texts of the same step."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from gaard.finder.patterns import Occurrences

FAMILY = 0.05  # chance that any of all lower ends is too high
ROUNDING = 1e-6  # part of the pay's standard deviation below which a difference is none
FREEDOM = 5  # degrees of freedom below which a spread is not known


@dataclass(frozen=True)
class Evidence:
    """What was found of each of p patterns; NaN where too few steps have texts both with it and without it.

    Attributes:
        gap: float [p], how much more texts with it were paid, in reward.
        error: float [p], its standard error.
        spread: float [p], the standard deviation of the pay of texts without it, within a step.
        at_least: float [p], the lower end of the gap in spreads; all of them hold together with 95%.
    """

    gap: np.ndarray
    error: np.ndarray
    spread: np.ndarray
    at_least: np.ndarray


def evidence(found: Occurrences, step: np.ndarray, reward: np.ndarray, rare: bool = False) -> Evidence:
    """Compare texts with and without each pattern, only ever within a step.

    Texts of one step were written by one policy. What merely becomes frequent while the policy gets better is therefore
    not paid for here. The gap is the slope of a regression of pay on the pattern with a level of its own for each step;
    the patterns share the error of 5% (Bonferroni).

    Args:
        found: Who has which pattern.
        step: int [n], the step of each text, or a finer part of it, from 0 on.
        reward: float [n], its pay.
        rare: Whether to look only at steps in which no more texts have the pattern than lack it.

    Returns:
        The evidence on each pattern.
    """
    patterns, steps = len(found.patterns), int(step.max()) + 1
    reward = reward - reward.mean()  # sums of squares then lose fewer digits
    size, total, square = sums = _sums(step, reward, steps)
    scatter = square - total**2 / size
    pattern, own, has, lacks, gaps, lacks_scatter = _cells(found, step, reward, sums, rare)
    both = lacks > 0

    def over(values: np.ndarray) -> np.ndarray:
        """Summed over the cells with and without the pattern."""
        return np.bincount(pattern, np.where(both, values, 0.0), patterns)

    def over_all(values: np.ndarray, here: np.ndarray) -> np.ndarray:
        """Summed over all steps; ``here`` is what holds in a cell."""
        return values.sum() + np.bincount(pattern, here - values[own], patterns)

    with np.errstate(divide="ignore", invalid="ignore"):
        weight = over(has * lacks / size[own])
        gap = _without_rounding(over(has * lacks / size[own] * gaps) / weight, reward)
        freedom = over(size[own] - 1) - 1
        # Few steps with the pattern may happen to be quiet ones: the whole run's scatter is asked as well.
        error = np.fmax(
            (over(scatter[own]) - weight * gap**2) / freedom,
            (scatter.sum() - weight * gap**2) / (len(reward) - steps - 1),
        )
        error = _without_rounding(np.sqrt(np.fmax(0.0, error) / weight), reward)
        lacking = over_all(size - 1, np.where(both, lacks - 1, 0.0))
        spread = np.fmax(over(lacks_scatter) / over(lacks - 1), over_all(scatter, lacks_scatter) / lacking)
        spread = _without_rounding(np.sqrt(np.fmax(0.0, spread)), reward)
        spread = np.where(lacking < FREEDOM, np.nan, spread)
        quantile = student.isf(FAMILY / max(1, patterns), np.where(freedom > 0, freedom, np.nan))
        at_least = (gap - quantile * error) / spread
    return Evidence(gap, error, spread, at_least)


def _without_rounding(values: np.ndarray, reward: np.ndarray) -> np.ndarray:
    """Differences of pay, 0 where they are what sums of decimal fractions leave."""
    return np.where(np.abs(values) < ROUNDING * reward.std(), 0.0, values)


def _sums(group: np.ndarray, reward: np.ndarray, groups: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Number, sum and sum of squares of the pay in each group."""
    number, total, square = (np.bincount(group, weight, groups) for weight in (np.ones_like(reward), reward, reward**2))
    return number, total, square


def _cells(
    found: Occurrences,
    step: np.ndarray,
    reward: np.ndarray,
    sums: tuple[np.ndarray, np.ndarray, np.ndarray],
    rare: bool,
) -> tuple[np.ndarray, ...]:
    """Each pattern in each step that has it.

    Returns:
        The pattern; the step; how many texts have the pattern and lack it; how much more those that have it are paid;
        the squares of the others' pay around its mean. The last two are 0 where no text lacks it. Where it is to be
        ``rare`` and is not, no text counts as lacking it.
    """
    size, total, square = sums
    keys, cell = np.unique(found.pattern * len(size) + step[found.text], return_inverse=True)
    pattern, own = np.divmod(keys, len(size))
    has, has_total, has_square = _sums(cell, reward[found.text], len(keys))
    lacks = size[own] - has
    if rare:
        lacks = np.where(has > lacks, 0.0, lacks)
    both = lacks > 0
    lacks_mean = np.divide(total[own] - has_total, lacks, where=both, out=np.zeros_like(lacks))
    gaps = np.where(both, has_total / has - lacks_mean, 0.0)
    scatter = np.where(both, square[own] - has_square - lacks * lacks_mean**2, 0.0)
    return pattern, own, has, lacks, gaps, scatter
