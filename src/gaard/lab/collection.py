"""From runs to what they say together: intervals over seeds, differences to the baseline, the tax."""

from gaard.extras import need

need("lab", "the lab")

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gaard.lab.arms import UNTRAINED
from gaard.lab.frontier import frontier
from gaard.lab.league import standings
from gaard.lab.measures import OF_RUN, Measure, compared
from gaard.lab.statistics import adjusted, iqm_interval, mean_interval, paired_difference
from gaard.lab.study import Study
from gaard.lab.verdicts import verdicts
from gaard.training.checkpoint import disk_error
from gaard.version import ALGORITHM_VERSION

BOOTSTRAP_SEED = 0


def collect(runs: Sequence[Mapping[str, Any]], study: Study) -> dict[str, Any]:
    """Intervals over seeds of every measure of every arm, and what each arm differs from the baseline by.

    Args:
        runs: What there is so far, as dictionaries of :class:`gaard.lab.compare.Run`.
        study: What is being run.

    Returns:
        ``{"scenarios": {SCENARIO: {"arms": {ARM: {MEASURE: {"mean", "low", "high", "n", "iqm"}}}, "untrained":
        {MEASURE: …}, "differences": {ARM: {MEASURE: {"mean", "low", "high", "p", "p_holm", "n"}}}, "frontier":
        {KL: {ARM: {"hack_rate": …, "true_reward": …, "runs"}}}}}, "baseline",
        "tax": {CONTROL: {ARM: …}}, "standings": […] (:func:`gaard.lab.league.standings`),
        "verdicts": […] (:func:`gaard.lab.verdicts.verdicts`), "runs": […], "study": …}``.
    """
    arms = [arm.name for arm in study.arms]
    scenarios = {}
    for label in study.scenarios:
        here = [run for run in runs if run["scenario"] == label and run["error"] is None]
        by_arm = {arm: {run["seed"]: run["measures"] for run in here if run["arm"] == arm} for arm in arms}
        table = {arm: _intervals(list(measured.values())) for arm, measured in by_arm.items()}
        untrained = _intervals([run["measures"] for run in here if run["arm"] == UNTRAINED])
        scenarios[label] = {
            "arms": table,
            "untrained": untrained,
            "differences": _differences(by_arm, study.baseline),
            "frontier": frontier(here, arms),
        }
    tax = {label: _tax(scenarios[label]["differences"]) for label in study.controls}
    return {
        "scenarios": scenarios,
        "baseline": study.baseline,
        "tax": tax,
        "standings": standings(runs, study),
        "verdicts": verdicts(runs, study),
        "runs": [dict(run) for run in runs],
        "study": study.record(),
    }


def write_table(runs: Sequence[Mapping[str, Any]], path: Path) -> None:
    """The runs as a Parquet file, a row each: what identifies it, its error, and every measure.

    Args:
        runs: As in :func:`collect`.
        path: The file; it is the old one or the new one, whole, at any moment.

    Raises:
        CheckpointError: If the disk does not take it.
    """
    texts = [(name, pa.string()) for name in ("id", "scenario", "arm", "folder", "error")]
    numbers = [(name, pa.float64()) for name in OF_RUN]
    rows = [{**run, **run["measures"], "algorithm": ALGORITHM_VERSION} for run in runs]
    table = pa.Table.from_pylist(rows, pa.schema([*texts, ("seed", pa.int64()), ("algorithm", pa.int64()), *numbers]))
    temporary = path.with_suffix(".tmp")
    try:
        pq.write_table(table, temporary)
        temporary.replace(path)
    except OSError as error:  # Arrow names no file in its own
        temporary.unlink(missing_ok=True)
        raise disk_error(path, error) from error


def _tax(differences: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The true reward that each arm lost where there was nothing to exploit."""
    gained = {arm: found["true_reward"] for arm, found in differences.items() if "true_reward" in found}
    return {arm: _negated(difference) for arm, difference in gained.items()}


def _negated(difference: Mapping[str, Any]) -> dict[str, Any]:
    """What was lost, of what was gained."""
    low, high = (None if difference[end] is None else -difference[end] for end in ("high", "low"))
    return {**difference, "mean": -difference["mean"], "low": low, "high": high}


def _intervals(measured: Sequence[Mapping[str, float]]) -> dict[str, dict[str, Any]]:
    """Interval of each measure that the runs have."""
    intervals = {}
    for name, measure in OF_RUN.items():
        values = [measures[name] for measures in measured if name in measures]
        if values:
            bounds = measure.bounds
            middle = iqm_interval(values, np.random.default_rng(BOOTSTRAP_SEED), bounds)
            iqm = {"mean": middle.mean, "low": middle.low, "high": middle.high}
            intervals[name] = {**asdict(mean_interval(values, bounds)), "iqm": iqm}
    return intervals


def _differences(by_arm: Mapping[str, Mapping[int, Mapping[str, float]]], baseline: str) -> dict[str, dict[str, Any]]:
    """Each arm less the baseline on common seeds, by every measure that is compared."""
    others: dict[str, dict[str, Any]] = {arm: {} for arm in by_arm if arm != baseline}
    for measure in compared():
        for arm, difference in _differences_by(measure, by_arm, baseline).items():
            others[arm][measure.name] = difference
    return others


def _differences_by(
    measure: Measure, by_arm: Mapping[str, Mapping[int, Mapping[str, float]]], baseline: str
) -> dict[str, dict[str, Any]]:
    """The same by one measure, of arms that share a seed with the baseline; p values adjusted over these arms."""
    numbers = {
        arm: {seed: measures[measure.name] for seed, measures in seeds.items() if measure.name in measures}
        for arm, seeds in by_arm.items()
    }
    found = {
        arm: paired_difference(own, numbers[baseline], measure.difference_bounds)
        for arm, own in numbers.items()
        if arm != baseline
    }
    return adjusted({arm: difference for arm, difference in found.items() if difference is not None})
