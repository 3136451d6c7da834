"""Rewards less what the length of a completion foretells (post-hoc reward calibration, arXiv 2409.17407)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gaard.regularizers.base import Regularizer, with_scores
from gaard.settings import NotNegative, PositiveShare

if TYPE_CHECKING:  # help should not wait for torch
    from torch import Generator

    from gaard.methods.experience import Rollout


@dataclass(frozen=True)
class LengthResidual(Regularizer):
    """The reward less a local regression of rewards on lengths over the rollout, in tokens.

    The paper's method, which regresses once over a data set, with a rollout in its place. The regression is the
    authors' (:func:`gaard.method.local_regression.lowess`); their script for RewardBench has both defaults
    (``--alphas 1.0 --frac 1.0``).

    Attributes:
        coef: Weight of what is subtracted.
        fraction: The share of the rollout's completions that each local regression sees.
    """

    name = "length-residual"

    coef: NotNegative = 1.0
    fraction: PositiveShare = 1.0

    def shape(self, rollout: Rollout, generator: Generator) -> Rollout:
        """See :meth:`Regularizer.shape`; a text that ends on the greedy token is as long as the sampled one."""
        from gaard.method.local_regression import lowess

        lengths = rollout.completion_mask.sum(-1)
        less = self.coef * lowess(lengths, rollout.trained_scores, self.fraction)
        return with_scores(rollout, lambda scores: scores - less)
