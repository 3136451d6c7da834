"""The curvature of one function in one block of a model, by every measure."""

import math
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

Height = Callable[[], tuple[float, float]]  # a function at the weights as they are, and its standard error
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
        height: The function itself with its standard error, at places that are not near: there the samples of the
            expected reward have importance weights without bounds, and have to be drawn anew. The error is 0 of a
            function of fixed samples.
        block: Its N parameters.
        make: Makes the map v ↦ H v.
        count: Eigenvalues from each end.
        seed: Of the first vector and of the trace's probes.

    Returns:
        Eigenvalues with residuals, trace with half its 95% interval, the top eigenvalue of the adaptive and the
        filter-normalised Hessian, ε-sharpness and the second difference along the top eigenvector with standard
        errors, the gradient's length. Residuals and the interval are of the solver and the probes, not of sampling.
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
        **_with_error("epsilon_sharpness", *rise(height, block, slope)),
        **_with_error("second_difference", *along(height, block, top)),
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
    """The top eigenvalues that no rescaling of whole layers changes, with residuals."""
    figures: dict[str, float] = {}
    for name, scale in (("adaptive", adaptive_scale(block)), ("filter", filter_scale(block))):
        found = eigenpairs(scaled(product, scale), scale, 1, "top", TOLERANCE, seed)
        figures |= {f"{name}_top": float(found.values[0]), f"{name}_residual": float(found.residuals[0])}
    return figures


def _with_error(name: str, value: float, error: float) -> dict[str, float]:
    return {name: value, f"{name}_error": error}


def rise(height: Height, block: Block, slope: Tensor, radius: float = RADIUS) -> tuple[float, float]:
    """ε-sharpness by one ascent (SAM): how much higher the function is that far up its gradient.

    It is not cut off at 0: of a flat function that is sampled, half of the estimates are below, and their mean is 0.

    Args:
        height: The function with its standard error.
        block: N parameters.
        slope: Its gradient, [N].
        radius: How far.

    Returns:
        The rise and its standard error. That neglects that both places share random numbers, and so it is too wide
        rather than too narrow.
    """
    here, error = height()
    with block.moved(of_length(slope, radius)):
        there, far_error = height()
    return there - here, math.hypot(far_error, error)


def along(height: Height, block: Block, direction: Tensor, step: float = STEP) -> tuple[float, float]:
    """The second difference of a function along a direction.

    Args:
        height: The function with its standard error.
        block: N parameters.
        direction: Of length 1, [N].
        step: ε.

    Returns:
        The second difference and its standard error, which neglects the same as that of :func:`rise`.
    """
    with block.moved(-step * direction):
        behind, error_behind = height()
    with block.moved(step * direction):
        ahead, error_ahead = height()
    here, error = height()
    bent = second_difference(behind, here, ahead, step)
    return bent, math.hypot(error_behind, 2 * error, error_ahead) / step**2
