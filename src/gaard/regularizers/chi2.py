"""χ² instead of KL: a divergence that grows with the ratio of probabilities, not with its logarithm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from gaard.regularizers.base import Regularizer
from gaard.settings import NotNegative

if TYPE_CHECKING:  # help should not wait for torch
    from torch import Tensor

Level = Literal["sequence", "token"]


@dataclass(frozen=True)
class Chi2(Regularizer):
    """Adds the root of χ²(π‖π_ref) to the loss (Laidlaw, Singhal and Dragan, arXiv 2403.03185).

    The KL stays what it is: set kl_coef=0 for χ² in its place. Per sequence it is that of the occupancy of whole
    completions, and as the authors' code for language models has it.

    Attributes:
        coef: Weight of the root.
        level: Whether probabilities are those of whole completions (sequence) or of single tokens (token), in which
            case χ² is a mean over tokens.
    """

    name = "chi2"
    penalizes = True

    coef: NotNegative = 0.0008  # of the authors' command for language models
    level: Level = "sequence"

    def costs(self, logprobs: Tensor, ref_logprobs: Tensor, mask: Tensor) -> Tensor:
        """What the samples contribute to χ²; [b], or [n] of the valid tokens."""
        from gaard.method.divergence import chi2_costs

        log_ratio = logprobs - ref_logprobs
        if self.level == "token":
            return chi2_costs(log_ratio[mask])
        return chi2_costs(log_ratio.where(mask, log_ratio.new_zeros(())).sum(-1))

    def cost_penalty(self, cost: Tensor) -> Tensor:
        """The weight times the root of χ², which does not fall below the root of 0.0001."""
        from gaard.method.divergence import FLOOR

        return self.coef * cost.clamp(min=FLOOR).sqrt()
