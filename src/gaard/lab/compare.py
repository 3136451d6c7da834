"""Runs a study: scenarios × arms × seeds, each run on its own, and one file of what came of them."""

import json
import os
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from gaard.errors import CheckpointError, ConfigError, GaardError
from gaard.lab.arms import UNTRAINED
from gaard.lab.collection import collect, write_table
from gaard.lab.engine import RunsProgress, execute
from gaard.lab.frontier import at_kl
from gaard.lab.spec import RunSpec, build_trainer
from gaard.lab.study import RunKey, Study
from gaard.training.checkpoint import write_file
from gaard.training.config import difference, fingerprint
from gaard.training.runlog import CONFIG, METRICS, TIMINGS, read_jsonl

RESULTS, TABLE, TRACE = "results.json", "runs.parquet", "error.txt"
NOT_STATED = ("prompts",)  # a run's configuration has their hash in the place of what was given
WARM_UP_STEPS = 1  # left out of seconds_per_step where there are more


@dataclass(frozen=True)
class Run:
    """One run of a study and what came of it.

    Attributes:
        scenario: Its scenario.
        arm: Its arm, or ``untrained``.
        seed: Its seed.
        folder: Where its files are, relative to the study's folder.
        measures: Measure → number; empty if it failed.
        at_kl: Where it stood at some distances from the untrained model (:func:`gaard.lab.frontier.at_kl`).
        id: Hash of all that its results depend on; None if it failed before that was known.
        error: Why it failed, if it did.
    """

    scenario: str
    arm: str
    seed: int
    folder: str
    measures: dict[str, float]
    at_kl: dict[str, dict[str, float]] = field(default_factory=dict)
    id: str | None = None
    error: str | None = None


def compare(
    study: Study,
    folder: Path,
    *,
    jobs: int = 1,
    announce: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Run every arm with every seed in every scenario, or take up what an earlier call left, and collect the results.

    A run that fails is named in the results and the rest goes on.

    Args:
        study: What to run.
        folder: The study's folder: one folder a run, and ``results.json``.
        jobs: How many runs at once, each in a process of its own with its share of the threads; a script that asks
            for several has to do so under ``if __name__ == "__main__":``. Sums over another
            number of threads may round otherwise: compare figures of one ``jobs`` where the last digit counts.
        announce: Told which run begins or ends.

    Returns:
        The results, as written to ``results.json`` (:func:`gaard.lab.collection.collect`).

    Raises:
        ConfigError: For settings that no run could use.
        CheckpointError: If the folder holds a run of this name under other settings; it is left as it is.
    """
    _check_jobs(jobs)
    specs = study.specs(folder)
    _check_earlier(specs)
    folder.mkdir(parents=True, exist_ok=True)
    known = _earlier_runs(folder)
    runs: dict[RunKey, Run] = {}
    if not known:  # what is to come, for who looks while the first run goes on
        _write(collect([], study), folder)
    for key, run in _carried_out(specs, folder, jobs, announce):
        runs[key] = run
        results = collect([asdict(runs[key]) for key in specs if key in runs], study)
        # Taking up finished runs must not leave less than there was, should it be interrupted.
        if len(runs) >= min(known, len(specs)):
            _write(results, folder)
    return results


def _write(results: Mapping[str, Any], folder: Path) -> None:
    """The results as JSON, and the runs as a table."""
    if os.environ.get("RANK", "0") == "0":  # PartialState would settle the device before a run can
        write_file(folder / RESULTS, json.dumps(results, indent=2) + "\n")
        write_table(results["runs"], folder / TABLE)


def _check_jobs(jobs: int) -> None:
    """Several jobs on one machine, or several processes on one job."""
    if isinstance(jobs, bool) or not isinstance(jobs, int) or jobs < 1:
        raise ConfigError(f"jobs={jobs!r} must be a whole number, 1 or more")
    launched = int(os.environ.get("WORLD_SIZE", "1"))
    if jobs > 1 and launched > 1:
        raise ConfigError(f"jobs={jobs} under {launched} launched processes: use one or the other")


def _check_earlier(specs: Mapping[RunKey, RunSpec]) -> None:
    """Refuse before anything is run, so that results of other settings are not overwritten by errors."""
    for key, spec in specs.items():
        try:
            there = json.loads((Path(spec.output_dir) / CONFIG).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue  # no run yet, or a torn file, which the run itself will tell of
        here = json.loads(json.dumps(spec.identity()))
        stated = {name: value for name, value in there.items() if name in here and name not in NOT_STATED}
        changed = difference(stated, {name: here[name] for name in stated})
        if changed and not spec.overwrite:
            raise CheckpointError(
                f"{spec.output_dir} holds the run {key} under other settings: use another --out, or --overwrite to "
                "delete its runs. What differs:\n  " + "\n  ".join(changed)
            )


def _earlier_runs(folder: Path) -> int:
    """How many runs an earlier call left results of."""
    try:
        return len(json.loads((folder / RESULTS).read_text(encoding="utf-8"))["runs"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0  # none, or torn: it is written again from the runs themselves


def _carried_out(
    specs: Mapping[RunKey, RunSpec], folder: Path, jobs: int, announce: Callable[[str], None]
) -> Iterator[tuple[RunKey, Run]]:
    """Key and outcome of each run as it ends; the first alone, since what stops it would stop them all."""
    keys = list(specs)
    tasks = [partial(_run, key, spec, folder) for key, spec in specs.items()]
    announce(f"run 1/{len(tasks)}: {keys[0]}")
    yield keys[0], tasks[0](alone=True)
    if jobs == 1:
        for number, (key, task) in enumerate(zip(keys[1:], tasks[1:], strict=True), 2):
            announce(f"run {number}/{len(tasks)}: {key}")
            yield key, task()
        return
    trained = [spec for key, spec in specs.items() if key.arm != UNTRAINED]
    quiet = [partial(task, progress=False) for task in tasks[1:]]
    with RunsProgress(trained, jobs) as progress:
        for index, run in execute(quiet, min(jobs, len(quiet)), progress.look):
            progress.look()
            announce(f"run {index + 2}/{len(tasks)}: {keys[index + 1]}: {run.error or 'done'}")
            yield keys[index + 1], run


def _run(key: RunKey, spec: RunSpec, folder: Path, *, alone: bool = False, progress: bool = True) -> Run:
    """Train and measure one run, unless that is done; raise what stops it if it is alone, else keep it."""
    spec = replace(spec, progress=spec.progress and progress)
    run = Run(key.scenario, key.arm, key.seed, key.folder, {})
    try:
        trainer = build_trainer(spec)
        trainer.claim_folder()
        if key.arm != UNTRAINED:
            trainer.train()
        run = replace(
            run, id=fingerprint(trainer.record()), measures=_measures(Path(spec.output_dir), trainer.evaluated)
        )
        (Path(spec.output_dir) / TRACE).unlink(missing_ok=True)  # of an earlier failure
        if spec.reference_reset_steps:
            return run  # its KL is to a reference that moved: it has no place among equals
        return replace(run, at_kl=at_kl(read_jsonl(Path(spec.output_dir) / METRICS)))
    except Exception as error:
        if alone:
            raise
        if not isinstance(error, GaardError):  # a defect, or out of memory: the rest goes on, the trace is kept
            write_file(Path(spec.output_dir) / TRACE, traceback.format_exc())
        return replace(run, error=f"{type(error).__name__}: {error}")


def _measures(folder: Path, evaluated: Callable[[], dict[str, float]]) -> dict[str, float]:
    """Evaluation of the final policy and the time a step took."""
    measures = evaluated()
    seconds = [row["seconds"] for row in read_jsonl(folder / TIMINGS)]
    if seconds:
        measures["seconds_per_step"] = median(seconds[WARM_UP_STEPS:] or seconds)
    return measures
