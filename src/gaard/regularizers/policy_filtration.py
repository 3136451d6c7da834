"""Policy filtration: learn from the completions whose rewards are most reliable (PF-PPO, arXiv 2409.06957)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from gaard.regularizers.base import Regularizer
from gaard.settings import Several

if TYPE_CHECKING:  # help should not wait for torch
    from torch import Generator, Tensor

    from gaard.methods.experience import Rollout

Kept = Literal["best-random", "best-worst"]


@dataclass(frozen=True)
class PolicyFiltration(Regularizer):
    """Of the completions of a prompt two are learned from: the best paid, and a random or the worst one.

    The paper draws completions by rank with the weights (½, 1/(2(N−1)), …) for best-random and (½, 0, …, 0, ½) for
    best-worst (section 4), two of N = 5 on average (its table 6). One of each half is kept here, which has the same
    weights and less chance.

    Attributes:
        keep: Which two: best-random, which the paper finds best in code and uses for mathematics, or best-worst.
        num_generations: N, completions of one prompt that are ranked, at least 2; must divide batch_size. The paper's 5
            divides no power of 2.
    """

    name = "policy-filtration"

    keep: Kept = "best-random"
    num_generations: Several = 4

    @property
    def leaves_out(self) -> bool:
        """Always."""
        return True

    def shape(self, rollout: Rollout, generator: Generator) -> Rollout:
        """See :meth:`Regularizer.shape`; completions that are left out already are not ranked."""
        chosen = filtered(rollout.trained_scores, rollout.kept, self.num_generations, self.keep, generator)
        return replace(rollout, kept=rollout.kept & chosen)


def filtered(scores: Tensor, candidates: Tensor, size: int, keep: Kept, generator: Generator) -> Tensor:
    """Two completions of each group: the best, and another.

    Args:
        scores: [B], groups of ``size`` neighbours; of equal ones the first counts as the better.
        candidates: bool [B], those that may be chosen.
        size: Completions a group.
        keep: Which other.
        generator: On the CPU; one draw a group for best-random, none for best-worst.

    Returns:
        bool [B], at most two True a group.
    """
    import torch

    chosen = torch.zeros(len(scores), dtype=torch.bool)
    for start in range(0, len(scores), size):
        group = [row for row in range(start, start + size) if candidates[row]]
        ranked = sorted(group, key=lambda row: -float(scores[row]))
        others = ranked[1:]
        if keep == "best-random" and len(others) > 1:
            others = [others[int(torch.randint(len(others), (1,), generator=generator))]]
        chosen[ranked[:1] + others[-1:]] = True
    return chosen.to(scores.device)
