"""Runs a study: scenarios × arms × seeds, each run on its own, and one file of what came of them."""

import json
import os
import traceback
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from platform import node
from statistics import median
from typing import Any, NamedTuple

from gaard.disclosure import redacted
from gaard.errors import CheckpointError, ConfigError, GaardError
from gaard.lab.agreement import Known, check_agreement
from gaard.lab.arms import UNTRAINED
from gaard.lab.collection import collect
from gaard.lab.engine import execute
from gaard.lab.frontier import at_kl, frontier_area, knows_hacks
from gaard.lab.progress import RunsProgress
from gaard.lab.ray_engine import connected, execute_on_ray
from gaard.lab.spec import RunSpec, build_trainer
from gaard.lab.spec_rewards import deciding, rewards_identity
from gaard.lab.study import RunKey, Study
from gaard.lab.summary import Summary, earlier_runs, is_first_process, no_longer_told, write
from gaard.settings import suggest
from gaard.training.checkpoint import write_file
from gaard.training.difference import difference
from gaard.training.identity import determining_settings, fingerprint
from gaard.training.lock import alone_in
from gaard.training.runlog import METRICS, RUN, TIMINGS, WARNINGS, read_jsonl, read_record
from gaard.version import ALGORITHM_VERSION

TRACE = "error.txt"
WARM_UP_STEPS = 1  # left out of seconds_per_step where there are more


class Engine(NamedTuple):
    """Where runs are carried out.

    Attributes:
        execute: Calls tasks several at once, as :func:`gaard.lab.engine.execute` does.
        session: What is held open from the first run to the last, for so many at once.
        here: Whether a run that goes on alone does so in this process.
    """

    execute: Callable[..., Iterator[tuple[int, Any]]]
    session: Callable[[int], AbstractContextManager[Any]]
    here: bool


ENGINES = {"processes": Engine(execute, nullcontext, True), "ray": Engine(execute_on_ray, connected, False)}


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
        warnings: What its training warned of.
    """

    scenario: str
    arm: str
    seed: int
    folder: str
    measures: dict[str, float]
    at_kl: dict[str, dict[str, float]] = field(default_factory=dict)
    id: str | None = None
    error: str | None = None
    warnings: list[str] = field(default_factory=list)


def compare(
    study: Study,
    folder: Path,
    *,
    jobs: int = 1,
    engine: str = "processes",
    announce: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Run every arm with every seed in every scenario, or take up what an earlier call left, and collect the results.

    A run that fails is named in the results and the rest goes on. So is one by other rewards than the first of its
    scenario, or by another method than the first of its arm, where a user's file is edited while the study runs.

    Args:
        study: What to run.
        folder: The study's folder: one folder a run, and ``results.json``.
        jobs: How many runs at once, each in a process of its own with its share of the threads; a script that asks
            for several has to do so under ``if __name__ == "__main__":``. Sums over another number of threads may
            round otherwise.
        engine: Where: ``processes`` of this machine, or the machines of a ``ray`` cluster, which all have to see the
            folder at the same path (:mod:`gaard.lab.ray_engine`).
        announce: Told how many runs there are, and which of them begins or ends.

    Returns:
        The results, as written to ``results.json`` (:func:`gaard.lab.collection.collect`).

    Raises:
        ConfigError: For settings that no run could use.
        CheckpointError: If the folder holds a run of this name under other settings; it is left as it is.
        GaardError: If a process died, or the engine cannot be used.
    """
    _check_engine(jobs, engine)
    specs, chosen = study.specs(folder), ENGINES[engine]
    _check_earlier(specs)
    runs: dict[RunKey, Run] = {}
    agreed: Known = {}
    alone = alone_in(folder, "--out") if is_first_process() else nullcontext()
    carried_out = _carried_out(specs, folder, jobs, chosen, announce, agreed)
    with chosen.session(jobs), alone, closing(carried_out) as outcomes:
        earlier = earlier_runs(folder)
        _tell_what_is_absent(study, specs, earlier, announce)
        summary = Summary(study, specs, folder, len(earlier))
        if not summary.known:  # what is to come, for who looks while the first run goes on
            write(collect([], study), folder)
        for key, run in outcomes:
            runs[key] = _in_agreement(run, key, specs[key], agreed)
            summary.add(runs)
    return summary.results


def _tell_what_is_absent(
    study: Study, specs: Mapping[RunKey, RunSpec], earlier: Sequence[RunKey], announce: Callable[[str], None]
) -> None:
    """What cannot be run, and what an earlier command ran."""
    for scenario, arm in study.left_out:
        announce(f"left out: {arm} in {scenario}, whose reward has no ensemble, or tells no features")
    if gone := no_longer_told(earlier, specs):
        announce(gone)


def _check_engine(jobs: int, engine: str) -> None:
    """Several jobs on one machine or cluster, or several processes on one job."""
    if engine not in ENGINES:
        raise ConfigError(f"engine={engine!r} is not known: {suggest(str(engine), ENGINES)}")
    if isinstance(jobs, bool) or not isinstance(jobs, int) or jobs < 1:
        raise ConfigError(f"jobs={jobs!r} must be a whole number, 1 or more")
    launched = int(os.environ.get("WORLD_SIZE", "1"))
    if launched > 1 and (jobs > 1 or engine != "processes"):
        raise ConfigError(f"jobs={jobs}, engine={engine!r} under {launched} launched processes: use one or the other")


def _check_earlier(specs: Mapping[RunKey, RunSpec]) -> None:
    """Refuse before anything is run, so that results of other settings or rewards are not overwritten by errors."""
    rewards: dict[str, dict[str, Any]] = {}  # by what states them: some take long to load
    for key, spec in specs.items():
        there = None if spec.overwrite else read_record(Path(spec.output_dir) / RUN)
        if there is None:
            continue
        given = deciding(spec)
        rewards[given] = rewards.get(given) or rewards_identity(spec)
        earlier = {name: there[name] for name in ("algorithm", "rewards")}
        settings = determining_settings(json.loads(json.dumps(spec.record())))
        expected = {**settings, "algorithm": ALGORITHM_VERSION, "rewards": rewards[given]}
        changed = difference({**determining_settings(there["config"]), **earlier}, expected)
        if changed:
            raise CheckpointError(
                f"{spec.output_dir} holds the run {key} under other settings: use another --out, or --overwrite to "
                "delete its runs. What differs:\n  " + "\n  ".join(changed)
            )


def _carried_out(
    specs: Mapping[RunKey, RunSpec],
    folder: Path,
    jobs: int,
    engine: Engine,
    announce: Callable[[str], None],
    agreed: Known,
) -> Generator[tuple[RunKey, Run], None, None]:
    """Key and outcome of each run as it ends; the first alone, since what stops it would stop them all."""
    tasks = [_Task(key, spec, folder, agreed) for key, spec in specs.items()]
    first, rest, jobs = replace(tasks[0], alone=True), tasks[1:], min(jobs, len(tasks) - 1)
    of = f"/{len(tasks)}: "
    announce(f"{len(tasks)} runs in {folder}{f', {jobs} at once' * (jobs > 1)}")
    announce(f"run 1{of}{first}")
    if engine.here:
        yield first.key, first()
    else:
        yield from ((first.key, run) for _, run in engine.execute([first.silent()], jobs))
    if engine.here and jobs == 1:
        for number, task in enumerate(rest, 2):
            announce(f"run {number}{of}{task}")
            yield task.key, task()
        return
    trained = [spec for key, spec in specs.items() if key.arm != UNTRAINED]
    with RunsProgress(trained, jobs) as progress:
        progress.look()

        def begun(index: int) -> None:
            announce(f"run {index + 2}{of}{rest[index]}")

        for index, run in engine.execute([task.silent() for task in rest], jobs, progress.look, begun):
            progress.look()
            announce(f"run {index + 2}{of}{rest[index]}: {run.error or 'done'}")
            yield rest[index].key, run


def _in_agreement(run: Run, key: RunKey, spec: RunSpec, agreed: Known) -> Run:
    """The run, or its error if its record is not of one study with the first ones'."""
    record = None if run.error else read_record(Path(spec.output_dir) / RUN)
    try:
        if record is not None:
            check_agreement(agreed, key, record)
    except GaardError as error:
        return replace(run, measures={}, at_kl={}, error=f"{type(error).__name__}: {error}")
    return run


@dataclass(frozen=True)
class _Task:
    """Trains and measures one run, unless that is done; raises what stops it if it is alone, else keeps it."""

    key: RunKey
    spec: RunSpec
    folder: Path
    # Shared by the runs of this process; another one gets what is known when the run is sent there.
    agreed: Known = field(default_factory=dict)
    alone: bool = False

    def __str__(self) -> str:
        return str(self.key)

    def silent(self) -> "_Task":
        """The same without a progress bar of its own."""
        return replace(self, spec=replace(self.spec, progress=False))

    def __call__(self) -> Run:
        if not self.folder.is_dir():  # a machine that does not share it would train where nobody looks
            raise GaardError(f"{self.folder} is not there on {node()}: each machine has to see it at the same path")
        run = Run(self.key.scenario, self.key.arm, self.key.seed, self.key.folder, {})
        try:
            trainer = build_trainer(self.spec)
            check_agreement(self.agreed, self.key, json.loads(json.dumps(trainer.record())))
            trainer.claim_folder()
            run = replace(run, id=fingerprint(trainer.record()))
            trainer.train()
            rows = read_jsonl(Path(self.spec.output_dir) / METRICS)
            told = read_jsonl(Path(self.spec.output_dir) / WARNINGS)
            run = replace(run, warnings=[str(row["warning"]) for row in told if "warning" in row])
            measures = _measures(Path(self.spec.output_dir), trainer.evaluated, rows)
            (Path(self.spec.output_dir) / TRACE).unlink(missing_ok=True)  # of an earlier failure
            if any(one.moves_reference for one in self.spec.regularizers):
                return replace(run, measures=measures)  # its KL is to a reference that moved: no place among equals
            return replace(run, measures=measures, at_kl=at_kl(rows))
        except Exception as error:
            if self.alone:
                raise
            _keep_trace(error, Path(self.spec.output_dir) / TRACE)
            return replace(run, error=redacted(f"{type(error).__name__}: {error}"))


def _keep_trace(error: Exception, path: Path) -> None:
    """Of a defect, or of memory that ran out: the rest goes on. What a message tells in full needs none."""
    if isinstance(error, GaardError):
        path.unlink(missing_ok=True)  # of an earlier failure, of another kind
    else:
        write_file(path, redacted("".join(traceback.format_exception(error))))


def _measures(
    folder: Path, evaluated: Callable[[], dict[str, float]], rows: Sequence[Mapping[str, float]]
) -> dict[str, float]:
    """Evaluation of the final policy, what its training came by, and the time a step took."""
    measures = evaluated()
    if rows and knows_hacks(rows[0]):
        measures["frontier_area"] = frontier_area(rows, measures)
    seconds = [row["seconds"] for row in read_jsonl(folder / TIMINGS) if isinstance(row.get("seconds"), float)]
    if seconds:
        measures["seconds_per_step"] = median(seconds[WARM_UP_STEPS:] or seconds)
    return measures
