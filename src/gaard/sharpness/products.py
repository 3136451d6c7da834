"""Products of the Hessian with a vector, exactly (Pearlmutter, 1994) or by differences of the gradient."""

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

from gaard.sharpness.block import Block, joined

# A scalar function of the model's parameters as they are now, in parts that add up: each is dropped before the next is
# made, so that memory is that of the largest.
Objective = Callable[[], Iterable[Tensor]]
Product = Callable[[Tensor], Tensor]


def gradient(objective: Objective, block: Block) -> Tensor:
    """The gradient with respect to a block.

    Args:
        objective: The function.
        block: Its N parameters.

    Returns:
        [N].
    """
    return value_and_gradient(objective, block)[1]


def value_and_gradient(objective: Objective, block: Block) -> tuple[float, Tensor]:
    """The function and its gradient from one forward.

    Args:
        objective: The function.
        block: Its N parameters.

    Returns:
        The value, and the gradient [N].
    """
    values: list[float] = []

    def slopes() -> Iterator[Tensor]:
        for part in objective():
            values.append(float(part.detach()))
            yield joined(torch.autograd.grad(part, block.tensors, allow_unused=True, materialize_grads=True))

    total = sum_of(slopes())
    return sum(values), total


def hessian_product(objective: Objective, block: Block, vector: Tensor) -> Tensor:
    """H v by backpropagation through the gradient: exact but for rounding.

    Args:
        objective: The function, twice differentiable as PyTorch sees it: attention must be ``eager``
            (:func:`gaard.sharpness.objectives.twice_differentiable`).
        block: Its N parameters.
        vector: v, [N].

    Returns:
        [N].

    Raises:
        RuntimeError: Of PyTorch, where an operation has no second derivative; :func:`difference_product` needs none.
    """
    return sum_of(kept_gradient(part, block, once=True)(vector) for part in objective())


class KeptHessian:
    """H as a map of vectors that keeps the graph of the gradient, so that each product is one backward pass.

    Twice as fast as :func:`hessian_product` from the second vector on. Memory is that of all parts together; the
    parameters must stay as they are.

    Args:
        objective: The function, twice differentiable.
        block: Its N parameters.
    """

    def __init__(self, objective: Objective, block: Block):
        self._parts = [kept_gradient(part, block) for part in objective()]

    def __call__(self, vector: Tensor) -> Tensor:
        """H v, [N]."""
        return sum_of(part(vector) for part in self._parts)


def kept_gradient(part: Tensor, block: Block, once: bool = False) -> Product:
    """The map v ↦ H v of one scalar, with the graph of its gradient made once.

    Args:
        part: Scalar, with its graph.
        block: N parameters.
        once: Whether one vector is all: the graph is given up as the product goes through it, which takes less memory.

    Returns:
        The map; [N] to [N].
    """
    slopes = torch.autograd.grad(part, block.tensors, create_graph=True, allow_unused=True, materialize_grads=True)
    bent = [slope for slope in slopes if slope.requires_grad]  # the others do not change

    def product(vector: Tensor) -> Tensor:
        if not bent:
            return torch.zeros_like(vector)
        along = [x for slope, x in zip(slopes, block.split(vector), strict=True) if slope.requires_grad]
        found = torch.autograd.grad(
            bent, block.tensors, [x.to(y.dtype) for x, y in zip(along, bent, strict=True)],
            retain_graph=not once, allow_unused=True, materialize_grads=True,
        )  # fmt: skip
        return joined(found)

    return product


def difference_product(objective: Objective, block: Block, vector: Tensor, step: float | None = None) -> Tensor:
    """H v by central differences of the gradient: (∇f(θ + h v) − ∇f(θ − h v)) / 2h.

    For functions without a second derivative in PyTorch. The error is h²/6 times the third derivative, plus rounding
    of the gradient over h.

    Args:
        objective: The function.
        block: Its N parameters.
        vector: v, [N].
        step: h; by default ε^⅓ (1 + ‖θ‖) / ‖v‖, which balances both errors; ε is that of the parameters' dtype.

    Returns:
        [N].
    """
    length = float(vector.norm())
    if length == 0:
        return torch.zeros_like(vector)
    if step is None:
        step = torch.finfo(block.dtype).eps ** (1 / 3) * (1 + float(block.vector().norm())) / length
    with block.moved(step * vector):
        ahead = gradient(objective, block)
    with block.moved(-step * vector):
        behind = gradient(objective, block)
    return (ahead - behind) / (2 * step)


def sum_of(vectors: Iterable[Tensor]) -> Tensor:
    """The sum of at least one vector, of which no two are held at once."""
    total: Tensor | None = None
    for vector in vectors:
        total = vector if total is None else total.add_(vector)
    if total is None:
        raise ValueError("the objective has no parts: it must yield at least one scalar")
    return total
