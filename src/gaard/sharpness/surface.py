"""A function of the parameters, measured again at θ + ε·d: along a line, over a plane, and at the worst of a ball."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from gaard.sharpness.block import Block
from gaard.sharpness.directions import of_length
from gaard.sharpness.products import Objective, value_and_gradient

Measure = Callable[[], Mapping[str, float]]  # at the parameters as they are


@dataclass(frozen=True)
class Point:
    """What was measured at one place.

    Attributes:
        at: The steps along each direction.
        measures: Key → number.
    """

    at: tuple[float, ...]
    measures: Mapping[str, float]


def surface(
    measure: Measure, block: Block, directions: Sequence[Tensor], steps: Sequence[Sequence[float]]
) -> list[Point]:
    """Measures at θ + Σ εᵢ dᵢ for every combination of steps; one direction is a line, two are a plane.

    Args:
        measure: Of the model as it is.
        block: N parameters that move.
        directions: [N] each.
        steps: ε for each direction.

    Returns:
        A point a combination, the last direction's steps changing fastest.
    """
    points = []
    for at in product(*steps):
        moved = sum((step * direction for step, direction in zip(at, directions, strict=True)), torch.tensor(0.0))
        with block.moved(moved):
            points.append(Point(at, dict(measure())))
    return points


def second_difference(behind: float, here: float, ahead: float, step: float) -> float:
    """The curvature along a line from three values: (f(θ+ε) − 2 f(θ) + f(θ−ε)) / ε²."""
    return (ahead - 2 * here + behind) / step**2


def worst_in_ball(objective: Objective, block: Block, radius: float, ascents: int = 1) -> float:
    """ε-sharpness: how much higher the function is at the worst place within a radius, as far as ascent finds it.

    One ascent is the step of SAM (Foret et al., 2021): to the edge, along the gradient. Further ones go on from there
    and are put back onto the ball. A lower bound of the true worst.

    Args:
        objective: The function, to be kept low.
        block: N parameters.
        radius: ρ, Euclidean.
        ascents: Steps, at least 1; each is one forward and backward.

    Returns:
        max f(θ + ε) − f(θ) over the places tried, at least 0.
    """
    away, heights = torch.zeros(block.size, dtype=block.dtype, device=block.tensors[0].device), []
    for _ in range(ascents):
        with block.moved(away):
            height, slope = value_and_gradient(objective, block)
        heights.append(height)
        away = away + of_length(slope, radius)
        if float(away.norm()) > radius:
            away = of_length(away, radius)
    with block.moved(away):
        heights.append(value(objective))
    return max(heights) - heights[0]


@torch.no_grad()
def value(objective: Objective) -> float:
    """The function itself, at the parameters as they are."""
    return sum(float(part) for part in objective())
