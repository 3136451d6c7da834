"""The curvature of one function in one block of a model, by every measure."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gaard.sharpness import (
    Batch,
    Block,
    Eigenpairs,
    KeptHessian,
    Objective,
    Product,
    adaptive_scale,
    eigenpairs,
    filter_scale,
    gradient,
    hessian_product,
    of_length,
    scaled,
    second_difference,
    trace,
)

Height = Callable[[], float]  # a function at the weights as they are
TOLERANCE = 1e-2  # of eigenvalues, relative; the residuals say how far each got
TRACE_PRODUCTS = 18
RADIUS = 0.05  # of the ball of ε-sharpness, SAM's default (Foret et al., 2021)
STEP = 0.05  # along the top eigenvector, at which second differences are taken
KEPT_LOGITS = 2**24  # numbers: up to here the graph of the gradient is kept, which halves the time of a product


def hessian(objective: Objective, block: Block, batch: Batch, vocabulary: int) -> Product:
    """The map v ↦ H v: with its graph kept where the batch is small, else made again for every vector, part by part.

    Args:
        objective: The function.
        block: Its N parameters, which must stay as they are as long as the map is used.
        batch: Over which the function is a mean.
        vocabulary: Tokens that the model knows.

    Returns:
        The map.
    """
    if batch.completion_ids.numel() * vocabulary <= KEPT_LOGITS:
        return KeptHessian(objective, block)
    return lambda vector: hessian_product(objective, block, vector)


@dataclass(frozen=True)
class Curvature:
    """What was measured of a function in a block.

    Attributes:
        figures: As ``sharpness.json`` has them.
        top: The eigenvector of the largest eigenvalue, [N].
    """

    figures: dict[str, Any]
    top: Tensor


def curvature(
    objective: Objective, height: Height, block: Block, make: Callable[[], Product], count: int, seed: int
) -> Curvature:
    """Every measure of one function in one block; positive is sharp, since functions are to be kept low.

    Args:
        objective: The function, whose derivatives are taken.
        height: The function itself, at places that are not near: there the samples of the expected reward have
            importance weights without bounds, and have to be drawn anew.
        block: Its N parameters.
        make: Makes the map v ↦ H v.
        count: Eigenvalues from each end.
        seed: Of the first vector and of the trace's probes.

    Returns:
        Eigenvalues with residuals, trace with half its 95% interval, the top eigenvalue of the adaptive and the
        filter-normalised Hessian, ε-sharpness, the second difference along the top eigenvector, the gradient's length.
    """
    like, product = block.vector(), make()
    count = min(count, (block.size - 1) // 2)
    ends = eigenpairs(product, like, 2 * count, "both", TOLERANCE, seed)
    found = trace(product, like, TRACE_PRODUCTS, torch.Generator().manual_seed(seed))
    figures = {
        "size": block.size,
        **_ends(ends, count),
        "trace": {"value": found.value, "error": found.error, "probes": found.probes},
        **_invariant(product, block, seed),
    }
    del product  # and its graph, which would not be that of other weights
    top = ends.vectors[:, 0].contiguous()
    slope = gradient(objective, block)
    figures |= {
        "epsilon_sharpness": rise(height, block, slope),
        "second_difference": along(height, block, top),
        "gradient_norm": float(slope.norm()),
    }
    return Curvature(figures, top)


def _ends(found: Eigenpairs, count: int) -> dict[str, Any]:
    """The eigenvalues of both ends, the outermost first."""
    values, residuals = found.values.tolist(), found.residuals.tolist()
    return {
        "top": values[:count],
        "top_residuals": residuals[:count],
        "bottom": values[: -count - 1 : -1],
        "bottom_residuals": residuals[: -count - 1 : -1],
        "products": found.products,
    }


def _invariant(product: Product, block: Block, seed: int) -> dict[str, float]:
    """The top eigenvalues that no rescaling of layers changes, with residuals."""
    figures: dict[str, float] = {}
    for name, scale in (("adaptive", adaptive_scale(block)), ("filter", filter_scale(block))):
        found = eigenpairs(scaled(product, scale), scale, 1, "top", TOLERANCE, seed)
        figures |= {f"{name}_top": float(found.values[0]), f"{name}_residual": float(found.residuals[0])}
    return figures


def rise(height: Height, block: Block, slope: Tensor, radius: float = RADIUS) -> float:
    """ε-sharpness by one ascent (SAM): how much higher the function is that far up its gradient, at least 0."""
    here = height()
    with block.moved(of_length(slope, radius)):
        return max(0.0, height() - here)


def along(height: Height, block: Block, direction: Tensor, step: float = STEP) -> float:
    """The second difference of a function along a direction of length 1."""
    with block.moved(-step * direction):
        behind = height()
    with block.moved(step * direction):
        ahead = height()
    return second_difference(behind, height(), ahead, step)
