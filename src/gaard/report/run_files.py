"""A run's folder as a report reads it, finished or not."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from gaard.errors import ConfigError
from gaard.lab.arms import UNTRAINED
from gaard.lab.sharpness.record import FILE as SHARPNESS_FILE
from gaard.lab.study import OWN_SCENARIO, RunKey
from gaard.report.parting import Parting, first_parting
from gaard.training.lock import is_locked
from gaard.training.runlog import (
    CHECKPOINTS,
    EVALUATION,
    METRICS,
    RUN,
    SAMPLES,
    TIMINGS,
    WARNINGS,
    read_jsonl,
    read_record,
)

STATE = "state.json"  # of a checkpoint
STOPPED = "No process works on it any more; the same command or script again goes on with it."


@dataclass(frozen=True)
class RunFiles:
    """One run, alone or of a study.

    Attributes:
        key: Which.
        folder: Its files, if it has begun.
        finished: Whether it is measured, or has done its steps and nobody is to measure it.
        error: Why it failed, if it did.
        at_work: Whether a process trains or measures it; asked before anything else is read.
    """

    key: RunKey
    folder: Path
    finished: bool
    error: str | None = None
    at_work: bool = False

    @cached_property
    def metrics(self) -> list[dict[str, Any]]:
        """Its training steps so far."""
        return read_jsonl(self.folder / METRICS)

    @cached_property
    def parting(self) -> Parting | None:
        """Where its proxy and second reward were first seen to part."""
        return first_parting(self.metrics)

    def samples(self) -> list[dict[str, Any]]:
        """The completions that it kept so far."""
        return read_jsonl(self.folder / SAMPLES)

    @property
    def warnings(self) -> list[dict[str, Any]]:
        """What it warned of so far: ``step`` and ``warning`` each."""
        return read_jsonl(self.folder / WARNINGS)

    @cached_property
    def record(self) -> dict[str, Any]:
        """All that determines it, as ``run.json`` has it; empty if it has not begun."""
        found = _json(self.folder / RUN)
        return found if isinstance(found.get("config"), dict) else {}

    @property
    def config(self) -> dict[str, Any]:
        """Its settings; empty if it has not begun."""
        return dict(self.record.get("config", {}))

    @property
    def method(self) -> Mapping[str, Any]:
        """The options of its method; none if it has not begun."""
        stated = self.config.get("method")
        return stated if isinstance(stated, Mapping) else {}

    @property
    def measures(self) -> dict[str, float]:
        """What was measured after it; empty before."""
        return {key: x for key, x in _json(self.folder / EVALUATION).items() if isinstance(x, int | float)}

    @cached_property
    def sharpness(self) -> dict[str, Any]:
        """What ``gaard sharpness`` measured of its policies; empty if it did not."""
        return _json(self.folder / SHARPNESS_FILE)

    @property
    def seconds(self) -> float:
        """Of all its steps."""
        return sum(row.get("seconds", 0.0) for row in read_jsonl(self.folder / TIMINGS))

    @property
    def last_written(self) -> str | None:
        """When its last step was logged; None before the first."""
        path = self.folder / METRICS
        return moment(path.stat().st_mtime) if path.exists() else None

    @property
    def stopped(self) -> bool:
        """Whether nobody works on it, although there is more to come."""
        return not self.finished and not self.error and not self.at_work

    @property
    def progress(self) -> str:
        """How far one is that has begun."""
        if self.finished:
            return "finished"
        done, steps = len(self.metrics), self.config.get("max_steps")
        measured = self.key.arm == UNTRAINED or done == steps
        if self.stopped:
            return "stopped before it was measured" if measured else f"stopped after {done} of {steps} steps"
        return "being measured" if measured else f"at step {done} of {steps}"


def moment(seconds: float) -> str:
    """A time of a file as a reader has it, with the zone that it is given in."""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")


def _json(path: Path) -> dict[str, Any]:
    """What a JSON file holds; nothing where it is missing, or is being written."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def read_run_files(folder: Path) -> RunFiles:
    """What there is of a run.

    Args:
        folder: Of the run, its ``output_dir``.

    Returns:
        Its files.

    Raises:
        ConfigError: If the folder holds no run.
        CheckpointError: If its ``run.json`` is none.
    """
    at_work = is_locked(folder)  # first: what a process wrote before it left is then there to read
    record = read_record(folder / RUN)
    if record is None:
        raise ConfigError(f"{folder} holds no {RUN}: name the folder of a run, its output_dir")
    config = record["config"]
    method, scenario = config.get("method"), config.get("scenario")
    name = method.get("name") if isinstance(method, Mapping) else None
    key = RunKey(str(scenario or OWN_SCENARIO), str(name or "run"), int(config.get("seed") or 0))
    return RunFiles(key, folder, _is_finished(folder, config, at_work), at_work=at_work)


def _is_finished(folder: Path, config: Mapping[str, Any], at_work: bool) -> bool:
    """Whether nothing more is to come: it is measured, or its steps are done and nobody measures it."""
    if (folder / EVALUATION).exists():
        return True
    if at_work:
        return False
    newest = max((folder / CHECKPOINTS).glob(f"step-*/{STATE}"), default=None)
    ended = newest is not None and bool(_json(newest).get("ended"))  # a regularizer may end a training early
    return ended or len(read_jsonl(folder / METRICS)) >= int(config.get("max_steps") or 0)
