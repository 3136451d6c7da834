"""Advantages without a critic: each completion against the others of its prompt (G13), and their fold (G14)."""

from collections.abc import Hashable, Iterable

import torch
from torch import Tensor

from gaard.method.advantages import turning_weights

EPS = 1e-4  # beside a group's deviation, as in TRL
ROUNDING = 1e-6  # of a group's largest reward: how far equal texts may be scored apart in batches of other shapes


def numbered(names: Iterable[Hashable]) -> list[int]:
    """The same number for the same name.

    Args:
        names: B names of groups, such as prompts.

    Returns:
        B numbers, from 0 on, in the order in which names come first.
    """
    numbers: dict[Hashable, int] = {}
    return [numbers.setdefault(name, len(numbers)) for name in names]


def neighbours(rewards: Tensor, size: int) -> Tensor:
    """Groups of so many completions that stand beside each other.

    Args:
        rewards: [B] or [B, K], of each completion.
        size: Completions a group.

    Returns:
        int64 [B], numbered from 0.
    """
    return torch.arange(len(rewards), device=rewards.device) // size


def equal_rewards(rewards: Tensor, groups: Tensor, tolerance: float = 0.0) -> Tensor:
    """Whether all of a completion's group have one reward, so that none of them is better than the others.

    Args:
        rewards: [B], of each completion.
        groups: int64 [B], the group of each, numbered from 0.
        tolerance: How far they may lie apart for that, as a share of the group's largest.

    Returns:
        bool [B]; True in a group of one.
    """
    none = rewards.new_zeros(int(groups.max()) + 1)
    highest = none.scatter_reduce(0, groups, rewards, "amax", include_self=False)
    lowest = none.scatter_reduce(0, groups, rewards, "amin", include_self=False)
    return (highest - lowest <= tolerance * torch.maximum(highest.abs(), lowest.abs()))[groups]


def group_means(x: Tensor, groups: Tensor) -> Tensor:
    """The mean of each one's group.

    Args:
        x: [B].
        groups: int64 [B].

    Returns:
        float64 [B].
    """
    sums = x.new_zeros(int(groups.max()) + 1, dtype=torch.float64).index_add_(0, groups, x.double())
    return (sums / groups.bincount())[groups]


def centred(rewards: Tensor, groups: Tensor) -> Tensor:
    """Implements G13 in the form of Dr. GRPO: the reward less the mean of its group.

    Args:
        rewards: [B].
        groups: int64 [B].

    Returns:
        [B], exactly 0 in a group that is paid one number, which its mean may miss by rounding.
    """
    less_mean = (rewards.double() - group_means(rewards, groups)).to(rewards.dtype)
    return torch.where(equal_rewards(rewards, groups), torch.zeros_like(rewards), less_mean)


def group_deviations(rewards: Tensor, groups: Tensor) -> Tensor:
    """The standard deviation of each one's group, with G − 1 in the denominator.

    Args:
        rewards: [B].
        groups: int64 [B].

    Returns:
        [B]; 0 in a group of one.
    """
    sizes = groups.bincount()[groups]
    variances = group_means(centred(rewards, groups).double() ** 2, groups) * sizes / (sizes - 1).clamp(min=1)
    return variances.sqrt().to(rewards.dtype)


def standardized(rewards: Tensor, groups: Tensor, eps: float = EPS) -> Tensor:
    """Implements G13 in the form of GRPO: the centred reward over its group's standard deviation.

    Args:
        rewards: [B].
        groups: int64 [B].
        eps: Added to the deviation.

    Returns:
        [B].
    """
    return centred(rewards, groups) / (group_deviations(rewards, groups) + eps)


def left_out(rewards: Tensor, groups: Tensor) -> Tensor:
    """Implements G13 in the form of RLOO: the reward less the mean of the others of its group.

    G / (G − 1) times the centred reward; that of a group of one, which has no others, is 0.

    Args:
        rewards: [B].
        groups: int64 [B].

    Returns:
        [B].
    """
    sizes = groups.bincount()[groups].to(rewards.dtype)
    return centred(rewards, groups) * sizes / (sizes - 1).clamp(min=1)


def group_heights(rewards: Tensor, groups: Tensor) -> Tensor:
    """How far each completion stands out of its group, in robust standard deviations of all groups together.

    Before advantages are divided by their group's deviation: one outlier among G is at most (G − 1)/√G of these
    deviations above the mean, 2.47 for G = 8, and so would hardly ever stand out.
    Heights are measured from 0, the mean of the group, and the scale is the median distance from it. From the batch's
    median, as :func:`gaard.method.advantages.heights` has it, rewards of 0 and 1 would often have the scale 0.
    Groups whose rewards are all equal do not count. Their zeros say nothing of how far rewards lie apart, and where
    they are many they would make the scale 0, so that all that is good stood out. The same holds of groups whose
    rewards differ by rounding alone, as those of equal texts do where a model scores them.

    Args:
        rewards: [B], of the whole batch.
        groups: int64 [B].

    Returns:
        [B]; 0 where a group's rewards are all equal, and everywhere if no group's differ by more than rounding.
    """
    differences = centred(rewards, groups)
    unequal = differences[~equal_rewards(rewards, groups, ROUNDING)]
    if not len(unequal):
        return torch.zeros_like(differences)
    return differences / (1.4826 * unequal.abs().median() + 1e-8)


def group_fold_weights(rewards: Tensor, groups: Tensor, fold: float) -> Tensor:
    """Implements G14: what advantages by group are multiplied by, so that those that stand out become their negative.

    Args:
        rewards: [B], of the whole batch.
        groups: int64 [B].
        fold: The threshold, in robust standard deviations (:func:`group_heights`).

    Returns:
        [B], in [−1, 1].
    """
    return turning_weights(group_heights(rewards, groups), fold)
