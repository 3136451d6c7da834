"""A second gradient, a little way up the loss."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


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
