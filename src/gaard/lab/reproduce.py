"""A run made again from its record, and whether it came out the same."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gaard.errors import ConfigError
from gaard.lab.spec import RunSpec, build_trainer, read_config
from gaard.training.difference import difference
from gaard.training.identity import determining, made_by
from gaard.training.progress import StepProgress
from gaard.training.runlog import METRICS, RUN, read_jsonl, read_record


@dataclass(frozen=True)
class Reproduction:
    """What came of it.

    Attributes:
        steps: How many were made again.
        changed: What determines a run and is another now, a line each: settings, model, rewards, prompts.
        versions: What differs in code and machine, a line each.
        first: The first step whose metrics differ; None if all are the same to the last digit.
        largest: The largest relative difference of any metric of any step, and which.
    """

    steps: int
    changed: list[str]
    versions: list[str]
    first: int | None
    largest: tuple[float, str]

    @property
    def same(self) -> bool:
        """Whether every number of every step is the same."""
        return self.first is None


def reproduce(folder: Path, again: Path) -> Reproduction:
    """Train a run again, as far as the first one went.

    Args:
        folder: Of a run that ``gaard train`` or ``compare`` made.
        again: Of the new one.

    Returns:
        What came of it.

    Raises:
        ConfigError: If the folder holds no run, or one whose rewards are not in its record.
        GaardError: As a run does.
    """
    record, rows = read_record(folder / RUN), read_jsonl(folder / METRICS)
    if record is None or not rows:
        raise ConfigError(f"{folder} holds no run with steps: give the output_dir of gaard train")
    trainer = build_trainer(RunSpec(output_dir=str(again), **read_config(folder / RUN)))
    with trainer.run.opened(trainer.record()), StepProgress(len(rows), f"{folder.name} again") as progress:
        while trainer.state.step < len(rows):
            progress.show(trainer.state.step + 1, trainer.training_step())
    new = read_record(again / RUN) or {}
    first, largest = compared(rows, read_jsonl(again / METRICS))
    code = [made_by(one["code"][-1]) for one in (record, new)]
    changed = difference(*map(determining, (record, new)))
    return Reproduction(len(rows), changed, difference(*code), first, largest)


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
        for key in row.keys() | other.keys():
            one, two = row.get(key), other.get(key)
            if one == two:
                continue
            first = row["step"] if first is None else first
            apart = float("inf") if one is None or two is None else abs(one - two) / max(abs(one), abs(two))
            largest = max(largest, (apart, f"{key} at step {row['step']}"))
    return first, largest
