"""Several reward functions as one: their weighted sum, leaving out those that do not score a completion."""

import math
import numbers
from collections.abc import Sequence
from typing import Any

from gaard.errors import ConfigError, RewardError
from gaard.messages import shortened
from gaard.rewards.answer import FLOAT32_MAX, describe
from gaard.rewards.protocol import RewardFunction, ask_all, check_reward_function, reward_name


class CombinedReward:
    """The weighted sum of reward functions, itself a reward function; made by `combine`.

    Sums in it are taken apart, so that each of its functions can be seen for what it is.

    Attributes:
        functions: The reward functions.
        weights: Their weights, one a function.
        parts: Their names.
        terms: Their names with their weights.
        name: The sum in words, such as `lexicon + 0.5*brevity`.
    """

    def __init__(self, functions: Sequence[RewardFunction], weights: Sequence[float]) -> None:
        terms = [term for pair in zip(functions, weights, strict=True) for term in _terms(*pair)]
        self.functions = tuple(function for function, _ in terms)
        self.weights = tuple(weight for _, weight in terms)
        self.parts = tuple(reward_name(function) for function in self.functions)
        named = zip(self.weights, self.parts, strict=True)
        self.terms = tuple(part if weight == 1 else f"{weight:.12g}*{part}" for weight, part in named)
        self.name = " + ".join(self.terms)

    def __call__(
        self,
        *,
        prompts: Sequence[str],
        completions: Sequence[str],
        completion_ids: Sequence[Sequence[int]],
        **columns: Sequence[Any],
    ) -> list[float]:
        """Score a batch.

        Args:
            prompts: N texts.
            completions: N texts.
            completion_ids: N lists of token ids.
            **columns: Dataset columns, each with N entries.

        Returns:
            N floats: sum of weight times reward over the functions that score the completion. The weights are not
            rescaled for a function that is left out.

        Raises:
            RewardError: One of the functions failed, or none of them scores a completion.
        """
        texts = {"prompts": prompts, "completions": completions}
        answers = ask_all(self.functions, **texts, completion_ids=completion_ids, columns=columns)
        return self.total(answers, prompts, completions)

    def total(
        self, answers: Sequence[Sequence[float | None]], prompts: Sequence[str], completions: Sequence[str]
    ) -> list[float]:
        """The weighted sum of answers that are already there.

        Args:
            answers: One a function, each with N entries.
            prompts: N texts, for the message.
            completions: N texts, for the message.

        Returns:
            N floats, as a call would give.

        Raises:
            RewardError: No function scores a completion, or a sum is not finite in float32.
        """
        totals = []
        for index, values in enumerate(zip(*answers, strict=True)):
            scored = [w * value for w, value in zip(self.weights, values, strict=True) if value is not None]
            batch: dict[str, Any] = {"prompts": prompts, "completions": completions}
            if not scored:
                raise RewardError(
                    f"no reward function ({', '.join(self.parts)}) scores {describe(index, batch)}: all returned "
                    "None; let one of them return a number for it, or take the prompt out of the dataset"
                )
            total = _sum(scored)
            if not abs(total) <= FLOAT32_MAX:
                terms = zip(self.terms, self.weights, values, strict=True)
                parts = ", ".join(f"{name} {w * value:.6g}" for name, w, value in terms if value is not None)
                raise RewardError(
                    f"the sum of rewards is {total:.6g} for {describe(index, batch)}, which is not finite in float32 "
                    f"({parts}): clip these rewards, or give them smaller weights"
                )
            totals.append(total)
        return totals

    def __repr__(self) -> str:
        return f"CombinedReward({self.name})"


def _sum(terms: list[float]) -> float:
    """Exactly rounded; infinite or NaN where the terms or what is between them are too large for a float."""
    try:
        return math.fsum(terms)
    except (OverflowError, ValueError):
        return sum(terms)


def _terms(function: RewardFunction, weight: float) -> list[tuple[RewardFunction, float]]:
    """A function with its weight, or those of a sum."""
    if not isinstance(function, CombinedReward):
        return [(function, float(weight))]
    return [(part, weight * own) for part, own in zip(function.functions, function.weights, strict=True)]


def combine(reward_funcs: Sequence[RewardFunction], weights: Sequence[float] | None = None) -> CombinedReward:
    """Combine reward functions into their weighted sum.

    A function that returns None for a completion is left out of that completion's sum. A single function is worth
    combining too: that is where a completion that nobody scores is caught.

    Args:
        reward_funcs: At least one reward function.
        weights: One finite number a function; None weighs each with 1.

    Returns:
        A reward function with `parts` (the names of the functions) and `name`.

    Raises:
        ConfigError: No function, something that is not a reward function, another number of weights than of
            functions, or a weight that is not a finite number.
    """
    if callable(reward_funcs) or isinstance(reward_funcs, str):
        raise ConfigError(f"reward_funcs is {reward_funcs!r}, not a list: write [{reward_funcs!r}]")
    functions = list(reward_funcs)
    if not functions:
        raise ConfigError("reward_funcs is empty: give at least one reward function")
    for index, function in enumerate(functions):
        check_reward_function(function, f"reward_funcs[{index}]")
    return CombinedReward(functions, checked_weights(weights, len(functions)))


def checked_weights(weights: Sequence[float] | None, count: int) -> list[float]:
    """`count` finite weights, all 1 where none are given.

    Raises:
        ConfigError: Another number of weights, or one that is not a finite number.
    """
    if weights is None:
        return [1.0] * count
    if len(weights) != count:
        raise ConfigError(
            f"reward_weights has {len(weights)} entries ({list(weights)}) for {count} reward function(s): give one "
            "weight a function, or leave reward_weights out to weigh each with 1"
        )
    return [checked_number(weight, f"reward_weights[{index}]") for index, weight in enumerate(weights)]


def checked_number(value: object, field: str) -> float:
    """`value` as a float.

    Raises:
        ConfigError: It is not a finite number.
    """
    try:
        number = float("nan") if isinstance(value, bool) or not isinstance(value, numbers.Real) else float(value)
    except OverflowError:  # an int past the largest float
        number = math.inf
    if not math.isfinite(number):
        raise ConfigError(f"{field} is {shortened(value)}: give a finite number, such as 1.0")
    return number
