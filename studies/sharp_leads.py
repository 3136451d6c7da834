"""Whether one measure of a run goes before another, as sharpness before the hack: arithmetic and table of study 33."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from gaard.lab.frontier import running_mean
from studies.markdown import table
from studies.sharp import BOUNDS, with_interval

PROBES = ("sharpness", "curvature", "policy_curvature", "grad_norm")
WINDOWS = ((1, 3), (4, 10), (11, 20), (21, 40), (41, 80))  # steps, as in the pilot
WINDOWED = {"hack rate": "hack_rate", "`grad_norm`": "grad_norm", "`curvature`": "curvature"}
FARTHEST = 8  # steps: the longest lead or lag that is looked at
PERMUTATIONS = 2000
RESAMPLES = 1000  # of runs, for the interval of a lead
HALF_WAY = "half way from its first value to the farthest from it, up or down: steps before the hack rate"
Curves = Sequence[NDArray[np.float64]]  # one a run


@dataclass(frozen=True)
class Lead:
    """Whether changes of one curve go before changes of another.

    Attributes:
        steps: By how many it does, where both go together or against each other most; negative if it comes after.
        low: Of its 95% interval, by a bootstrap of runs.
        high: Likewise.
        correlation: There, the mean over runs; negative if one falls while the other rises.
        p: Share of random pairings of runs whose largest correlation, of either sign, is as far from 0. It asks
            whether both have to do with each other at any lag; whether one leads, the interval says.
        runs: How many.
    """

    steps: int
    low: int
    high: int
    correlation: float
    p: float
    runs: int


def lead(leading: Curves, following: Curves, seed: int = 0) -> Lead:
    """By how many steps one measure of a run leads another, against pairs of different runs.

    The changes from step to step are correlated at every lag up to ``FARTHEST``, and averaged over runs. Under the null
    the one measure of a run says nothing of the other of the same run: it is paired with another run's, at random. What
    all runs share, such as the schedule of the learning rate, is in both. So the null says nothing where all runs have
    the same onset: another run's hack rate rises at the same step, and p is large even where one curve leads the other
    in every run.

    Args:
        leading: Of each run, the measure that may lead.
        following: Of the same runs, the other.
        seed: Of the pairings, and of the runs that are drawn.

    Returns:
        The lead.
    """
    length = min(len(curve) for curve in [*leading, *following])
    first, second = (np.array([_changes(curve[:length]) for curve in curves]) for curves in (leading, following))
    lags = range(-FARTHEST, FARTHEST + 1)
    # Of every pair of runs: the correlation at each lag, [lags, runs, runs].
    pairs = np.stack([_correlations(first, second, lag) for lag in lags])
    runs = np.arange(len(first))
    each = pairs[:, runs, runs]
    own = each.mean(1)
    best = int(np.abs(own).argmax())
    generator = np.random.default_rng(seed)
    others = [np.abs(pairs[:, runs, generator.permutation(len(runs))].mean(1)).max() for _ in range(PERMUTATIONS)]
    p = (1 + sum(other >= abs(own[best]) for other in others)) / (1 + PERMUTATIONS)
    drawn = generator.integers(len(runs), size=(RESAMPLES, len(runs)))
    found = np.array(lags)[np.abs(each[:, drawn].mean(2)).argmax(0)]
    low, high = np.quantile(found, (0.025, 0.975), method="inverted_cdf")
    return Lead(lags[best], int(low), int(high), float(own[best]), p, len(runs))


def _changes(curve: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.diff(np.asarray(curve, dtype=float))


def _correlations(first: NDArray[np.float64], second: NDArray[np.float64], lag: int) -> NDArray[np.float64]:
    """Of each run's first with each run's second, so many steps later; 0 where one does not change, [runs, runs]."""
    count = first.shape[1]
    ahead, behind = first[:, max(0, -lag) : count - max(0, lag)], second[:, max(0, lag) : count - max(0, -lag)]
    sides = []
    for side in (ahead, behind):
        centred = side - side.mean(1, keepdims=True)
        length = np.linalg.norm(centred, axis=1, keepdims=True)
        sides.append(np.divide(centred, length, out=np.zeros_like(centred), where=length > 0))
    return sides[0] @ sides[1].T


def half_way(curve: NDArray[np.float64]) -> int:
    """The step, from 1, at which a curve is half way from its first value to the farthest from it, up or down."""
    moved = np.asarray(curve, dtype=float) - curve[0]
    moved = moved * np.sign(moved[np.abs(moved).argmax()])
    return int(np.argmax(moved >= moved.max() / 2)) + 1


def leads(steps: pl.DataFrame, probes: Sequence[str] = PROBES, scenario: str = "capped", arm: str = "ppo") -> str:
    """A row a probe: the lead over the hack rate by correlation with interval and p, and by when each is half way.

    Half way is of running means, from the first value to the farthest from it, whichever direction that is. A probe
    that falls from the first step on is half way early whatever the hack does: compare with runs without a hack.

    Args:
        steps: As :mod:`studies.sharp_measured` writes them.
        probes: Columns.
        scenario: Whose runs.
        arm: Likewise.

    Returns:
        A Markdown table.
    """
    own = steps.filter(scenario=scenario, arm=arm)
    curves = {
        name: [run[name].to_numpy() for run in own.partition_by("seed", maintain_order=True)]
        for name in ("hack_rate", *probes)
    }
    rows = []
    for probe in probes:
        found = lead(curves[probe], curves["hack_rate"])
        pairs = zip(curves[probe], curves["hack_rate"], strict=True)
        ahead = [half_way(running_mean(b)) - half_way(running_mean(a)) for a, b in pairs]
        ahead_by = f"{found.steps} [{found.low}, {found.high}]"
        cells = [ahead_by, f"{found.correlation:.2f}", f"{found.p:.2g}", with_interval([float(x) for x in ahead])]
        rows.append([f"`{probe}`", *cells])
    return table(["probe", "lead in steps", "correlation there", "p of any association", HALF_WAY], rows)


def windows(steps: pl.DataFrame) -> str:
    """A row a policy and window of steps: hack rate, length of the gradient and curvature along it, with intervals.

    Args:
        steps: As :mod:`studies.sharp_measured` writes them.

    Returns:
        A Markdown table: of each run the median over the window, since one minibatch is far from the next, then the
        mean over runs.
    """
    rows = []
    for scenario, arm in steps.select("scenario", "arm").unique(maintain_order=True).rows():
        own = steps.filter(scenario=scenario, arm=arm)
        for first, last in WINDOWS:
            of_run = own.filter(pl.col("step").is_between(first, last)).group_by("seed", maintain_order=True)
            found = of_run.agg(pl.col(*WINDOWED.values()).median())
            cells = [
                with_interval(found[name].drop_nulls().to_list(), BOUNDS.get(heading), found.height)
                for heading, name in WINDOWED.items()
            ]
            rows.append([f"`{arm}` in `{scenario}`", f"{first} to {last}", found.height, *cells])
    return table(["policy", "steps", "seeds", *WINDOWED], rows)
