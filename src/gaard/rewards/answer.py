"""What a reward function may answer, and the completion that an error names."""

import math
import numbers
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

import numpy as np
import torch

from gaard.errors import RewardError
from gaard.messages import shortened

FLOAT32_MAX = torch.finfo(torch.float32).max


def describe(index: int, batch: Mapping[str, Sequence[Any]]) -> str:
    """Completion `index` of a batch for an error message: its number, its prompt and its text, shortened."""
    return (
        f"completion {index} (prompt {shortened(batch['prompts'][index])}, "
        f"completion {shortened(batch['completions'][index])})"
    )


def checked_answer(answer: object, name: str, batch: dict[str, list[Any]]) -> list[float | None]:
    """The function's answer as a list of finite floats and None.

    Args:
        answer: What it returned.
        name: Of the function, for messages.
        batch: `prompts` and `completions`, N each.

    Returns:
        N entries.

    Raises:
        RewardError: It is anything but N finite numbers or None.
    """
    size = len(batch["completions"])
    # tolist() brings a tensor from its device at once, not number by number.
    values = answer.tolist() if isinstance(answer, (np.ndarray, torch.Tensor)) else answer
    if not isinstance(values, Iterable) or isinstance(values, (str, bytes, Mapping, Set)):
        raise RewardError(
            f"reward function {name!r} returned {shortened(answer)} ({type(answer).__name__}) for {size} "
            f"completions, first prompt {shortened(batch['prompts'][0])}: return a list with one number a completion"
        )
    values = list(values)
    if len(values) != size:
        raise RewardError(
            f"reward function {name!r} returned {len(values)} values for {size} completions, first prompt "
            f"{shortened(batch['prompts'][0])}: return one number a completion, None where it does not score"
        )
    numbers_or_none: list[float | None] = []
    for index, value in enumerate(values):
        try:
            numbers_or_none.append(_as_number(value))
        except ValueError as problem:
            raise RewardError(
                f"reward function {name!r} returned {shortened(value)} for {describe(index, batch)}: {problem}"
            ) from None
    return numbers_or_none


def _as_number(value: Any) -> float | None:
    """One entry of an answer as a float; a ValueError says what is wrong and what to return instead."""
    if isinstance(value, (torch.Tensor, np.ndarray, np.generic)) and math.prod(value.shape) == 1:
        value = value.item()
    if value is None:
        return None
    if not isinstance(value, numbers.Real):
        raise ValueError(f"this is a {type(value).__name__}, not a number; return a float, or None for no score")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if math.isnan(number):
        raise ValueError("this is not a number; return a finite float, or None for no score")
    if abs(number) > FLOAT32_MAX:
        raise ValueError("this is not finite in float32; clip it in the reward function")
    return number
