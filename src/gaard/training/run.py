"""A run in its folder: claimed by one configuration, logged step by step, saved, and taken up again."""

import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from gaard.disclosure import redacted
from gaard.errors import DivergenceError, GaardError
from gaard.messages import warn
from gaard.training import runlog
from gaard.training.checkpoint import (
    load_checkpoint,
    newest_step,
    save_checkpoint,
    write_file,
)
from gaard.training.config import GAAConfig
from gaard.training.damage import told_of
from gaard.training.divergence import check_weights
from gaard.training.evaluation import are_measures
from gaard.training.generators import generator_states, restore_generators
from gaard.training.lock import lock_folder, unlock_folder
from gaard.training.state import TrainingState
from gaard.training.stopping import stops_told
from gaard.training.trackers import log_step


class Run:
    """The folder of a run, and how it follows the training.

    Args:
        state: What training changes.
        args: The run's settings.
        accelerator: Tells which process writes.
        told: What is to be warned of before there is a folder.
    """

    def __init__(self, state: TrainingState, args: GAAConfig, accelerator: Accelerator, told: Sequence[str] = ()):
        self.state, self.args, self.accelerator = state, args, accelerator
        self.log = runlog.RunLog(Path(args.output_dir))
        self._claimed = self._open = self._locked = False
        self._logged = 0  # bytes of the metrics when this run had written them
        self._unkept: list[tuple[int | None, str]] = []  # warnings of before the folder was this run's, and steps
        for sentence in told:
            self.warn(sentence)

    @property
    def finished(self) -> bool:
        """Whether all steps are done, or a regulariser has ended training."""
        return self.state.ended or self.state.step >= self.args.max_steps

    def claim(self, record: dict[str, Any]) -> None:
        """Make ``output_dir`` this run's, or recognise it as already so; once.

        Args:
            record: All that is to be known of the run.

        Raises:
            CheckpointError: If another process works in the folder, or it holds another run and ``overwrite`` is off.
        """
        self._lock()
        if self._claimed:
            return
        if self.accelerator.is_main_process:
            try:
                self.log.claim(record, self.args.overwrite, self.args.accept_changed_rewards)
            except BaseException:
                self.close()
                raise
        self.accelerator.wait_for_everyone()
        self._claimed = True

    def _lock(self) -> None:
        """Keep other processes out, until :meth:`close`."""
        if self.accelerator.is_main_process and not self._locked:
            lock_folder(self.log.folder)
            self._locked = True

    def close(self) -> None:
        """Let others into the folder; what is there is whole."""
        if self._locked:
            unlock_folder(self.log.folder)
            self._locked = False

    def open(self, record: dict[str, Any]) -> bool:
        """Claim the folder and go on from its newest whole checkpoint; a trainer that has begun goes on from itself.

        Args:
            record: As for :meth:`claim`.

        Returns:
            Whether the run was taken up from its folder.

        Raises:
            GaardError: If the folder is another run's, or this trainer was stopped in the middle of its first step.
        """
        entered = not self._locked
        self.claim(record)
        state = self.state
        overtaken = entered and newest_step(self.log.checkpoints) > state.step  # by a process that was there meanwhile
        if self._open and not state.torn and not overtaken:
            self._check_alone()
            return False
        self._open = False
        plain = load_checkpoint(self.log.checkpoints, state.policy, state.optimizer, state.reference, self.warn)
        if plain is not None:
            told_of(self.log.checkpoints)(state.restore)(plain)
        elif state.torn:
            raise GaardError(
                "this trainer was stopped in the middle of a step, and there is no checkpoint to go back to: make a "
                "new trainer"
            )
        if self.accelerator.is_main_process:
            self.log.truncate(state.step, self.warn)
            self._keep_warnings()
            if not self.finished:  # what was measured before is not of the policy that is to come
                (self.log.folder / runlog.EVALUATION).unlink(missing_ok=True)
        self._open, self._logged = True, self.log.metrics_size()
        return True

    def _check_alone(self) -> None:
        """Refuse to go on where another trainer of this process, which the lock lets in, has written."""
        if self.accelerator.is_main_process and self.log.metrics_size() != self._logged:
            raise GaardError(
                f"something else has written {self.log.folder / runlog.METRICS} since step {self.state.step}, such as "
                "another trainer of this process: go on with that one, or make a new trainer, which takes the run up"
            )

    @contextlib.contextmanager
    def guarded_step(self) -> Any:
        """Save what is whole if a step fails: where it began, if no weight has moved, or where it ended."""
        start = self.state.plain()
        try:
            with stops_told(self.args, self.accelerator, f"step {start['step'] + 1}"):
                yield
        except BaseException as error:
            back = isinstance(error, DivergenceError) and self.args.on_divergence == "rollback"
            whole = not self.state.torn and not back  # what led to numbers that explode is nothing to go back to
            if whole and self.state.step == start["step"]:  # the same trainer may go on, and draws what this step drew
                self.state.restore(start)
            elif whole:  # something was left to do behind it
                self._open = False
            if whole and self.state.step > 0 and self.accelerator.is_main_process:
                with contextlib.suppress(GaardError):
                    check_weights(self.state)
                    self._write(self.state.plain())
            raise

    def save(self) -> None:
        """Write a checkpoint, on one process; the others wait. A DivergenceError on each if weights are not finite."""
        check_weights(self.state)
        if self.accelerator.is_main_process:
            self._write(self.state.plain())
        self.accelerator.wait_for_everyone()

    def _write(self, plain: dict[str, Any]) -> None:
        """A checkpoint, whatever the other processes do; without the optimizer if nothing is to go on from it."""
        optimizer = None if self.finished and self.args.save_only_model else self.state.optimizer
        keep = self.args.save_total_limit
        self.log.sync()
        save_checkpoint(self.log.checkpoints, self.state.policy, optimizer, plain, keep, self.state.reference)

    def kept_measures(self) -> dict[str, float] | None:
        """The measures that were taken at the end of the run; None before."""
        with contextlib.suppress(OSError, ValueError, RecursionError):  # measure again, to the same numbers
            kept = json.loads((self.log.folder / runlog.EVALUATION).read_text(encoding="utf-8"))
            return kept if are_measures(kept) else None
        return None

    def keep_measures(self, measures: Mapping[str, float]) -> None:
        """Write the measures of the end of the run."""
        if self.accelerator.is_main_process:
            write_file(self.log.folder / runlog.EVALUATION, json.dumps(measures, indent=2) + "\n")

    def warn(self, sentence: str, step: int | None = None) -> None:
        """Keep a warning in the run's folder, as soon as that is the run's, and show it; on one process.

        Args:
            sentence: What to say; it is kept once, however often it is said.
            step: Of which it is; by default the one that goes on.
        """
        if not self.accelerator.is_main_process:
            return
        self._unkept.append((step, redacted(sentence)))
        if not self._open:
            warn(sentence)
            return
        self._keep_warnings()
        warn(f"step {self._step_told}: {sentence}")

    @property
    def _step_told(self) -> int:
        """The step that a warning is of: the one that goes on, or the last."""
        return self.state.step if self.finished else self.state.step + 1

    def _keep_warnings(self) -> None:
        """Write those that the folder does not have yet."""
        kept = {row.get("warning") for row in self.log.read(runlog.WARNINGS)}
        new = {sentence: step for step, sentence in self._unkept if sentence not in kept}
        if new:
            now = self._step_told
            rows = [{"step": now if step is None else step, "warning": text} for text, step in new.items()]
            self.log.write(runlog.WARNINGS, rows)
        self._unkept.clear()

    @contextlib.contextmanager
    def trackers(self, record: Mapping[str, Any]) -> Any:
        """The trackers of ``report_to``, told the run's settings, as long as training goes on."""
        if self.args.report_to:
            plain = {k: v if isinstance(v, (int, float, str)) else str(v) for k, v in record["config"].items()}
            before = generator_states(self.state.generator)
            self.accelerator.init_trackers(runlog.TRACKED, config=plain)
            restore_generators(before, self.state.generator)  # MLflow draws the name of its run
        try:
            yield
        finally:
            # Not end_training(), which also ends the process group that saving and measuring still need.
            for tracker in self.accelerator.trackers:
                tracker.finish()

    def write_step(
        self, metrics: dict[str, float], samples: list[dict[str, Any]], seconds: Mapping[str, float]
    ) -> None:
        """Append a step to the run's files and trackers.

        Args:
            metrics: Of the step.
            samples: Its texts.
            seconds: Its wall-clock figures.
        """
        step = {"step": self.state.step}
        for name, rows in (
            (runlog.METRICS, [metrics]),
            (runlog.SAMPLES, samples),
            (runlog.TIMINGS, [{**step, **seconds}]),
        ):
            self.log.write(name, rows)
        self._logged = self.log.metrics_size()
        if self.args.report_to:
            log_step(self.accelerator, metrics, self.state.step)
