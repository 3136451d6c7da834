"""How sharp a function of a model's parameters is: curvature, spectra, and what lies around.

Estimators of any scalar function (``Objective``: a callable that yields parts which add up), over any part of a model
(``block``).
"""

from gaard.extras import need

need("train", __name__)

from gaard.sharpness.block import Block, block
from gaard.sharpness.density import Spectrum, spectrum
from gaard.sharpness.directions import of_length, random_direction
from gaard.sharpness.eigenvalues import Eigenpairs, eigenpairs
from gaard.sharpness.estimates import Estimate
from gaard.sharpness.invariant import adaptive_scale, filter_scale, scaled
from gaard.sharpness.objectives import (
    Batch,
    divergence,
    expected_reward,
    penalized_surrogate,
    surrogate,
    twice_differentiable,
    weighted_sum,
)
from gaard.sharpness.products import (
    KeptHessian,
    Objective,
    Product,
    difference_product,
    gradient,
    hessian_product,
)
from gaard.sharpness.surface import Point, second_difference, surface, value, worst_in_ball
from gaard.sharpness.trace import trace

__all__ = [
    "Batch",
    "Block",
    "Eigenpairs",
    "Estimate",
    "KeptHessian",
    "Objective",
    "Point",
    "Product",
    "Spectrum",
    "adaptive_scale",
    "block",
    "difference_product",
    "divergence",
    "eigenpairs",
    "expected_reward",
    "filter_scale",
    "gradient",
    "hessian_product",
    "of_length",
    "penalized_surrogate",
    "random_direction",
    "scaled",
    "second_difference",
    "spectrum",
    "surface",
    "surrogate",
    "trace",
    "twice_differentiable",
    "value",
    "weighted_sum",
    "worst_in_ball",
]
