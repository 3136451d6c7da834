"""What a run leaves in its folder while it trains.

``metrics.jsonl`` depends on nothing but the run; wall-clock figures go to ``timings.jsonl``.
"""

import contextlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gaard.disclosure import json_escaped
from gaard.errors import CheckpointError, ConfigError
from gaard.messages import warn
from gaard.training.checkpoint import disk_error, sync, write_file
from gaard.training.difference import difference
from gaard.training.extension import check_extension, with_max_steps
from gaard.training.identity import DETERMINING, determining, fingerprint, made_by
from gaard.version import __version__

RUN, METRICS, TIMINGS, SAMPLES = "run.json", "metrics.jsonl", "timings.jsonl", "samples.jsonl"
CHECKPOINTS, EVALUATION, MODEL = "checkpoints", "evaluation.json", "model"
TRACKED = "gaard"  # the project that trackers log to, and TensorBoard's folder
WARNINGS = "warnings.jsonl"
EVALUATIONS = "evaluations.jsonl"  # on the way, every eval_steps
STEP_FILES = (METRICS, TIMINGS, SAMPLES, WARNINGS, EVALUATIONS)


class RunLog:
    """The files of one run.

    Args:
        folder: The run's folder; made if it is not there.

    Raises:
        ConfigError: If it cannot be made.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"output_dir={str(folder)!r} cannot be made: {error.strerror}: choose a folder that can be written"
            ) from error

    @property
    def checkpoints(self) -> Path:
        """Where checkpoints are kept."""
        return self.folder / CHECKPOINTS

    def metrics_size(self) -> int:
        """Bytes of the metrics; 0 before there are any."""
        path = self.folder / METRICS
        return path.stat().st_size if path.exists() else 0

    def claim(self, record: dict[str, Any], overwrite: bool, accept_changed_rewards: bool = False) -> None:
        """Make the folder this run's, or recognise it as already so.

        ``run.json`` keeps the code of every process that worked on the run, each once, and again where it changed
        ``max_steps``.

        Args:
            record: All that is to be known of the run, JSON-serialisable; its determining part tells runs apart.
            overwrite: Whether to delete a run that is there.
            accept_changed_rewards: Whether to go on with a run that differs in its rewards alone; ``run.json`` keeps
                those it had.

        Raises:
            CheckpointError: If the folder holds another run, or one of another algorithm, or one that cannot go on to
                this ``max_steps``; the message shows the difference.
        """
        path = self.folder / RUN
        for name in (RUN, EVALUATION, *STEP_FILES):  # what a kill left half written
            for left in self.folder.glob(f".{name}.*tmp"):
                left.unlink(missing_ok=True)
        if overwrite:
            with contextlib.suppress(TornRecord):  # nobody's any more; a record of another program's stays
                read_record(path)
            self.clear()
        record = json.loads(json.dumps({"id": fingerprint(record), **record, "code": [record["code"]]}))
        existing = read_record(path)
        if existing is not None:
            if accept_changed_rewards and existing["rewards"] != record["rewards"]:
                earlier = [*existing.get("earlier_rewards", []), existing["rewards"]]
                existing = {**existing, "rewards": record["rewards"], "earlier_rewards": earlier}
            found = with_max_steps(existing, record)
            self._check_same(found, record)
            extended = found != existing
            if extended:
                check_extension(self.folder, self.checkpoints, existing["config"], record["config"])
            known = [made_by(facts) for facts in existing["code"]]
            new = [facts for facts in record["code"] if extended or made_by(facts) not in known]
            record = {**found, "id": record["id"], "code": [*existing["code"], *new]}
        write_file(path, json.dumps(record, indent=2) + "\n")

    def _check_same(self, existing: dict[str, Any], record: dict[str, Any]) -> None:
        """Refuse to go on with another run, or with this one by another algorithm."""
        old, new = determining(existing), determining(record)
        changed = difference(old, new)
        if old["algorithm"] != new["algorithm"]:
            by = existing["code"][-1]["gaard"]
            raise CheckpointError(
                f"output_dir={str(self.folder)!r} holds a run by algorithm {old['algorithm']} (gaard {by}), and this "
                f"is algorithm {new['algorithm']} (gaard {__version__}), which would give other results: finish it "
                "with that version, use another output_dir, or --overwrite to delete it"
            )
        if changed:
            rewards_alone = old == {**new, "rewards": old["rewards"]}
            fix = "; if a fix of the reward is all, accept_changed_rewards=True goes on" if rewards_alone else ""
            raise CheckpointError(
                f"output_dir={str(self.folder)!r} holds a run of another configuration: use another output_dir, or "
                f"--overwrite to delete it{fix}. What differs:\n  " + "\n  ".join(changed)
            )

    def clear(self) -> None:
        """Delete the run's own files, and nothing else that may lie in the folder."""
        for name in (RUN, EVALUATION, *STEP_FILES):
            (self.folder / name).unlink(missing_ok=True)
        for name in (CHECKPOINTS, TRACKED):
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def truncate(self, step: int, warn: Callable[[str], None] = warn) -> None:
        """Forget what was logged after ``step``: the continued run will write it again.

        Args:
            step: The last step to keep.
            warn: Told of lines that are not whole, and of steps up to that one whose metrics are not there.
        """
        kept = {name: _cut(self.folder / name, step, warn) for name in STEP_FILES}
        missing = [number for number in range(1, step + 1) if number not in kept[METRICS]]
        if missing:
            warn(
                f"{self.folder / METRICS} lacks {len(missing)} of the {step} steps that the checkpoint has behind it "
                f"(from step {missing[0]} on): the disk or another program lost them. Training goes on; for a whole "
                "record, --overwrite starts it again"
            )

    def write(self, name: str, rows: list[dict[str, Any]]) -> None:
        """Append rows to one of the step files.

        Args:
            name: Of the file.
            rows: JSON-serialisable.

        Raises:
            CheckpointError: If the disk does not take them.
        """
        path = self.folder / name
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write("".join(json_escaped(json.dumps(row, ensure_ascii=False)) + "\n" for row in rows))
        except OSError as error:
            raise disk_error(path, error) from error

    def sync(self) -> None:
        """Wait until all that was appended is on the disk: a checkpoint must not know more steps than the log.

        Raises:
            CheckpointError: If the disk does not take it.
        """
        for path in (self.folder / name for name in STEP_FILES):
            try:
                if path.exists():
                    sync(path)
            except OSError as error:
                raise disk_error(path, error) from error

    def read(self, name: str) -> list[dict[str, Any]]:
        """The rows of a step file, lines that are not whole left out.

        Args:
            name: Of the file.

        Returns:
            One dict a line; empty if there is no file.
        """
        return read_jsonl(self.folder / name)


class TornRecord(CheckpointError):
    """A ``run.json`` that was cut off or damaged."""


def read_record(path: Path) -> dict[str, Any] | None:
    """A run's record.

    Args:
        path: Its ``run.json``.

    Returns:
        The record; None if there is no such file.

    Raises:
        TornRecord: If the file is no JSON.
        CheckpointError: If it is JSON, and not a run's record.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise TornRecord(f"{path} is not readable JSON ({error}): use another output_dir or --overwrite") from None
    if not isinstance(record, dict) or not {"config", "algorithm", "code", *DETERMINING} <= record.keys():
        raise CheckpointError(f"{path} is not a run's record: use an output_dir of the run's own")
    return record


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSON-lines file; lines that are not whole are left out.

    Args:
        path: The file; need not exist.

    Returns:
        One dict a line.
    """
    if not path.exists():
        return []
    # Not splitlines(), which also splits at line separators inside a completion.
    return [row for line in _text(path).split("\n") if (row := _row(line)) is not None]


def _text(path: Path) -> str:
    """A file that may be cut off anywhere, in the middle of a letter too."""
    return path.read_text(encoding="utf-8", errors="replace")


def _cut(path: Path, step: int, warn: Callable[[str], None]) -> set[float]:
    """Leave the unchanged lines of steps up to ``step``; what is not whole is kept in a copy, but for a torn end.

    Returns:
        The steps of the lines that are left; none without a file.
    """
    if not path.exists():
        return set()
    lines = _text(path).split("\n")
    torn = lines.pop()  # empty, if the last line is whole
    steps = [_step(line) for line in lines]
    if damaged := steps.count(None):
        copy = path.with_name(f"{path.name}.damaged")
        shutil.copyfile(path, copy)
        warn(f"{path} has {damaged} line(s) that no run wrote: they are left out, and {copy} is the file as it was")
    kept = {i: number for i, number in enumerate(steps) if number is not None and number <= step}
    if torn or len(kept) < len(lines):
        write_file(path, "".join(lines[i] + "\n" for i in kept))
    return set(kept.values())


def _step(line: str) -> float | None:
    """The step of a line of a step file; None if it is not whole."""
    row = _row(line)
    step = None if row is None else row.get("step")
    return step if isinstance(step, int | float) else None


def _row(line: str) -> dict[str, Any] | None:
    """A line of a JSON-lines file; None if it is not whole."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None
