"""Advantages for any trainer, on tensors or NumPy arrays: with a critic, by groups, and folded.

Pure functions of a whole batch: where processes share it, gather the rewards first. What is given stays as it is; the
answer is of its kind and on its device. Whole numbers become floats. ``gaard.method`` has the equations.
"""

from collections.abc import Hashable, Iterable
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from gaard.errors import ConfigError
from gaard.messages import shortened
from gaard.method import groups as by_group
from gaard.method.advantages import folded as _folded
from gaard.method.advantages import generalized_advantages, token_rewards

__all__ = ["dr_grpo", "fold_weights", "folded", "gae", "grpo", "per_token", "rloo"]

Array = TypeVar("Array", Tensor, np.ndarray)
THRESHOLD = 3.0  # of a fold, where none is set
Groups = int | Iterable[Hashable] | Tensor | np.ndarray


def folded(advantages: Array, threshold: float = THRESHOLD, *, mask: Array | None = None) -> Array:
    """Turn advantages that stand out into their negative: method ``fold``.

    Args:
        advantages: [B], of each completion, or [B, T], of each token. Of groups, fold by ``fold=`` of :func:`grpo`,
            :func:`dr_grpo` or :func:`rloo`: divided by their group's deviation, advantages hardly ever stand out.
        threshold: From how many robust standard deviations above the batch's median on an advantage is turned.
        mask: bool, the shape of ``advantages``; those that count. None for all.

    Returns:
        The shape of ``advantages``; 0 where ``mask`` is False.

    Raises:
        ConfigError: A number that is not finite, a mask of another shape, or a threshold that is not above 0.
    """
    given = _numbers(advantages, "advantages", mask, (1, 2))
    valid = torch.ones_like(given, dtype=torch.bool) if mask is None else _mask(mask, given)
    given = torch.where(valid, given, torch.zeros_like(given))
    return _like(_folded(given, checked_threshold(threshold, "threshold"), valid), advantages)


def grpo(rewards: Array, groups: Groups, *, fold: float | None = None, eps: float = by_group.EPS) -> Array:
    """Advantages of GRPO (arXiv 2402.03300): reward less its group's mean, over its group's standard deviation.

    Args:
        rewards: [B], of each completion.
        groups: How many completions of one prompt stand beside each other, at least 2; or B names, one a completion,
            such as its prompt's number: completions of one name are a group, wherever they stand.
        fold: Fold with this threshold, before the division; None does not fold.
        eps: Added to the deviation; TRL's is 1e-4.

    Returns:
        [B]. 0 in a group whose rewards are all equal, and in a group of one.

    Raises:
        ConfigError: A reward that is not finite, groups that do not fit the batch, or a threshold that is not above 0.
    """
    given, numbers = _grouped(rewards, groups)
    return _like(_weights(given, numbers, fold) * by_group.standardized(given, numbers, eps), rewards)


def dr_grpo(rewards: Array, groups: Groups, *, fold: float | None = None) -> Array:
    """Advantages of Dr. GRPO (arXiv 2503.20783): reward less its group's mean.

    Args:
        rewards: [B], of each completion.
        groups: As in :func:`grpo`.
        fold: Fold with this threshold; None does not fold.

    Returns:
        [B], in units of the reward. 0 in a group whose rewards are all equal, and in a group of one.

    Raises:
        ConfigError: As :func:`grpo` does.
    """
    given, numbers = _grouped(rewards, groups)
    return _like(_weights(given, numbers, fold) * by_group.centred(given, numbers), rewards)


def rloo(rewards: Array, groups: Groups, *, fold: float | None = None) -> Array:
    """Advantages of RLOO (arXiv 2402.14740): reward less the mean of the others of its group.

    Args:
        rewards: [B], of each completion.
        groups: As in :func:`grpo`.
        fold: Fold with this threshold; None does not fold.

    Returns:
        [B], in units of the reward. 0 in a group whose rewards are all equal, and in a group of one.

    Raises:
        ConfigError: As :func:`grpo` does.
    """
    given, numbers = _grouped(rewards, groups)
    return _like(_weights(given, numbers, fold) * by_group.left_out(given, numbers), rewards)


def fold_weights(rewards: Array, groups: Groups, threshold: float = THRESHOLD) -> Array:
    """What a trainer's own group advantages are multiplied by to fold them, before or after it scales them.

    ``fold_weights(rewards, groups) * grpo(rewards, groups)`` is ``grpo(rewards, groups, fold=3.0)``; so it is with
    every advantage that is the reward less its group's mean, times something positive.

    Args:
        rewards: [B], of the whole batch.
        groups: As in :func:`grpo`.
        threshold: From how many robust standard deviations above its group's mean on a reward is turned.

    Returns:
        [B], in [−1, 1]: exactly 1 where a reward does not stand out.

    Raises:
        ConfigError: As :func:`grpo` does.
    """
    given, numbers = _grouped(rewards, groups)
    return _like(by_group.group_fold_weights(given, numbers, checked_threshold(threshold, "threshold")), rewards)


def gae(values: Array, rewards: Array, mask: Array, *, gamma: float = 1.0, lam: float = 0.95) -> Array:
    """Advantages of PPO: generalised advantage estimation (arXiv 1506.02438) from a critic's values.

    Args:
        values: [B, T], V before each token of the completion.
        rewards: [B], of each completion, earned at its last token; or [B, T], of each token.
        mask: bool [B, T], the completions' tokens, valid ones first.
        gamma: Discount factor.
        lam: λ, the weight of later one-step advantages.

    Returns:
        [B, T]; 0 where ``mask`` is False.

    Raises:
        ConfigError: A number that is not finite, or shapes that do not fit.
    """
    given = _numbers(values, "values", mask, (2,))
    valid = _mask(mask, given)
    if _shape(rewards) not in ([len(given)], _shape(given)):
        raise ConfigError(f"rewards has shape {_shape(rewards)}, and values {_shape(given)}: give one a completion")
    if len(_shape(rewards)) == 1:
        pay = token_rewards(_numbers(rewards, "rewards", None, (1,)), valid)
    else:
        pay = _numbers(rewards, "rewards", mask, (2,))
    return _like(generalized_advantages(given, pay.to(given.dtype), valid, gamma, lam), values)


def per_token(advantages: Array, mask: Array) -> Array:
    """Give every token of a completion the completion's advantage.

    Args:
        advantages: [B].
        mask: bool [B, T], the completions' tokens.

    Returns:
        [B, T]; 0 where ``mask`` is False.

    Raises:
        ConfigError: A number that is not finite, or shapes that do not fit.
    """
    given = _numbers(advantages, "advantages", None, (1,))
    if len(_shape(mask)) != 2 or len(mask) != len(given):
        raise ConfigError(
            f"mask has shape {_shape(mask)}, and advantages {_shape(advantages)}: give a row a completion"
        )
    wide = given[:, None].expand(_shape(mask))
    return _like(torch.where(_mask(mask, wide), wide, torch.zeros_like(wide)), advantages)


def _weights(rewards: Tensor, groups: Tensor, fold: float | None) -> Tensor:
    """Ones, unless there is to be a fold."""
    if fold is None:
        return torch.ones_like(rewards)
    return by_group.group_fold_weights(rewards, groups, checked_threshold(fold, "fold"))


def _grouped(rewards: Any, groups: Any) -> tuple[Tensor, Tensor]:
    """Rewards [B], and the number of each one's group, from 0; on the CPU, for Apple's GPUs have no float64."""
    given = _numbers(rewards, "rewards", None, (1,)).cpu()
    names = groups.tolist() if isinstance(groups, (Tensor, np.ndarray, np.generic)) else groups
    if isinstance(names, int):
        if names < 2 or len(given) % names:
            raise ConfigError(f"groups={names} for {len(given)} rewards: give how many belong together, at least 2")
        return given, by_group.neighbours(given, names)
    try:
        names = list(names)
        group = by_group.numbered(names)
    except TypeError:  # no iterable, or of what is not hashable
        raise ConfigError(
            f"groups is {shortened(groups)}: give how many rewards belong together, or a name for each reward"
        ) from None
    if len(group) != len(given):
        raise ConfigError(f"groups has {len(group)} names for {len(given)} rewards: give one a reward")
    if any(name != name for name in names):
        raise ConfigError("groups has a name that is nan, which is equal to no other: give each prompt a name")
    return given, torch.tensor(group)


def _numbers(given: Any, field: str, mask: Any, dimensions: tuple[int, ...]) -> Tensor:
    """What was given as a floating tensor, once it is one that can be computed with."""
    if not isinstance(given, (Tensor, np.ndarray)):
        raise ConfigError(f"{field} is {shortened(given)}: give a tensor or a NumPy array")
    numbers = given if isinstance(given, Tensor) else torch.tensor(np.ascontiguousarray(given))
    if numbers.ndim not in dimensions or not numbers.numel():
        wanted = " or ".join({1: "[B]", 2: "[B, T]"}[count] for count in dimensions)
        raise ConfigError(f"{field} has shape {_shape(numbers)}: give {wanted}, not empty")
    if not numbers.is_floating_point():
        numbers = numbers.to(torch.get_default_dtype())
    wrong = ~numbers.isfinite() if mask is None else _mask(mask, numbers) & ~numbers.isfinite()
    if wrong.any():
        place = tuple(wrong.nonzero()[0].tolist())
        value = numbers[place].item()
        raise ConfigError(f"{field}{list(place)} is {value}: give finite numbers; leave out what has none")
    return numbers


def _mask(mask: Any, of: Tensor) -> Tensor:
    """A mask as a bool tensor beside what it is a mask of."""
    valid = mask if isinstance(mask, Tensor) else torch.tensor(np.asarray(mask))
    if valid.shape != of.shape:
        raise ConfigError(f"mask has shape {_shape(valid)}: give that of the numbers, {_shape(of)}")
    return valid.to(of.device).bool()


def checked_threshold(value: Any, field: str) -> float:
    """The threshold of a fold, once it is one.

    Args:
        value: In robust standard deviations; a number, or text that is one.
        field: Where it was given, for the message.

    Returns:
        It as a float.

    Raises:
        ConfigError: It is not a finite number above 0.
    """
    try:
        number = float("nan") if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not 0 < number < float("inf"):
        raise ConfigError(f"{field} is {shortened(value)}: give a number above 0, such as 3")
    return number


def _like(answer: Tensor, given: Array) -> Array:
    """A NumPy array where one was given, or a tensor on the same device."""
    return answer.numpy() if isinstance(given, np.ndarray) else answer.to(given.device)


def _shape(x: Any) -> list[int]:
    return list(np.shape(x))
