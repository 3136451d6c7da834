"""Where advantages come from: generalised advantage estimation with a critic (Schulman et al., arXiv 1506.02438)."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from gaard.method import advantages as adv
from gaard.settings import Fraction, NotNegative, Options, Positive


@dataclass(frozen=True)
class GAE(Options):
    """Advantages by GAE from the values of a head on the policy's trunk, and how that critic learns.

    Attributes:
        gamma: Discount factor; Johnson's is 1.
        lam: λ; Johnson's is 0 (G3), with which a reward travels back one token a rollout.
        value_learning_rate: Learning rate of the value head.
        vf_coef: Weight of the value loss.
        cliprange_value: How far a value may move in one rollout's updates before its gradient stops.
    """

    kind: ClassVar[str] = "advantages"
    name = "gae"

    gamma: Fraction = 1.0
    lam: Fraction = 0.95
    value_learning_rate: Positive = 1e-3
    vf_coef: NotNegative = 0.5
    cliprange_value: Positive = 0.2

    def advantages(self, values: Tensor, rewards: Tensor, mask: Tensor) -> Tensor:
        """A(x_t) of every sampled token; the value head's targets are this plus ``values``.

        Args:
            values: [B, T], V(x_<t).
            rewards: [B, T], of every token.
            mask: bool [B, T].

        Returns:
            [B, T].
        """
        return adv.generalized_advantages(values, rewards, mask, self.gamma, self.lam)

    def one_step(self, values: Tensor, next_values: Tensor, rewards: Tensor, mask: Tensor) -> Tensor:
        """G3 and G5: the advantage of one token by the values before and after it.

        Args:
            values: [B, T], V(x_<t).
            next_values: [B, T], V behind the token in question.
            rewards: [B, T], of the texts that have it.
            mask: bool [B, T].

        Returns:
            [B, T].
        """
        return adv.one_step_advantages(values, next_values, rewards, mask, self.gamma)
