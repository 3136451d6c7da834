"""Where advantages come from: generalised advantage estimation with a critic (Schulman et al., arXiv 1506.02438)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gaard.methods.estimator import Estimator
from gaard.settings import Fraction, NotNegative, Positive

if TYPE_CHECKING:  # help should not wait for torch
    from torch import Tensor


@dataclass(frozen=True)
class GAE(Estimator):
    """Advantages by GAE from the values of a head on the policy's trunk, and how that critic learns.

    Attributes:
        gamma: Discount factor; Johnson's is 1.
        lam: λ; Johnson's is 0 (G3), with which a reward travels back one token a rollout.
        value_learning_rate: Learning rate of the value head.
        vf_coef: Weight of the value loss.
        cliprange_value: How far a value may move in one rollout's updates before its gradient stops.
    """

    name = "gae"

    gamma: Fraction = 1.0
    lam: Fraction = 0.95
    value_learning_rate: Positive = 1e-3
    vf_coef: NotNegative = 0.5
    cliprange_value: Positive = 0.2

    @property
    def critic_learning_rate(self) -> float:
        """``value_learning_rate``."""
        return self.value_learning_rate

    @property
    def critic_coef(self) -> float:
        """``vf_coef``."""
        return self.vf_coef

    def advantages(self, values: Tensor, rewards: Tensor, mask: Tensor) -> Tensor:
        """Implements G3 with γ and λ."""
        from gaard.method.advantages import generalized_advantages

        return generalized_advantages(values, rewards, mask, self.gamma, self.lam)

    def one_step(self, values: Tensor, next_values: Tensor, rewards: Tensor, mask: Tensor) -> Tensor:
        """Implements G3 and G5."""
        from gaard.method.advantages import one_step_advantages

        return one_step_advantages(values, next_values, rewards, mask, self.gamma)

    def critic_loss(self, values: Tensor, old_values: Tensor, returns: Tensor) -> Tensor:
        """The clipped squared error."""
        from gaard.method.objective import value_loss

        return value_loss(values, old_values, returns, self.cliprange_value)
