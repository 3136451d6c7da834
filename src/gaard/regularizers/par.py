"""PAR: a reward that saturates where the policy is far better than the untrained model (arXiv 2502.18770)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gaard.regularizers.base import Regularizer
from gaard.settings import Count

if TYPE_CHECKING:  # help should not wait for torch
    from torch import Tensor


@dataclass(frozen=True)
class PAR(Regularizer):
    """The sigmoid of the reward less that of the untrained model's completions of the same prompt, mean over them.

    Attributes:
        completions: Of the untrained model, for each prompt (the paper finds one enough).
    """

    name = "par"

    completions: Count = 8

    @property
    def baseline_completions(self) -> int:
        """As many as were asked for."""
        return self.completions

    def shape_scores(self, scores: Tensor, baseline_scores: Tensor) -> Tensor:
        """Mean over the baseline of sigmoid(reward − baseline's reward)."""
        return (scores[:, None] - baseline_scores[:, : self.completions]).sigmoid().mean(-1)
