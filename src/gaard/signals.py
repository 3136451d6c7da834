"""SIGTERM and Ctrl-C: training finishes its step and saves first, everything else stops where it is.

A handler that somebody else has set is left alone.
"""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import Any

from gaard.errors import Terminated

FIRST = b"\ngaard: finishing this step and saving it; a second signal (Ctrl-C) stops at once\n"
SAME = 1.0  # seconds in which launched processes get one signal twice: from the terminal, and from their launcher


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated(128 + number)


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Let SIGTERM end what lasts here as Ctrl-C does: locks are given back, and processes that were begun end.

    Raises:
        Terminated: At the signal, with the exit status that a shell gives to it.
    """
    with _handling({signal.SIGTERM: _terminate}):
        yield


class Stopping:
    """Notes the first SIGTERM or SIGINT; a second does what it would do without gaard.

    Attributes:
        signal: Its number; 0 before.
    """

    def __init__(self) -> None:
        self.signal = 0
        self._first = 0.0

    def note(self, number: int, frame: FrameType | None) -> None:
        """As a handler of signals is called."""
        if not self.signal:
            self.signal, self._first = number, time.monotonic()
            os.write(2, FIRST)  # print may be what the signal has come into
        elif int(os.environ.get("WORLD_SIZE", "1")) == 1 or time.monotonic() - self._first > SAME:
            end(number)


def end(number: int) -> None:
    """End as a signal asks.

    Args:
        number: Of the signal.

    Raises:
        KeyboardInterrupt: For SIGINT.
        Terminated: For another.
    """
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise Terminated(128 + number)


@contextlib.contextmanager
def noting() -> Iterator[Stopping]:
    """Only note SIGTERM and SIGINT as long as this lasts.

    Yields:
        What has come.
    """
    stopping = Stopping()
    with _handling({signal.SIGTERM: stopping.note, signal.SIGINT: stopping.note}):
        yield stopping


@contextlib.contextmanager
def _handling(handlers: Mapping[signal.Signals, Callable[[int, FrameType | None], Any]]) -> Iterator[None]:
    """Handlers in the place of Python's own; in the main thread, which is the only one that may set them."""
    before: dict[signal.Signals, Any] = {}
    try:
        for number, handler in handlers.items():
            known = signal.SIG_DFL, signal.default_int_handler, _terminate
            if threading.current_thread() is threading.main_thread() and signal.getsignal(number) in known:
                before[number] = signal.signal(number, handler)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
