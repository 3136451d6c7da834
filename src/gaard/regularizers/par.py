"""PAR: a reward that saturates where the policy is far better than the untrained model (arXiv 2502.18770)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from gaard.regularizers.base import Regularizer
from gaard.settings import Count


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
        return torch.sigmoid(scores[:, None] - baseline_scores).mean(-1)
