"""From runs to what they say together: intervals over seeds, differences to PPO, the tax."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gaard.lab.arms import UNTRAINED
from gaard.lab.frontier import frontier
from gaard.lab.statistics import holm, iqm_interval, mean_interval, paired_difference
from gaard.lab.study import Study
from gaard.training.evaluation import MEASURES as EVALUATED

MEASURES = (*EVALUATED, "frontier_area", "seconds_per_step")
SHARES = ("hack_rate", "distinct_1", "distinct_2", "eta")
NON_NEGATIVE = (
    *("hack_count", "kl", "entropy", "completion_length"),
    *("untrained_perplexity", "frontier_area", "seconds_per_step"),
)
TESTED = ("hack_rate", "true_reward", "gold_reward", "kl", "frontier_area")  # against the baseline
BASELINE, CLEAN = "ppo", "clean"
BOOTSTRAP_SEED = 0


def collect(runs: Sequence[Mapping[str, Any]], study: Study) -> dict[str, Any]:
    """Intervals over seeds of every measure of every arm, and what each arm differs from PPO by.

    Args:
        runs: What there is so far, as dictionaries of :class:`gaard.lab.compare.Run`.
        study: What is being run.

    Returns:
        ``{"scenarios": {SCENARIO: {"arms": {ARM: {MEASURE: {"mean", "low", "high", "n", "iqm"}}}, "untrained":
        {MEASURE: …}, "differences": {ARM: {MEASURE: {"mean", "low", "high", "p", "p_holm", "n"}}}, "frontier":
        {KL: {ARM: {"hack_rate": …, "true_reward": …, "runs"}}}}}, "baseline",
        "tax": {ARM: …}, "runs": […], "study": …}``.
    """
    arms = [arm.name for arm in study.arms]
    baseline = baseline_of(arms)
    scenarios = {}
    for label in study.scenarios:
        here = [run for run in runs if run["scenario"] == label and run["error"] is None]
        by_arm = {arm: {run["seed"]: run["measures"] for run in here if run["arm"] == arm} for arm in arms}
        table = {arm: _intervals(list(measured.values())) for arm, measured in by_arm.items()}
        untrained = _intervals([run["measures"] for run in here if run["arm"] == UNTRAINED])
        scenarios[label] = {
            "arms": table,
            "untrained": untrained,
            "differences": _differences(by_arm, baseline),
            "frontier": frontier(here, arms),
        }
    tax = {arm: _negated(found.get("true_reward")) for arm, found in _of(scenarios, CLEAN).items()}
    return {
        "scenarios": scenarios,
        "baseline": baseline,
        "tax": tax,
        "runs": [dict(run) for run in runs],
        "study": study.record(),
    }


def write_table(runs: Sequence[Mapping[str, Any]], path: Path) -> None:
    """The runs as a Parquet file, a row each: what identifies it, its error, and every measure.

    Args:
        runs: As in :func:`collect`.
        path: The file.
    """
    texts = [(name, pa.string()) for name in ("id", "scenario", "arm", "folder", "error")]
    numbers = [(name, pa.float64()) for name in MEASURES]
    rows = [{**run, **run["measures"]} for run in runs]
    table = pa.Table.from_pylist(rows, pa.schema([*texts, ("seed", pa.int64()), *numbers]))
    pq.write_table(table, path.with_suffix(".tmp"))
    path.with_suffix(".tmp").replace(path)


def _of(scenarios: Mapping[str, Any], label: str) -> dict[str, Any]:
    """The differences of one scenario, if it is among them."""
    return scenarios[label]["differences"] if label in scenarios else {}


def _negated(difference: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What was lost, of what was gained."""
    if difference is None:
        return None
    low, high = (None if difference[end] is None else -difference[end] for end in ("high", "low"))
    return {**difference, "mean": -difference["mean"], "low": low, "high": high}


def can_be(measure: str) -> tuple[float, float]:
    """The least and the most that a measure can be."""
    if measure in SHARES:
        return 0.0, 1.0
    return (0.0 if measure in NON_NEGATIVE else -float("inf")), float("inf")


def _intervals(measured: Sequence[Mapping[str, float]]) -> dict[str, dict[str, Any]]:
    """Interval of each measure that the runs have."""
    intervals = {}
    for name in MEASURES:
        values = [measures[name] for measures in measured if name in measures]
        if values:
            bounds = can_be(name)
            middle = iqm_interval(values, np.random.default_rng(BOOTSTRAP_SEED), bounds)
            iqm = {"mean": middle.mean, "low": middle.low, "high": middle.high}
            intervals[name] = {**asdict(mean_interval(values, bounds)), "iqm": iqm}
    return intervals


def baseline_of(arms: Sequence[str]) -> str:
    """The arm that others are compared with.

    Args:
        arms: Those of a study, in its order, without the untrained model.

    Returns:
        ``ppo``, or the first where it did not run.
    """
    return BASELINE if BASELINE in arms else arms[0]


def _differences(by_arm: Mapping[str, Mapping[int, Mapping[str, float]]], baseline: str) -> dict[str, dict[str, Any]]:
    """Each arm less the baseline on common seeds; p values adjusted over the arms, a measure at a time."""
    others: dict[str, dict[str, Any]] = {arm: {} for arm in by_arm if arm != baseline}
    for name in TESTED:
        numbers = {
            arm: {seed: measures[name] for seed, measures in seeds.items() if name in measures}
            for arm, seeds in by_arm.items()
        }
        low, high = can_be(name)
        differences = {
            arm: paired_difference(numbers[arm], numbers[baseline], (low - high, high - low)) for arm in others
        }
        tested = {arm: one.p for arm, one in differences.items() if one is not None and one.p is not None}
        adjusted = dict(zip(tested, holm(list(tested.values())), strict=True))
        for arm, difference in differences.items():
            if difference is not None:
                others[arm][name] = {**asdict(difference), "p_holm": adjusted.get(arm)}
    return others
