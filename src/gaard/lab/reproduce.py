"""A run made again from its record, and whether it came out the same."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gaard.errors import ConfigError
from gaard.lab.spec import RunSpec, build_trainer, read_config
from gaard.training.difference import difference
from gaard.training.identity import determining, made_by
from gaard.training.progress import StepProgress
from gaard.training.runlog import EVALUATION, METRICS, RUN, read_jsonl, read_record

if TYPE_CHECKING:
    from gaard.training.trainer import GAATrainer


NEWER = ("python", "numpy", "processor")  # facts that records of gaard before 0.1.0 lack


@dataclass(frozen=True)
class Reproduction:
    """What came of it.

    Attributes:
        steps: How many were made again.
        changed: What determines a run and is another now, a line each: settings, model, rewards, prompts.
        versions: What differs in code and machine, a line each.
        first: The first step whose metrics differ; None if all are the same to the last digit.
        where: The first metric of that step that differs, in the order of the log, with both numbers; empty without.
        largest: The largest relative difference of any metric of any step, and which.
        measures: The same of what was measured after training; None if the first run was not measured.
    """

    steps: int
    changed: list[str]
    versions: list[str]
    first: int | None
    where: str
    largest: tuple[float, str]
    measures: tuple[float, str] | None

    @property
    def same(self) -> bool:
        """Whether every number of every step is the same, and every measure after it."""
        return self.first is None and (self.measures is None or self.measures[0] == 0)


def reproduce(folder: Path, again: Path) -> Reproduction:
    """Train a run again, as far as the first one went, and measure it if the first one was measured.

    Args:
        folder: Of a run that ``gaard train`` or ``compare`` made.
        again: Of the new one; what was interrupted there goes on.

    Returns:
        What came of it.

    Raises:
        ConfigError: If the folder holds no run, or one whose rewards are not in its record; if the other folder holds
            as many steps already.
        GaardError: As a run does.
    """
    record, rows = read_record(folder / RUN), read_jsonl(folder / METRICS)
    if record is None or not rows:
        raise ConfigError(f"{folder} holds no run with steps: give the output_dir of gaard train")
    if len(read_jsonl(again / METRICS)) >= len(rows):
        raise ConfigError(
            f"{again} holds a run of {len(rows)} steps or more already, and nothing would be trained: delete it, or "
            "give another folder with --out"
        )
    trainer = trainer_of_record(folder, again, record)
    with trainer.opened_run(), StepProgress(len(rows), f"{folder.name} again") as progress:
        while trainer.state.step < len(rows):
            progress.show(trainer.state.step + 1, trainer.training_step())
    measured = (folder / EVALUATION).exists() and trainer.run.finished
    measures = apart(json.loads((folder / EVALUATION).read_text("utf-8")), trainer.evaluated()) if measured else None
    new = read_record(again / RUN) or {}
    others = read_jsonl(again / METRICS)
    first, largest = compared(rows, others)
    old, now = (made_by(one["code"][-1]) for one in (record, new))
    now = {key: value for key, value in now.items() if key in old or key not in NEWER}
    changed = difference(*map(determining, (record, new)))
    return Reproduction(len(rows), changed, difference(old, now), first, _where(rows, others), largest, measures)


def _where(rows: Sequence[Mapping[str, Any]], others: Sequence[Mapping[str, Any]]) -> str:
    """The first number that differs, of two runs' metrics."""
    for row, other in zip(rows, others, strict=False):
        for key in dict.fromkeys([*row, *other]):
            if row.get(key) != other.get(key):
                return f"{key} was {row.get(key, 'not there')!r}, and is {other.get(key, 'not there')!r}"
    return ""


def trainer_of_record(folder: Path, again: Path, record: Mapping[str, Any], **other: Any) -> "GAATrainer":
    """The trainer of a run, made again.

    Args:
        folder: Of the run.
        again: Of the new one.
        record: The run's.
        **other: Settings that are to be others.

    Returns:
        The trainer, untrained.

    Raises:
        ConfigError: If a file of the record is not found; then it says where it was looked for.
    """
    try:
        return build_trainer(RunSpec(**{**read_config(folder / RUN), **other, "output_dir": str(again)}))
    except ConfigError as error:
        begun, here = record["code"][0].get("directory"), str(Path.cwd())
        if begun == here:
            raise
        there = f"in {begun}, where the run was begun" if begun else "in the folder where the run was begun"
        raise ConfigError(f"{error}. Paths that {RUN} names are looked for in {here}: try it {there}") from error


def compared(
    rows: Sequence[Mapping[str, Any]], others: Sequence[Mapping[str, Any]]
) -> tuple[int | None, tuple[float, str]]:
    """Where two runs part, and by how much.

    Args:
        rows: Metrics of one.
        others: Of the other; as many steps at least.

    Returns:
        The first step with another number, None without one; and the largest relative difference with its metric.
    """
    first, largest = None, (0.0, "")
    for row, other in zip(rows, others, strict=False):
        size, key = apart(row, other)
        if key:
            first = row["step"] if first is None else first
            largest = max(largest, (size, f"{key} at step {row['step']}"))
    return first, largest


def apart(some: Mapping[str, Any], others: Mapping[str, Any]) -> tuple[float, str]:
    """By how much numbers differ.

    Args:
        some: By name.
        others: Of the same names; a name that only one has differs without bound.

    Returns:
        The largest relative difference and its name; 0 and no name if all are the same.
    """
    largest = (0.0, "")
    for key in some.keys() | others.keys():
        one, two = some.get(key), others.get(key)
        if one != two:
            size = float("inf") if one is None or two is None else abs(one - two) / max(abs(one), abs(two))
            largest = max(largest, (size, key))
    return largest
