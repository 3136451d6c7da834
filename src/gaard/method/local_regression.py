"""Locally weighted regression (LOWESS; Cleveland, 1979): what one number foretells of another, without a formula."""

import torch
from torch import Tensor

ROUNDS = 3  # of robust weights, as in statsmodels


def lowess(x: Tensor, y: Tensor, fraction: float) -> Tensor:
    """The value of a robust local line at each point.

    Each point has a line of its own, fitted to the nearest points with tricube weights. Then points far off the lines
    are weighed down (bisquare weights at 6 median distances), and lines are fitted again. Where the nearest points
    have one x, the line is their mean. Equal to statsmodels' ``lowess(y, x, frac=fraction)``, but for rounding, where
    no x comes twice; where some do, that one may be undefined.

    Args:
        x: [n], any real type.
        y: [n].
        fraction: Of the points that each line sees, in (0, 1]; at least two.

    Returns:
        [n], of the type of ``y``.
    """
    places, values = x.double(), y.double()
    count = min(len(y), max(2, int(fraction * len(y) + 1e-10)))
    distances = (places[:, None] - places).abs()
    nearest = _tricube(distances, distances.sort(-1).values[:, count - 1 : count])
    trust = torch.ones_like(values)
    for _ in range(ROUNDS):
        distance = (values - _lines(places, values, nearest * trust)).abs()
        middle = _median(distance)
        if middle == 0:
            break
        trust = _bisquare(distance / (6.0 * middle))
    return _lines(places, values, nearest * trust).to(y.dtype)


def _lines(x: Tensor, y: Tensor, weights: Tensor) -> Tensor:
    """Weighted least squares, a line for each row of the weights, at its own x; y itself where all weights are 0."""
    total = weights.sum(-1, keepdim=True)
    shares = weights / total.clamp(min=1e-300)
    middle = (shares * x).sum(-1, keepdim=True)
    spread = (shares * (x - middle) ** 2).sum(-1, keepdim=True)
    slope = (x[:, None] - middle) * (x - middle) / spread.clamp(min=1e-12)
    return torch.where(total[:, 0] > 0, (shares * (1.0 + slope) * y).sum(-1), y)


def _tricube(distances: Tensor, radius: Tensor) -> Tensor:
    """1 at the point itself, 0 from the radius on; with a radius of 0 the points at the same place count alike."""
    relative = torch.where(radius > 0, distances / radius.clamp(min=1e-300), (distances > 0).double())
    weights = (1.0 - relative.clamp(max=1.0) ** 3) ** 3
    return torch.where(relative < 0.001, 1.0, torch.where(relative > 0.999, 0.0, weights))


def _bisquare(relative: Tensor) -> Tensor:
    """1 near the line, 0 from a relative distance of 1 on."""
    weights = (1.0 - relative.clamp(max=1.0) ** 2) ** 2
    return torch.where(relative < 0.001, 1.0, torch.where(relative > 0.999, 0.0, weights))


def _median(x: Tensor) -> Tensor:
    """The mean of the two in the middle, where there are two."""
    ordered = x.sort().values
    return (ordered[(len(x) - 1) // 2] + ordered[len(x) // 2]) / 2
