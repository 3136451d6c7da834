"""How the runs of a comparison are carried out several at once, each in a process of its own."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import forkserver
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from typing import TypeVar

import torch

from gaard.errors import GaardError, Terminated

T = TypeVar("T")
TICK = 1.0  # seconds between looks at how far the others are
IMPORTED = ["gaard.training.trainer", "gaard.lab.study"]  # once for all processes; none of it touches a GPU


def execute(
    tasks: Sequence[Callable[[], T]],
    jobs: int,
    tick: Callable[[], None] = lambda: None,
    begun: Callable[[int], None] = lambda index: None,
) -> Iterator[tuple[int, T]]:
    """Call every task in one of several processes, which share the threads evenly so that they don't fight over cores.

    Args:
        tasks: Functions without arguments, picklable. What a task raises is raised here.
        jobs: How many processes.
        tick: Called every second while they are waited for.
        begun: Told the index of a task that is given to a process.

    Yields:
        Index of a task and what it returned, as they end.

    Raises:
        GaardError: If a process died.
    """
    threads = max(1, torch.get_num_threads() // jobs)
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(jobs, _context(), initializer=_begin, initargs=(threads, dict(os.environ)))
    try:
        waiting: dict[Future[T], int] = {}
        left = iter(enumerate(tasks))
        while True:
            for index, task in islice(left, jobs - len(waiting)):
                begun(index)
                waiting[pool.submit(_carried_out, task)] = index
            if not waiting:
                break
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
        _end([process for process in multiprocessing.active_children() if process not in others])


def _end(processes: Sequence[BaseProcess]) -> None:
    """SIGTERM, at which training finishes its step and saves it; a second Ctrl-C or SIGTERM here ends it at once."""
    for process in processes:
        process.terminate()
    try:
        for process in processes:
            process.join()
    except BaseException:
        for process in processes:
            process.kill()
        raise


def _carried_out(task: Callable[[], T]) -> T:
    """A task in a process of the pool, whose end must not be mistaken for the task's result."""
    try:
        return task()
    except Terminated as ended:
        os._exit(int(ended.code or 1))


def _context() -> BaseContext:
    """Processes forked from one that has imported what is slow, and computed nothing: where that cannot be, new ones.

    A process forked from this one would inherit the state of PyTorch's thread pools, and hang. Elsewhere than on Linux
    a process that has imported PyTorch is not safe to fork.
    """
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(IMPORTED)
    # It would look for modules in the working folder first, where a file may be called as a package is.
    found = {"PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    before = dict(os.environ)
    try:
        os.environ.update(found)
        forkserver.ensure_running()
    except OSError:  # such as a temporary folder whose name is too long for a socket
        return multiprocessing.get_context("spawn")
    finally:
        os.environ.clear()
        os.environ.update(before)
    return context


def _begin(threads: int, environment: Mapping[str, str]) -> None:
    """Take the environment and a share of the threads, and end with the process that began this one, however it ends.

    Args:
        threads: How many.
        environment: Of the process that asks; a forked one has that of the first time.
    """
    os.environ.clear()
    os.environ.update(environment)
    torch.set_num_threads(threads)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all; who began this process ends it
    parent = multiprocessing.parent_process()

    def end_with_parent() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)  # a second run of the same folder may begin at once

    threading.Thread(target=end_with_parent, daemon=True).start()
