"""A budget of KL: training ends when it is spent."""

from collections.abc import Mapping
from dataclasses import dataclass

from gaard.regularizers.base import Regularizer
from gaard.settings import Positive


@dataclass(frozen=True)
class KLBudget(Regularizer):
    """Training ends after the first step whose rollout's KL to the reference reaches a limit.

    Attributes:
        limit: Nats a token.
    """

    name = "kl-budget"

    limit: Positive = 0.1

    def ends(self, metrics: Mapping[str, float]) -> bool:
        """Whether the step's KL reaches the limit."""
        return metrics["kl_ref"] >= self.limit
