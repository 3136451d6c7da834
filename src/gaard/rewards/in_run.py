"""What a reward function is told of the run that asks it, and how it logs: TRL's three further keywords."""

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

RUN_KEYWORDS = ("trainer_state", "log_metric", "log_extra")

# In a context variable, so that it reaches the functions inside sums and honeypots, which know nothing of a run.
_OFFERED: ContextVar[Callable[[], dict[str, Any]]] = ContextVar("offered", default=dict)


@contextlib.contextmanager
def offering(keywords: Callable[[], dict[str, Any]]) -> Iterator[None]:
    """Give user's reward functions what a run has for them, as long as this lasts.

    Args:
        keywords: Makes the values of ``RUN_KEYWORDS``; called when a function is met that may take them.
    """
    before = _OFFERED.set(keywords)
    try:
        yield
    finally:
        _OFFERED.reset(before)


def forget(*args: Any, **kwargs: Any) -> None:
    """Log nothing."""


def offered() -> dict[str, Any]:
    """The further keywords of the run that asks; none outside of a run."""
    return _OFFERED.get()()
