"""Asynchronous reward functions: they wait together, in one event loop that a process keeps.

One loop for all batches, since what a function keeps between calls, such as a connection, belongs to its loop. It runs
in a thread of its own, since a notebook has a loop already in the thread that trains.
"""

import asyncio
import atexit
import functools
import inspect
import os
import threading
from collections.abc import Awaitable, Iterable, Sequence
from typing import Any

from gaard.errors import RewardError
from gaard.rewards.time_limit import NoAnswer

PATIENCE = 1.0  # seconds that what still runs at the end of the process is waited for


class _Loop:
    """An event loop that runs until the process ends."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="gaard-rewards", daemon=True)
        self.thread.start()
        atexit.register(self.close)

    def close(self) -> None:
        """Stop it; a forked process ends without its parent's."""
        if os.getpid() != self.process:
            return
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(PATIENCE)
        if not self.thread.is_alive():
            self.loop.close()


@functools.lru_cache(maxsize=1)
def _loop_of(process: int) -> _Loop:
    """The loop of a process; one that was forked has no thread of its parent's."""
    return _Loop()


def wait_for_all(awaitables: Sequence[Awaitable[Any]], seconds: float | None = None) -> list[Any]:
    """Await several at once.

    Args:
        awaitables: Such as coroutines.
        seconds: That each may take; None for no limit.

    Returns:
        What each gave, or the exception that it raised, in their order; ``NoAnswer`` for one that took too long.

    Raises:
        RewardError: Inside of an asynchronous reward function, which would wait for itself.
        SystemExit: One of them raised it.
    """
    if not awaitables:
        return []
    running = _loop_of(os.getpid())
    if threading.current_thread() is running.thread:
        close_all(awaitables)
        raise RewardError(
            "an asynchronous reward function asks another one through gaard and would wait for itself: await the "
            "other function there"
        )

    async def together() -> list[Any]:
        return await asyncio.gather(*(_kept(one, seconds) for one in awaitables), return_exceptions=True)

    future = asyncio.run_coroutine_threadsafe(together(), running.loop)
    try:
        found = future.result(None if seconds is None else seconds + PATIENCE)
    except BaseException as error:  # Ctrl-C
        future.cancel()
        if seconds is not None and isinstance(error, TimeoutError):  # one of them holds up the loop itself
            return [NoAnswer(seconds)] * len(awaitables)
        raise
    for ended in found:
        if isinstance(ended, (SystemExit, KeyboardInterrupt)):
            raise ended
    return found


async def _kept(awaitable: Awaitable[Any], seconds: float | None) -> Any:
    """What it gives; an end of the process as an answer, since it would stop the loop, and all would wait for ever."""
    try:
        async with asyncio.timeout(seconds) as limit:
            return await awaitable
    except TimeoutError:
        if limit.expired():
            raise NoAnswer(seconds or 0.0) from None
        raise
    except (SystemExit, KeyboardInterrupt) as ended:
        return ended


def close_all(answers: Iterable[Any]) -> None:
    """Give up coroutines that nobody will await, which would else warn of that."""
    for answer in answers:
        if inspect.iscoroutine(answer):
            answer.close()
