"""What the terminal shows while runs go on: a bar of steps, and beside it as many figures as fit."""

import math
from collections.abc import Iterable, Mapping
from datetime import timedelta
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.measure import Measurement
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

FIGURES = ("hack_rate", "true_reward", "reward", "kl_ref")  # the most needed first
NARROW = 120  # columns; below, the bar is shorter
HOUR = 3600.0  # steps of a large model take minutes: the time left is estimated from all of the last hour
LINES = 10  # where there is no terminal


class StepBar:
    """A bar that shows a description, steps done, the time left and figures; plain lines where there is no terminal.

    Args:
        total: Steps.
        label: What goes on.
        visible: False shows nothing.
        console: Where; by default standard error.
    """

    def __init__(self, total: int, label: str, visible: bool = True, console: Console | None = None):
        self.console = Console(stderr=True) if console is None else console
        self.total, self.label, self.visible = total, label, visible and total > 0
        self.bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=10 if self.console.width < NARROW else 20),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("left"),
            TextColumn("{task.fields[figures]}", markup=False),
            console=self.console,
            disable=not (self.visible and self.console.is_terminal),
            speed_estimate_period=HOUR,
        )
        self.task = self.bar.add_task(label, total=total, figures="")
        self.told = -1  # tenths of the steps, in plain lines

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def move(self, step: int, figures: Iterable[str] = ()) -> None:
        """Show that so many steps are done.

        Args:
            step: How many.
            figures: What is shown beside, the most needed first; those that do not fit are left out.
        """
        figures = list(figures)
        self.bar.update(self.task, completed=step, description=self.label, figures="")
        if not self.bar.disable:
            room = self._room()
            label = self.label if room >= 0 else f"{self.label[: room - 1]}…"
            self.bar.update(self.task, description=label, figures=fitting(figures, room))
        elif self.visible:
            self._tell(step, figures)

    def _room(self) -> int:
        """Columns that are left beside the bar; negative where not even that fits."""
        table = self.bar.make_tasks_table(self.bar.tasks)
        endless = self.console.options.update(width=10 * self.console.width)
        taken = Measurement.get(self.console, endless, table).maximum + 1  # Rich gives one to the empty figures
        return self.console.width - taken

    def _tell(self, step: int, figures: Iterable[str]) -> None:
        """A line at the start and for every tenth of the steps."""
        tenth = step * LINES // self.total
        if tenth <= self.told:
            return
        self.told = tenth
        left = self.bar.tasks[0].time_remaining
        time = [f"{timedelta(seconds=math.ceil(left))} left"] if left else []
        line = "  ".join([f"{self.label} {step}/{self.total}", *time, *figures])
        self.console.print(line, soft_wrap=True, highlight=False, markup=False)


class StepProgress(StepBar):
    """The steps of one run, with the figures that matter."""

    def show(self, step: int, metrics: Mapping[str, float | None]) -> None:
        """Move to ``step``.

        Args:
            step: Steps done.
            metrics: Of that step; what is not known is not there, None or not a number, and is not shown.
        """
        self.move(step, known_figures(metrics))


def known_figures(metrics: Mapping[str, float | None]) -> list[str]:
    """The figures of a step that matter, and are known.

    Args:
        metrics: Of the step.

    Returns:
        For example ``["hack_rate 0.125", "reward 0.500"]``.
    """
    known = ((key, metrics.get(key)) for key in FIGURES)
    return [f"{key} {value:.3f}" for key, value in known if value is not None and not math.isnan(value)]


def fitting(figures: Iterable[str], room: int) -> str:
    """As many figures as fit, in their order.

    Args:
        figures: Texts.
        room: Columns.

    Returns:
        A line of at most ``room`` columns.
    """
    line = ""
    for figure in figures:
        longer = f"{line}  {figure}" if line else figure
        if len(longer) > room:
            break
        line = longer
    return line
