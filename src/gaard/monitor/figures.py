"""The figures of one step's batch (docs/monitor.md)."""

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import torch

from gaard.advantages import THRESHOLD, fold_weights
from gaard.method.advantages import heights, turning_weights
from gaard.method.groups import equal_rewards, numbered


def figures_of(
    paid: np.ndarray,
    numbers: Mapping[str, np.ndarray],
    completions: Sequence[str] | None,
    groups: Sequence[Hashable] | None,
    before: tuple[float, float],
) -> dict[str, float]:
    """What a batch of B completions says.

    Args:
        paid: float64 [B], NaN where nothing was paid.
        numbers: Name → [B], of which the mean is a figure.
        completions: B texts, if they are known.
        groups: B names, if there are any.
        before: The least and the most that was paid in any step before.

    Returns:
        Name → number, of what is known.
    """
    figures = {"texts": float(len(paid)), **_of_pay(paid, groups, before)}
    if completions is not None:
        figures["distinct"] = len(set(completions)) / len(completions)
        numbers = {"length": np.array([len(text.split()) for text in completions], dtype=float), **numbers}
    figures |= {name: float(np.nanmean(x)) for name, x in numbers.items() if not np.isnan(x).all()}
    gap = paid - numbers.get("true_reward", np.nan)
    if not np.isnan(gap).all():
        figures["reward_gap"] = float(np.nanmean(gap))
    return figures


def _of_pay(paid: np.ndarray, groups: Sequence[Hashable] | None, before: tuple[float, float]) -> dict[str, float]:
    """Of the completions that were paid anything."""
    known = np.flatnonzero(~np.isnan(paid)).tolist()
    if not known:
        return {}
    pay = paid[known]
    names = None if groups is None else [groups[i] for i in known]
    figures = {
        "reward": float(pay.mean()),
        "reward_std": float(pay.std()),
        "at_highest": float((pay >= max(pay.max(), before[1])).mean()),
        "at_lowest": float((pay <= min(pay.min(), before[0])).mean()),
        "turned": _turned(pay, names),
    }
    if names is not None:
        figures |= _equal_groups(pay, names)
    return figures


def _turned(pay: np.ndarray, groups: Sequence[Hashable] | None) -> float:
    """Share of the completions whose advantage a fold would turn; without groups, the advantage is to the mean."""
    if groups is not None:
        return float((fold_weights(pay, groups) < 0).mean())
    advantages = torch.tensor(pay - pay.mean())
    weights = turning_weights(heights(advantages, torch.ones_like(advantages, dtype=torch.bool)), THRESHOLD)
    return float((weights < 0).double().mean())


def _equal_groups(pay: np.ndarray, groups: Sequence[Hashable]) -> dict[str, float]:
    """Share of the completions in groups whose rewards are all equal; groups of one do not count."""
    number = torch.tensor(numbered(groups))
    several = number.bincount()[number] > 1
    if not several.any():
        return {}
    equal = equal_rewards(torch.tensor(pay), number)[several]
    return {"equal_groups": float(equal.double().mean())}
