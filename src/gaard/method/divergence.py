"""The χ² divergence to the reference from samples, and the worst reward that is correlated with the proxy.

Whole completions or single tokens: everything here takes log π − log π_ref of either.
"""

import math

import torch
from torch import Tensor

from gaard.method.masking import standardize

LIMIT = 10.0  # of a log-ratio; beyond it exp is continued as a straight line, as the authors of χ² for RLHF do
FLOOR = 1e-4  # of a χ² below a root, whose slope at 0 is infinite; theirs too


def ratio_less_one(log_ratio: Tensor) -> Tensor:
    """exp(x) − 1, continued as its tangent beyond ``LIMIT``, so that one sample cannot overflow.

    Args:
        log_ratio: Any shape.

    Returns:
        The shape of ``log_ratio``, with a gradient everywhere.
    """
    tangent = math.exp(LIMIT) * (1.0 + log_ratio - LIMIT) - 1.0
    return torch.where(log_ratio > LIMIT, tangent, torch.expm1(log_ratio.clamp(max=LIMIT)))


def chi2_costs(log_ratio: Tensor) -> Tensor:
    """What each sample from π contributes to χ²(π‖π_ref) = E_π[π/π_ref] − 1 (Laidlaw et al., arXiv 2403.03185).

    (π/π_ref − 1) + (π_ref/π − 1), at least 0: the second part has expectation 0 under π and takes noise away. As a
    loss over samples its gradient has expectation ½∇χ²(π‖π_ref) + ∇KL(π_ref‖π), since it is taken through the
    samples' log-probabilities alone.

    Args:
        log_ratio: log π − log π_ref of samples from π, any shape.

    Returns:
        The shape of ``log_ratio``, whose mean estimates χ².
    """
    return ratio_less_one(log_ratio) + ratio_less_one(-log_ratio)


def worst_case_rewards(scores: Tensor, reference_scores: Tensor, log_ratio: Tensor, correlation: float) -> Tensor:
    """The reward, of those that have the correlation r with the proxy under π_ref, that pays π least, over r.

    Liu, Sun and Zheng (arXiv 2604.12086), eqn. 9. With the proxy R in standard units of π_ref and w = π/π_ref − 1, the
    rewards of mean 0 and variance 1 whose correlation with R is r are r·R + √(1 − r²)·u, u of mean 0 and variance 1
    and uncorrelated with R. The u that pays π least points against w − E_π[R]·R. Its mean under π is
    r·E_π[R] − √(1 − r²)·√(χ² − E_π[R]²).

    Args:
        scores: [B], the proxy of samples from π.
        reference_scores: [N], the proxy of samples from π_ref.
        log_ratio: [B], log π − log π_ref of the samples from π.
        correlation: r, in (0, 1].

    Returns:
        [B].
    """
    spread = reference_scores.double().std(correction=0)
    unit = torch.where(spread > 0, spread, torch.ones_like(spread))
    proxy = standardize(scores.double(), reference_scores.double().mean(), unit, eps=0.0)
    ratio, mean = ratio_less_one(log_ratio.double()), proxy.mean()
    chi2 = chi2_costs(log_ratio.double()).mean()
    left = chi2 - mean**2  # at least 0 in expectation, not in every batch
    root = torch.where(left > 0, left, chi2).clamp(min=FLOOR).sqrt()
    weight = math.sqrt(1.0 - correlation**2) / correlation
    return (proxy - weight * (ratio - mean * proxy) / root).to(scores.dtype)
