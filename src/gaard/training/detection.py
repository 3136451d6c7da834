"""Asking a detector of hacks, and checking its answers."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gaard.errors import RewardError
from gaard.messages import shortened
from gaard.rewards.time_limit import NoAnswer, late, within_limit

HackDetector = Callable[..., Sequence[bool]]
"""Completions, and by name what it asks for of the prompts and the dataset's columns → whether each is a hack."""


def detected(
    detector: HackDetector, name: str, completions: list[str], offered: Mapping[str, Any] | None = None
) -> list[bool]:
    """A detector's answers, one a text; of what is offered it gets what its signature names.

    Raises:
        RewardError: If it fails, takes too long, answers for another number of texts, or anything but yes and no.
    """
    try:
        found = within_limit(lambda: list(detector(completions, **_named(detector, offered or {}))))
        odd = [hit for hit in found if hit not in (0, 1)]
    except NoAnswer as problem:
        raise RewardError(late(name, problem, len(completions))) from None
    except Exception as error:
        raise RewardError(
            f"{name} raised {type(error).__name__}: {error} on {len(completions)} completions: fix it. It is given a "
            "list of texts, not of messages"
        ) from error
    if len(found) != len(completions):
        raise RewardError(f"{name} returned {len(found)} answers for {len(completions)} completions")
    if odd:
        raise RewardError(f"{name} answered {shortened(odd[0])}: give True or False for each text")
    return [bool(hit) for hit in found]


def _named(detector: HackDetector, offered: Mapping[str, Any]) -> dict[str, Any]:
    """Of what is offered, what a detector's signature names beside the completions."""
    try:
        names = list(inspect.signature(detector).parameters)[1:]
    except (TypeError, ValueError):  # some callables written in C do not tell their signature
        return {}
    return {name: offered[name] for name in names if name in offered}
