"""How the runs of a comparison are carried out several at once, each in a process of its own."""

import contextlib
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from gaard.errors import GaardError
from gaard.training.config import GAAConfig
from gaard.training.runlog import METRICS

T = TypeVar("T")
TICK = 1.0  # seconds between looks at how far the others are


def execute(
    tasks: Sequence[Callable[[], T]], jobs: int, tick: Callable[[], None] = lambda: None
) -> Iterator[tuple[int, T]]:
    """Call every task in one of several processes, which share the threads evenly so that they don't fight over cores.

    Args:
        tasks: Functions without arguments, picklable. What a task raises is raised here.
        jobs: How many processes.
        tick: Called every second while they are waited for.

    Yields:
        Index of a task and what it returned, as they end.

    Raises:
        GaardError: If a process died.
    """
    threads = max(1, torch.get_num_threads() // jobs)
    # A forked process inherits the state of PyTorch's thread pools, and hangs.
    context = multiprocessing.get_context("spawn")
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(jobs, context, initializer=_begin, initargs=(threads,))
    try:
        waiting = {pool.submit(task): index for index, task in enumerate(tasks)}
        while waiting:
            done, _ = wait(waiting, TICK, FIRST_COMPLETED)
            for future in done:
                yield waiting.pop(future), future.result()
            tick()
        pool.shutdown()
    except BrokenProcessPool as error:
        raise GaardError(
            f"one of {jobs} processes died. If it was for lack of memory, try --jobs {max(1, jobs // 2)}: the same "
            "command goes on with what is left. A script of your own has to start its work under "
            "`if __name__ == '__main__':`, since each process imports it"
        ) from error
    finally:  # an interrupt, too: what is half done goes on from its checkpoint, and nothing else is begun
        pool.shutdown(wait=False, cancel_futures=True)
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()


def _begin(threads: int) -> None:
    """Take a share of the threads, and end with the process that began this one, however that one ends."""
    torch.set_num_threads(threads)
    parent = multiprocessing.parent_process()

    def end_with_parent() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)  # a second run of the same folder may begin at once

    threading.Thread(target=end_with_parent, daemon=True).start()


class RunsProgress:
    """One bar over the steps of all runs, read from their files; nothing where there is no terminal.

    Args:
        runs: Their settings.
        jobs: How many go on at once.
    """

    def __init__(self, runs: Sequence[GAAConfig], jobs: int):
        self._paths = [Path(run.output_dir) / METRICS for run in runs]
        visible = any(run.progress for run in runs)
        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("steps"))
        times = (TimeElapsedColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, *times, console=console, disable=not (visible and console.is_terminal))
        self._task = self._bar.add_task(
            f"{jobs} run{'s' * (jobs > 1)} at once", total=sum(run.max_steps for run in runs)
        )

    def __enter__(self) -> "RunsProgress":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def look(self) -> None:
        """Count the steps that the runs have logged."""
        if self._bar.disable:
            return
        steps = 0
        for path in self._paths:
            with contextlib.suppress(OSError):  # not there yet, or just being written anew
                steps += path.read_bytes().count(b"\n")
        self._bar.update(self._task, completed=steps)
