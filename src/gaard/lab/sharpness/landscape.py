"""What lies around a policy: proxy, truth, hack rate and KL, re-sampled along directions and over a plane."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from gaard.sharpness import Block, of_length, surface

Place = Callable[[], Mapping[str, float]]  # measures at the weights as they are
# Steps along a direction of length 1, and, of a filter-normalised one, shares of the weights' own length.
UNIT_STEPS = (0.05, 0.1, 0.25, 0.5, 1.0)
RELATIVE_STEPS = (0.01, 0.02, 0.05, 0.1, 0.2)
PLANE_STEPS = (-1.0, -2 / 3, -1 / 3, 0.0, 1 / 3, 2 / 3, 1.0)


def line(measure: Place, block: Block, direction: Tensor, steps: Sequence[float]) -> dict[str, Any]:
    """Measures along a direction, on both sides.

    Args:
        measure: At a place.
        block: N parameters that move.
        direction: [N].
        steps: Above 0.

    Returns:
        ``at`` and each measure, a list each, ascending, the policy itself in the middle; that alone where the direction
        is 0, as the gradient is where all samples are paid the same.
    """
    at = [*(-step for step in reversed(steps)), 0.0, *steps] if direction.any() else [0.0]
    points = surface(measure, block, [direction], [at])
    return {"at": at, **columns([point.measures for point in points])}


def plane(measure: Place, block: Block, across: Tensor, up: Tensor, steps: Sequence[float]) -> dict[str, Any]:
    """Measures over the plane of two directions.

    Args:
        measure: At a place.
        block: N parameters that move.
        across: [N].
        up: [N]; what is across in it is taken out.
        steps: Along both, which are made of length 1.

    Returns:
        ``across`` and ``up``, the steps, and each measure row by row: a list for each step up.
    """
    first = of_length(across, 1.0)
    second = of_length(up - (up @ first) * first, 1.0)
    points = surface(measure, block, [second, first], [steps, steps])
    flat = columns([point.measures for point in points])
    width = len(steps)
    rows = {name: [column[i : i + width] for i in range(0, len(column), width)] for name, column in flat.items()}
    return {"across": list(steps), "up": list(steps), **rows}


def columns(points: Sequence[Mapping[str, float]]) -> dict[str, list[float]]:
    """Measures of places as one list a measure."""
    return {name: [point[name] for point in points] for name in points[0]}


def uphill(gradient: Tensor) -> Tensor:
    """The policy gradient's direction of length 1, from the gradient of what is to be kept low, [N]."""
    return of_length(-gradient, 1.0)


def generator_of(seed: int, number: int) -> torch.Generator:
    """Of the random direction of such a number."""
    return torch.Generator().manual_seed(1_000_003 * (seed + 1) + number)
