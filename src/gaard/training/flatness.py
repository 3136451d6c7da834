"""Steps towards flat places: the gradient here, and a second one a little way up the loss."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from gaard.training.config import GAAConfig


@torch.no_grad()
def flatten_gradient(
    moved: Iterable[Tensor], others: Iterable[Tensor], again: Callable[[], object], config: GAAConfig
) -> None:
    """Replace the gradient g of a loss L by that of SAM, or by that of L + γ/2 ‖g‖².

    With the unit step u = g/‖g‖ and h the gradient at θ + r·u: SAM (Foret et al., arXiv 2010.01412) goes along h. The
    gradient of ½‖g‖² is Hg, by finite differences ‖g‖ (h − g)/r (arXiv 2602.18037). A gradient of zero stays.

    Args:
        moved: Parameters with gradients, θ; afterwards where they were. Those without are left out.
        others: Parameters whose gradients stay as they are.
        again: Makes the gradients anew, adding to them, at the parameters as they are then.
        config: ``flatness``, its radius r and coefficient γ.
    """
    here = [(p, p.detach().clone(), p.grad) for p in moved if p.grad is not None]
    kept = [(p, p.grad) for p in others]
    norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for _, _, g in here]))
    if norm == 0 or not torch.isfinite(norm):
        return
    for p, _, g in here:
        p.add_(g, alpha=config.flatness_radius / float(norm))
    for p in (*(p for p, _, _ in here), *(p for p, _ in kept)):
        p.grad = None
    try:
        with torch.enable_grad():
            again()
    finally:  # whatever stops it, the weights are where they were
        for p, place, _ in here:
            p.copy_(place)
    weight = config.flatness_coef * float(norm) / config.flatness_radius
    for p, _, g in here:
        if config.flatness == "gradient-norm" and p.grad is not None:
            p.grad = g + weight * (p.grad - g)
    for p, own in kept:
        p.grad = own
