"""Steps towards flat places: the gradient here, and a second one a little way up the loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gaard.regularizers.base import Regularizer
from gaard.settings import NotNegative, Positive

if TYPE_CHECKING:  # help should not wait for torch
    from torch import Tensor


@dataclass(frozen=True)
class GradientNorm(Regularizer):
    """Adds half the squared norm of the policy's gradient to the loss, by finite differences (arXiv 2602.18037).

    Attributes:
        coef: Weight γ of the squared norm.
        radius: How far off the second gradient is taken.
    """

    name = "gradient-norm"
    needs_float32 = True
    second_gradient = True

    coef: NotNegative = 0.05  # the best of those that were tried (docs/results.md)
    radius: Positive = 0.01

    def change_gradient(self, policy: Sequence[Tensor], critic: Sequence[Tensor], again: Callable[[], object]) -> None:
        """The gradient of ½‖g‖² is Hg, by finite differences ‖g‖ (h − g)/r, with h the gradient at θ + r·g/‖g‖."""
        from gaard.regularizers.uphill import gradient_uphill

        before = {p: p.grad for p in policy}
        norm = gradient_uphill(policy, critic, again, self.radius)
        if norm is None:
            return
        weight = self.coef * norm / self.radius
        for p, g in before.items():
            if g is not None and p.grad is not None:
                p.grad = g + weight * (p.grad - g)


@dataclass(frozen=True)
class SAM(Regularizer):
    """Sharpness-aware minimisation: the gradient where the loss nearby is worst (arXiv 2010.01412).

    Attributes:
        radius: How far off it is taken.
    """

    name = "sam"
    needs_float32 = True
    second_gradient = True

    radius: Positive = 0.01

    def change_gradient(self, policy: Sequence[Tensor], critic: Sequence[Tensor], again: Callable[[], object]) -> None:
        """The gradient at θ + r·g/‖g‖ in the place of g."""
        from gaard.regularizers.uphill import gradient_uphill

        gradient_uphill(policy, critic, again, self.radius)
