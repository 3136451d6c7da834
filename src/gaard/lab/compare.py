"""Arms × seeds: the same model, prompts, rewards and budget for each, and one table of what came out."""

import json
import os
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from accelerate import PartialState

from gaard.errors import CheckpointError, ConfigError, GaardError
from gaard.lab.engine import RunsProgress, execute
from gaard.lab.scenarios import with_scenario
from gaard.lab.spec import RunSpec, build_trainer
from gaard.lab.statistics import mean_interval
from gaard.method.presets import PRESETS
from gaard.training.checkpoint import write_file
from gaard.training.config import determining, difference, suggest
from gaard.training.evaluation import MEASURES as EVALUATED
from gaard.training.runlog import TIMINGS, read_jsonl

MEASURES = (*EVALUATED, "seconds_per_step")
BOUNDS: dict[str, tuple[float, float]] = {"hack_rate": (0.0, 1.0)}
NON_NEGATIVE = ("kl", "entropy", "completion_length", "seconds_per_step")
UNTRAINED = "untrained"
RESULTS, TRACE = "results.json", "error.txt"
WARM_UP_STEPS = 1  # left out of seconds_per_step where there are more


@dataclass(frozen=True)
class Run:
    """One run of a comparison and what came of it.

    Attributes:
        arm: Its arm, or ``untrained``.
        seed: Its seed.
        folder: Where its files are, relative to the comparison's folder.
        measures: Measure → number; empty if it failed.
        error: Why it failed, if it did.
    """

    arm: str
    seed: int
    folder: str
    measures: dict[str, float]
    error: str | None = None


def check_arms(arms: Sequence[str]) -> list[str]:
    """The arms of a comparison: names of method presets.

    Args:
        arms: As given.

    Returns:
        The same, checked.

    Raises:
        ConfigError: For none, one that is not known, or one given twice.
    """
    if not arms:
        raise ConfigError("arms is empty: name some, such as ppo,gaa")
    for arm in arms:
        if arm not in PRESETS:
            raise ConfigError(f"arms: {arm!r} is not known: {suggest(arm, PRESETS)}")
    if len(set(arms)) != len(arms):
        raise ConfigError(f"arms={','.join(arms)} names an arm twice")
    return list(arms)


def compare(
    settings: Mapping[str, Any],
    arms: Sequence[str],
    seeds: Iterable[int],
    folder: Path,
    *,
    jobs: int = 1,
    announce: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Run every arm with every seed, or take up what an earlier call left, and collect the results.

    Runs go seed by seed, so that a comparison that is cut short has whole seeds to show. A run that fails is named in
    the results and the rest goes on.

    Args:
        settings: Fields of :class:`RunSpec`; ``method``, ``seed`` and ``output_dir`` are set for each run. A scenario
            among them brings its own, which they override.
        arms: Names of method presets.
        seeds: The seeds, the same for each arm.
        folder: The comparison's folder: one folder a run, and ``results.json``.
        jobs: How many runs at once, each in a process of its own with its share of the threads; a script that asks
            for several has to do so under ``if __name__ == "__main__":``. Sums over another
            number of threads may round otherwise: compare figures of one ``jobs`` where the last digit counts.
        announce: Told which run begins or ends.

    Returns:
        The results, as written to ``results.json``.

    Raises:
        ConfigError: For settings that no run could use.
    """
    arms, seeds, settings = check_arms(arms), list(seeds), with_scenario(settings)
    _check_jobs(jobs)
    folder.mkdir(parents=True, exist_ok=True)
    specs = {(a, s): run_spec(settings, a, s, folder) for s in seeds for a in (UNTRAINED, *arms)}
    known = _earlier_runs(folder, settings)
    runs: list[Run | None] = [None] * len(specs)
    for index, run in _carried_out(specs, folder, jobs, announce):
        runs[index] = run
        done = [run for run in runs if run is not None]
        results = collect(done, arms, settings)
        # Taking up finished runs must not leave less than there was, should it be interrupted.
        if PartialState().is_main_process and len(done) >= min(known, len(specs)):
            write_file(folder / RESULTS, json.dumps(results, indent=2) + "\n")
    return results


def _check_jobs(jobs: int) -> None:
    """Several jobs on one machine, or several processes on one job."""
    if isinstance(jobs, bool) or not isinstance(jobs, int) or jobs < 1:
        raise ConfigError(f"jobs={jobs!r} must be a whole number, 1 or more")
    launched = int(os.environ.get("WORLD_SIZE", "1"))  # PartialState would settle the device before a run can
    if jobs > 1 and launched > 1:
        raise ConfigError(f"jobs={jobs} under {launched} launched processes: use one or the other")


def _carried_out(
    specs: Mapping[tuple[str, int], RunSpec], folder: Path, jobs: int, announce: Callable[[str], None]
) -> Iterator[tuple[int, Run]]:
    """Index and outcome of each run as it ends; the first alone, since what stops it would stop them all."""
    names = [f"{arm}, seed {seed}" for arm, seed in specs]
    tasks = [partial(_run, arm, seed, spec, folder) for (arm, seed), spec in specs.items()]
    announce(f"run 1/{len(tasks)}: {names[0]}")
    yield 0, tasks[0](alone=True)
    if jobs == 1:
        for index, task in enumerate(tasks[1:], 1):
            announce(f"run {index + 1}/{len(tasks)}: {names[index]}")
            yield index, task()
        return
    trained = [spec for (arm, _), spec in specs.items() if arm != UNTRAINED]
    quiet = [partial(task, progress=False) for task in tasks[1:]]
    with RunsProgress(trained, jobs) as progress:
        for index, run in execute(quiet, min(jobs, len(quiet)), progress.look):
            progress.look()
            announce(f"run {index + 2}/{len(tasks)}: {names[index + 1]}: {run.error or 'done'}")
            yield index + 1, run


def _earlier_runs(folder: Path, settings: Mapping[str, Any]) -> int:
    """How many runs an earlier call left here, if it compared under the same settings.

    Raises:
        CheckpointError: If its settings were others; its results are left as they are.
    """
    path = folder / RESULTS
    if settings.get("overwrite") or not path.exists():
        return 0
    try:
        earlier = json.loads(path.read_text(encoding="utf-8"))
        config, runs = earlier["config"], len(earlier["runs"])
    except (ValueError, KeyError, TypeError):
        return 0  # torn: it is written again from the runs themselves
    per_run = {"method", "seed"}
    there, here = ({k: v for k, v in determining(c).items() if k not in per_run} for c in (config, settings))
    changed = difference(there, json.loads(json.dumps(here)))
    if changed:
        raise CheckpointError(
            f"{folder} holds a comparison under other settings: use another --out, or --overwrite to delete its runs. "
            "What differs:\n  " + "\n  ".join(changed)
        )
    return runs


def run_spec(settings: Mapping[str, Any], arm: str, seed: int, folder: Path) -> RunSpec:
    """The run of one arm and seed."""
    method = {} if arm == UNTRAINED else {"method": arm}
    return RunSpec(**{**settings, **method, "seed": seed, "output_dir": str(folder / f"{arm}-seed{seed}")})


def _run(arm: str, seed: int, spec: RunSpec, folder: Path, *, alone: bool = False, progress: bool = True) -> Run:
    """Train and measure one run, unless that is done; raise what stops it if it is alone, else keep it."""
    name = str(Path(spec.output_dir).relative_to(folder))
    spec = replace(spec, progress=spec.progress and progress)
    try:
        trainer = build_trainer(spec)
        trainer.claim_folder()
        if arm != UNTRAINED:
            trainer.train()
        measures = _measures(Path(spec.output_dir), trainer.evaluated)
        (Path(spec.output_dir) / TRACE).unlink(missing_ok=True)  # of an earlier failure
        return Run(arm, seed, name, measures)
    except Exception as error:
        if alone:
            raise
        if not isinstance(error, GaardError):  # a defect, or out of memory: the rest goes on, the trace is kept
            write_file(Path(spec.output_dir) / TRACE, traceback.format_exc())
        return Run(arm, seed, name, {}, f"{type(error).__name__}: {error}")


def _measures(folder: Path, evaluated: Callable[[], dict[str, float]]) -> dict[str, float]:
    """Evaluation of the final policy and the time a step took."""
    measures = evaluated()
    seconds = [row["seconds"] for row in read_jsonl(folder / TIMINGS)]
    if seconds:
        measures["seconds_per_step"] = median(seconds[WARM_UP_STEPS:] or seconds)
    return measures


def collect(runs: Sequence[Run], arms: Sequence[str], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Intervals over seeds of every measure of every arm.

    Args:
        runs: What there is so far.
        arms: Arms in the order of the table.
        settings: What the runs had in common.

    Returns:
        ``{"arms": {ARM: {MEASURE: {"mean", "low", "high", "n"}}}, "untrained": {MEASURE: …}, "runs": […],
        "config": …}``.
    """
    by_arm = {arm: [run.measures for run in runs if run.arm == arm and run.error is None] for arm in (*arms, UNTRAINED)}
    table = {arm: _intervals(measured) for arm, measured in by_arm.items()}
    untrained = table.pop(UNTRAINED)
    return {"arms": table, "untrained": untrained, "runs": [asdict(run) for run in runs], "config": dict(settings)}


def _intervals(measured: Sequence[Mapping[str, float]]) -> dict[str, dict[str, Any]]:
    """Interval of each measure that the runs have."""
    intervals = {}
    for name in MEASURES:
        values = [measures[name] for measures in measured if name in measures]
        if values:
            bounds = BOUNDS.get(name, (0.0, float("inf")) if name in NON_NEGATIVE else None)
            intervals[name] = asdict(mean_interval(values, bounds))
    return intervals
