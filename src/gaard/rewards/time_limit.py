"""Rewards that hang: a limit of seconds for each call of a function that is not gaard's own."""

import contextlib
import contextvars
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import TypeVar

import torch

T = TypeVar("T")

# In a context variable, so that it reaches the functions inside sums and honeypots.
_SECONDS: ContextVar[float | None] = ContextVar("reward_timeout", default=None)


class NoAnswer(Exception):
    """A call that took longer than the limit."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"gave no answer within {seconds:g} s")


@contextlib.contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """Limit each call of a user's function as long as this lasts.

    Args:
        seconds: Of one call; None for no limit.
    """
    before = _SECONDS.set(seconds)
    try:
        yield
    finally:
        _SECONDS.reset(before)


def limit() -> float | None:
    """The seconds that one call may take; None for no limit."""
    return _SECONDS.get()


def within_limit(call: Callable[[], T]) -> T:
    """Call a function, in a thread of its own if there is a limit. One that hangs is left behind in its thread.

    Args:
        call: Without arguments. It sees the context and the mode of gradients that are here.

    Returns:
        What it returns.

    Raises:
        NoAnswer: It took longer than the limit.
    """
    seconds = limit()
    if seconds is None:
        return call()
    answers: list[T] = []
    failures: list[BaseException] = []
    context, gradients = contextvars.copy_context(), torch.is_grad_enabled()

    def work() -> None:
        torch.set_grad_enabled(gradients)  # of a thread, as torch has it
        try:
            answers.append(context.run(call))
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=work, name="gaard-reward", daemon=True)  # which no end of a process waits for
    thread.start()
    thread.join(seconds)
    if failures:
        raise failures[0]
    if not answers:
        raise NoAnswer(seconds)
    return answers[0]


def late(what: str, problem: NoAnswer, size: int) -> str:
    """What to say of a function that took too long.

    Args:
        what: Kind and name of the function.
        problem: Tells the limit.
        size: Completions it was asked about.

    Returns:
        A sentence.
    """
    return (
        f"{what} {problem} for {size} completions: see what it waits for and give that a limit of its "
        "own, or raise reward_timeout. The same command goes on from the last checkpoint"
    )
