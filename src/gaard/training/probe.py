"""How sharp the loss is where training stands, looked at along the gradient that an update has anyway."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

RADIUS = 0.05  # how far the weights are moved, Euclidean; SAM's default (Foret et al., 2021)
Figures = Mapping[str, Tensor]


class Probe:
    """Every so many steps, at the step's first update: the loss at θ ± ρ·g/‖g‖, g being the update's gradient.

    Two forwards of one minibatch, without a gradient. A top eigenvalue would take a dozen products with the Hessian,
    each several times a forward and backward, and second derivatives that the trainer's kernels do not have. Draws
    nothing, and leaves weights and gradients as they are to the last bit.

    Args:
        parameters: Of the policy, without its value head.
        every: Training steps from one look to the next; None looks never.
    """

    def __init__(self, parameters: Sequence[Tensor], every: int | None):
        self._parameters, self._every = parameters, every
        self._due = False
        self._found: dict[str, float] = {}

    def begin(self, step: int) -> None:
        """Say which step begins, counted from 1."""
        self._due = self._every is not None and step % self._every == 0
        self._found = {}

    def look(self, here: Figures, again: Callable[[], Figures]) -> None:
        """Look, if it is time; the gradient has just been made.

        Args:
            here: The update's ``loss`` and ``policy_loss``.
            again: The same at the weights as they are then, without a gradient; without what regularizers add.
        """
        if not self._due:
            return
        self._due = False
        found = losses_around(self._parameters, again, RADIUS)
        if found is None:
            return
        ahead, behind = found
        loss = here["loss"] - here.get("penalty", 0.0)
        self._found = {
            "sharpness": float(ahead["loss"] - loss),
            "curvature": float(ahead["loss"] - 2 * loss + behind["loss"]) / RADIUS**2,
            "policy_curvature": float(ahead["policy_loss"] - 2 * here["policy_loss"] + behind["policy_loss"])
            / RADIUS**2,
        }

    def found(self) -> dict[str, float]:
        """What is to be logged of the step; nothing where it did not look."""
        return self._found


@torch.no_grad()
def losses_around(
    parameters: Sequence[Tensor], again: Callable[[], Figures], radius: float
) -> tuple[Figures, Figures] | None:
    """What is measured at θ + r·g/‖g‖ and at θ − r·g/‖g‖.

    Args:
        parameters: θ, with gradients; those without one are not moved.
        again: Measures at the weights as they are.
        radius: r.

    Returns:
        Both; None if the gradient is zero or not finite.
    """
    moving = [(p, p.grad) for p in parameters if p.grad is not None]
    norm = float(torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(slope) for _, slope in moving])))
    if norm == 0 or not norm < float("inf"):
        return None
    with _moved(moving, radius / norm):
        ahead = again()
    with _moved(moving, -radius / norm):
        return ahead, again()


@contextmanager
def _moved(moving: Sequence[tuple[Tensor, Tensor]], scale: float) -> Iterator[None]:
    """Meanwhile each parameter is further by so many of its gradients; afterwards the same to the last bit."""
    before = [p.detach().clone() for p, _ in moving]
    try:
        for p, slope in moving:
            p.add_(slope, alpha=scale)
        yield
    finally:
        for (p, _), place in zip(moving, before, strict=True):
            p.copy_(place)
