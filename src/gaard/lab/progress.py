"""What the terminal shows while several runs go on at once."""

import contextlib
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from gaard.training.config import GAAConfig
from gaard.training.progress import StepBar
from gaard.training.runlog import METRICS


class RunsProgress(StepBar):
    """One bar over the steps of all runs, read from their files.

    Args:
        runs: Their settings.
        jobs: How many go on at once.
        console: Where; by default standard error.
    """

    def __init__(self, runs: Sequence[GAAConfig], jobs: int, console: Console | None = None):
        total, visible = sum(run.max_steps for run in runs), any(run.progress for run in runs)
        super().__init__(total, f"{len(runs)} runs, {jobs} at once", visible, console)
        self._paths = [Path(run.output_dir) / METRICS for run in runs]

    def look(self) -> None:
        """Count the steps that the runs have logged."""
        if not self.visible:
            return
        steps = 0
        for path in self._paths:
            with contextlib.suppress(OSError):  # not there yet, or just being written anew
                steps += path.read_bytes().count(b"\n")
        self.move(steps)
