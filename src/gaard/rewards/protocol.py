"""What a reward function is, and how gaard calls it.

The calling convention is TRL's: keywords only, `prompts`, `completions` and `completion_ids`, then one keyword a
dataset column, each a list with one entry a completion; in a run also `trainer_state`, `log_metric` and `log_extra`. A
function may be asynchronous. Two things are kinder than TRL: a function without `**kwargs` gets only the keywords that
it names, and a failure names the text that caused it.
"""

import functools
import inspect
import math
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch

from gaard.errors import ConfigError, GaardError, RewardError, did_you_mean
from gaard.messages import one_line, shortened
from gaard.rewards.answer import checked_answer, describe
from gaard.rewards.in_run import RUN_KEYWORDS, forget, offered
from gaard.rewards.time_limit import NoAnswer, late, limit, within_limit
from gaard.rewards.waiting import close_all, wait_for_all
from gaard.source_code import is_shipped

Answer: TypeAlias = Sequence[float | None] | np.ndarray | torch.Tensor
RewardFunction: TypeAlias = Callable[..., Answer | Awaitable[Answer]]
"""Called as `func(prompts=..., completions=..., completion_ids=..., **columns)`; returns one number a completion.

`prompts` and `completions` are `list[str]`, `completion_ids` is `list[list[int]]`, and every dataset column is a list
of the same length. Where the dataset's prompts are conversations, a user's function gets both as TRL gives them: each
prompt a list of messages, each completion a list of the assistant's one. `None` in the answer means "this function does
not score that completion".
"""

MESSAGES = "prompt_messages"  # the column that holds a conversation as it was given
TEXT_KEYWORDS = ("prompts", "completions", "completion_ids")


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
        ConfigError: `func` is not callable, a class that still has to be instantiated, or a model.
    """
    if isinstance(func, str):
        raise ConfigError(f"{field} is the text {func!r}, not a function: resolve it with reward_from_name({func!r})")
    if not callable(func):
        raise ConfigError(f"{field} is {shortened(func)}, which cannot be called: give a function or a callable object")
    if inspect.isclass(func):
        raise ConfigError(f"{field} is the class {func.__name__}: give an instance, such as {func.__name__}()")
    if isinstance(func, torch.nn.Module) and hasattr(func, "save_pretrained"):
        raise ConfigError(
            f"{field} is the model {type(func).__name__}: make a function of it with ClassifierReward(model, tokenizer)"
        )


def ask(reward_func: RewardFunction, **batch: Any) -> list[float | None]:
    """Call a reward function on a batch and check its answer; `score` does the same and returns a tensor.

    Args:
        reward_func: The function.
        **batch: ``prompts``, ``completions``, ``completion_ids`` and ``columns``, as :func:`ask_all` takes them.

    Returns:
        N finite floats in double precision, None where the function does not score the completion. An empty batch
        gives an empty list without a call.

    Raises:
        RewardError: The function names a keyword that is not there, raised, or returned anything but N finite numbers
            or None.
    """
    return ask_all([reward_func], **batch)[0]


def ask_all(
    reward_funcs: Sequence[RewardFunction],
    *,
    prompts: Sequence[str],
    completions: Sequence[str],
    completion_ids: Sequence[Sequence[int]],
    columns: Mapping[str, Sequence[Any]],
) -> list[list[float | None]]:
    """Call several reward functions on one batch; those that are asynchronous wait at the same time.

    Args:
        reward_funcs: The functions.
        prompts: N texts.
        completions: N texts.
        completion_ids: N lists of token ids.
        columns: Dataset columns by name, each with N entries; conversations under ``MESSAGES``.

    Returns:
        What :func:`ask` returns, of each function.

    Raises:
        RewardError: As :func:`ask` does, for the first function that fails.
    """
    batch: dict[str, list[Any]] = {
        "prompts": list(prompts),
        "completions": list(completions),
        "completion_ids": list(completion_ids),
        **_checked_columns(columns, len(completions)),
    }
    if not completions:
        return [[] for _ in reward_funcs]
    questions = [_Question(func, batch) for func in reward_funcs]
    answers: list[Any] = []
    try:
        for question in questions:
            answers.append(question.put())
    except BaseException:
        close_all(answers)
        raise
    waiting = [index for index, answer in enumerate(answers) if inspect.isawaitable(answer)]
    for index, found in zip(waiting, wait_for_all([answers[index] for index in waiting], limit()), strict=True):
        if isinstance(found, BaseException):
            raise questions[index].failed(found)
        answers[index] = found
    return [checked_answer(a, q.name, q.batch) for q, a in zip(questions, answers, strict=True)]


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


def _checked_columns(columns: Mapping[str, Sequence[Any]], size: int) -> dict[str, list[Any]]:
    """The columns as lists; without what a run gives, which a function may have passed on among its keywords."""
    columns = {name: column for name, column in columns.items() if name not in RUN_KEYWORDS}
    for name, column in columns.items():
        if name in TEXT_KEYWORDS:
            raise RewardError(f"the dataset column {name!r} has the name of a keyword that gaard passes: rename it")
        if len(column) != size:
            raise RewardError(
                f"the dataset column {name!r} has {len(column)} entries for {size} completions: give one a completion"
            )
    return {name: list(column) for name, column in columns.items()}


class _Question:
    """One reward function and the batch that it is asked about.

    Attributes:
        name: The function's.
        batch: Prompts, completions, their ids and columns, as it gets them.
    """

    def __init__(self, func: RewardFunction, batch: dict[str, list[Any]]) -> None:
        self.func, self.name, self.batch = func, reward_name(func), batch
        of_run: dict[str, Any] = {}
        if not is_shipped(func):  # gaard's own pass on, to what they hold, what they are given
            of_run = offered()
            if MESSAGES in batch:
                self.batch = batch | {"prompts": batch[MESSAGES], "completions": spoken(batch["completions"])}
        names = _accepted(func, self.name, [*self.batch, *of_run])
        self._columns = {key: self.batch[key] for key in names if key in self.batch}
        self._of_run = {key: of_run[key] for key in names if key in of_run}

    def put(self) -> Any:
        """Call the function; what it returns, unchecked, or what is to be awaited for that."""
        try:
            return self._call(slice(None), self._of_run)
        except Exception as error:
            raise self.failed(error) from error

    def failed(self, failure: BaseException) -> GaardError:
        """The error to raise for what the function raised."""
        if isinstance(failure, GaardError):  # a composed function already says which part failed, and on what
            return failure
        if isinstance(failure, NoAnswer):
            return RewardError(late(f"reward function {self.name!r}", failure, len(self.batch["completions"])))
        error = RewardError(self._blame(failure))
        error.__cause__ = failure
        return error

    def _call(self, rows: slice, of_run: Mapping[str, Any]) -> Any:
        # Lists of its own: a function that pops or sorts them must not change what the next one sees.
        def call() -> Any:
            answer = self.func(**{key: value[rows] for key, value in self._columns.items()}, **of_run)
            return list(answer) if isinstance(answer, Iterator) else answer  # a generator fails only once it is read

        return call() if is_shipped(self.func) else within_limit(call)

    def _blame(self, failure: BaseException) -> str:
        """Say on which completion the function raised, found by calling it again with one completion at a time."""
        raised = f"reward function {self.name!r} raised {one_line(failure)} on"
        size = len(self.batch["completions"])
        for index in range(size):
            # Another type is another fault, such as a statistic that needs two completions.
            if type(self._error_on(index)) is type(failure):
                return (
                    f"{raised} {describe(index, self.batch)}: fix it for such a text, or let it return None where it "
                    "does not score"
                )
        return (
            f"{raised} a batch of {size} completions, and on none of them alone: fix what it does across the batch, or "
            "make the batch smaller if it ran out of memory"
        )

    def _error_on(self, index: int) -> BaseException | None:
        """What the function raises on one completion."""
        # What it logs of one completion would be refused as too short.
        of_run = {key: forget if key.startswith("log_") else value for key, value in self._of_run.items()}
        try:
            answer = self._call(slice(index, index + 1), of_run)
        except Exception as error:
            return error
        found = wait_for_all([answer], limit())[0] if inspect.isawaitable(answer) else None
        return found if isinstance(found, BaseException) else None


def spoken(completions: Sequence[str]) -> list[list[dict[str, str]]]:
    """Completions as TRL gives them where prompts are conversations: each a list of the assistant's one message."""
    return [[{"role": "assistant", "content": text}] for text in completions]


def _accepted(func: RewardFunction, name: str, available: Collection[str]) -> Collection[str]:
    """Which of the keywords that are there the function's signature takes."""
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
            of_run = parameter.name in RUN_KEYWORDS
            add = f"Add the column {parameter.name!r} to the dataset, or give"
            raise RewardError(
                f"reward function {name!r} needs {parameter.name!r}, which is not there{' outside of a run' * of_run}: "
                f"available are {', '.join(available)}.{did_you_mean(parameter.name, available)} "
                f"{'Give' if of_run else add} the parameter a default"
            )
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return available
    named = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    return [key for key in available if key in named]
