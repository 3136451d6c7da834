"""What a reward function is, how gaard calls it, and what it checks in the answer.

The calling convention is TRL's: keywords only, `prompts`, `completions` and `completion_ids`, then one keyword a
dataset column, each a list with one entry a completion. Two things are kinder than TRL: a function without
`**kwargs` gets only the keywords that it names, and a failure names the text that caused it.
"""

import functools
import inspect
import math
import numbers
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence, Set
from typing import Any, TypeAlias

import numpy as np
import torch

from gaard.errors import ConfigError, GaardError, RewardError, did_you_mean
from gaard.messages import one_line, shortened
from gaard.source_code import is_shipped

RewardFunction: TypeAlias = Callable[..., Sequence[float | None] | np.ndarray | torch.Tensor]
"""Called as `func(prompts=..., completions=..., completion_ids=..., **columns)`; returns one number a completion.

`prompts` and `completions` are `list[str]`, `completion_ids` is `list[list[int]]`, and every dataset column is a list
of the same length. Where the dataset's prompts are conversations, a user's function gets both as TRL gives them: each
prompt a list of messages, each completion a list of the assistant's one. `None` in the answer means "this function does
not score that completion".
"""

MESSAGES = "prompt_messages"  # the column that holds a conversation as it was given
TEXT_KEYWORDS = ("prompts", "completions", "completion_ids")
FLOAT32_MAX = torch.finfo(torch.float32).max


def reward_name(func: RewardFunction) -> str:
    """The name of a reward function in logs and error messages.

    Args:
        func: Any reward function.

    Returns:
        Its `name` attribute where that is a text, else its `__name__`, else the name of its class. A
        `functools.partial` has the name of the function inside it.
    """
    name = getattr(func, "name", None)
    if isinstance(name, str) and name:
        return name
    if isinstance(func, functools.partial):
        return reward_name(func.func)
    return str(getattr(func, "__name__", type(func).__name__))


def check_reward_function(func: object, field: str) -> None:
    """Refuse what cannot be a reward function before any text has been generated.

    Args:
        func: The candidate.
        field: Where it was given, for the message.

    Raises:
        ConfigError: `func` is not callable, or is a class that still has to be instantiated.
    """
    if isinstance(func, str):
        raise ConfigError(f"{field} is the text {func!r}, not a function: resolve it with reward_from_name({func!r})")
    if not callable(func):
        raise ConfigError(f"{field} is {shortened(func)}, which cannot be called: give a function or a callable object")
    if inspect.isclass(func):
        raise ConfigError(f"{field} is the class {func.__name__}: give an instance, such as {func.__name__}()")


def ask(
    reward_func: RewardFunction,
    *,
    prompts: Sequence[str],
    completions: Sequence[str],
    completion_ids: Sequence[Sequence[int]],
    columns: Mapping[str, Sequence[Any]],
) -> list[float | None]:
    """Call a reward function on a batch and check its answer; `score` does the same and returns a tensor.

    Args:
        reward_func: The function.
        prompts: N texts.
        completions: N texts.
        completion_ids: N lists of token ids.
        columns: Dataset columns by name, each with N entries; conversations under ``MESSAGES``.

    Returns:
        N finite floats in double precision, None where the function does not score the completion. An empty batch
        gives an empty list without a call.

    Raises:
        RewardError: The function names a keyword that is not there, raised, returned a coroutine, or returned
            anything but N finite numbers or None.
    """
    name = reward_name(reward_func)
    available: dict[str, list[Any]] = {
        "prompts": list(prompts),
        "completions": list(completions),
        "completion_ids": list(completion_ids),
        **_checked_columns(columns, len(completions)),
    }
    if not completions:
        return []
    if MESSAGES in available and not is_shipped(reward_func):  # gaard's own pass it on to what they hold
        spoken = [[{"role": "assistant", "content": text}] for text in completions]
        available |= {"prompts": available[MESSAGES], "completions": spoken}
    arguments = _accepted(reward_func, name, available)
    try:
        # Lists of its own: a function that pops or sorts them must not change what the next one sees.
        answer = reward_func(**{key: list(value) for key, value in arguments.items()})
    except GaardError:  # a composed function already says which part failed, and on what
        raise
    except Exception as error:
        raise RewardError(_blame(reward_func, name, arguments, available, error)) from error
    return checked_answer(answer, name, available)


def score(reward_func: RewardFunction, **batch: Any) -> torch.Tensor:
    """Score a batch of completions.

    Args:
        reward_func: The function.
        **batch: ``prompts``, ``completions``, ``completion_ids`` and ``columns``, as :func:`ask` takes them.

    Returns:
        Tensor [N], float32, on the CPU; NaN where the function returned None, "does not score that one".

    Raises:
        RewardError: As :func:`ask` does.
    """
    answer = ask(reward_func, **batch)
    return torch.tensor([math.nan if value is None else value for value in answer], dtype=torch.float32)


def describe(index: int, batch: Mapping[str, Sequence[Any]]) -> str:
    """Completion `index` of a batch for an error message: its number, its prompt and its text, shortened."""
    return (
        f"completion {index} (prompt {shortened(batch['prompts'][index])}, "
        f"completion {shortened(batch['completions'][index])})"
    )


def _checked_columns(columns: Mapping[str, Sequence[Any]], size: int) -> dict[str, list[Any]]:
    for name, column in columns.items():
        if name in TEXT_KEYWORDS:
            raise RewardError(f"the dataset column {name!r} has the name of a keyword that gaard passes: rename it")
        if len(column) != size:
            raise RewardError(
                f"the dataset column {name!r} has {len(column)} entries for {size} completions: give one a completion"
            )
    return {name: list(column) for name, column in columns.items()}


def _accepted(func: RewardFunction, name: str, available: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """The keywords of `available` that the function's signature takes."""
    try:
        parameters = inspect.signature(func).parameters.values()
    except (TypeError, ValueError):  # some callables written in C do not tell their signature
        return available
    required = [p for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    for parameter in required:
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise RewardError(
                f"reward function {name!r} takes {parameter.name!r} by position only, and rewards are called with "
                "keywords: remove the '/' from its signature"
            )
        if parameter.name not in available:
            raise RewardError(
                f"reward function {name!r} needs {parameter.name!r}, which is not there: available are "
                f"{', '.join(available)}.{did_you_mean(parameter.name, available)} Add the column "
                f"{parameter.name!r} to the dataset, or give the parameter a default"
            )
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return available
    named = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    return {key: value for key, value in available.items() if key in named}


def _blame(
    func: RewardFunction,
    name: str,
    arguments: dict[str, list[Any]],
    batch: dict[str, list[Any]],
    failure: Exception,
) -> str:
    """Say on which completion the function raised, found by calling it again with one completion at a time."""
    size = len(batch["completions"])
    for index in range(size):
        try:
            func(**{key: value[index : index + 1] for key, value in arguments.items()})
        except Exception as error:
            # Another type is another fault, such as a statistic that needs two completions.
            if type(error) is type(failure):
                return (
                    f"reward function {name!r} raised {one_line(failure)} on {describe(index, batch)}: fix it for "
                    "such a text, or let it return None where it does not score"
                )
    return (
        f"reward function {name!r} raised {one_line(failure)} on a batch of {size} completions, and on none of them "
        "alone: fix what it does across the batch, or make the batch smaller if it ran out of memory"
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
    if inspect.isawaitable(answer) or inspect.isasyncgen(answer):
        _close(answer)
        raise RewardError(
            f"reward function {name!r} returned a coroutine, not numbers: gaard does not await rewards; define it "
            "with `def`, and inside it run what is asynchronous with asyncio.run(...)"
        )
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


def _close(answer: Awaitable[Any] | object) -> None:
    # An abandoned coroutine would add a "was never awaited" warning below the error.
    if inspect.iscoroutine(answer):
        answer.close()


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
