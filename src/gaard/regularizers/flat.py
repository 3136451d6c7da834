"""Steps towards flat places: the gradient here, and a second one a little way up the loss."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gaard.regularizers.base import Regularizer
from gaard.settings import NotNegative, Positive


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
        gradient_uphill(policy, critic, again, self.radius)


@torch.no_grad()
def gradient_uphill(
    policy: Sequence[Tensor], critic: Sequence[Tensor], again: Callable[[], object], radius: float
) -> float | None:
    """Replace the policy's gradient g by the one at θ + r·g/‖g‖; the critic keeps its own.

    Args:
        policy: Parameters θ; afterwards where they were. Those without a gradient are left out.
        critic: Parameters whose gradients stay as they are.
        again: Makes the gradients anew, adding to them.
        radius: r.

    Returns:
        ‖g‖; None if it is zero or not finite, which leaves the gradient as it was.
    """
    here = [(p, p.detach().clone(), p.grad) for p in policy if p.grad is not None]
    kept = [(p, p.grad) for p in critic]
    norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for _, _, g in here]))
    if norm == 0 or not torch.isfinite(norm):
        return None
    for p, _, g in here:
        p.add_(g, alpha=radius / float(norm))
    for p in (*(p for p, _, _ in here), *(p for p, _ in kept)):
        p.grad = None
    try:
        with torch.enable_grad():
            again()
    finally:  # whatever stops it, the weights are where they were
        for p, place, _ in here:
            p.copy_(place)
    for p, own in kept:
        p.grad = own
    return float(norm)
