"""How far a reward's last layer can change before an advantage changes its sign, and the worst advantage that near.

Ono, Ackermann, Nishimori, Ishida and Sugiyama (arXiv 2604.02986). A reward is w·h + b, h the features of a text. Its
advantage is the reward less its group's mean, w·(h − h̄).
"""

import torch
from torch import Tensor


def group_distances(features: Tensor, groups: Tensor) -> Tensor:
    """‖h − h̄‖, how far each text's features lie from the mean of its group; 0 exactly where all are the same.

    Summed in float64: else the mean of equal rows is not quite that row.

    Args:
        features: [B, D].
        groups: int64 [B], the group of each, numbered from 0.

    Returns:
        [B].
    """
    count = int(groups.max()) + 1
    exact = features.double()
    sums = exact.new_zeros(count, features.shape[1]).index_add_(0, groups, exact)
    means = sums / groups.bincount(minlength=count)[:, None]
    return torch.linalg.vector_norm(exact - means[groups], dim=1).to(features.dtype)


def sign_radii(advantages: Tensor, distances: Tensor) -> Tensor:
    """Δ = |A| / ‖h − h̄‖ (theorem 3.1): the smallest change of w, in length, that turns A's sign.

    Args:
        advantages: [B].
        distances: [B], of :func:`group_distances`.

    Returns:
        [B]; infinite where the features are those of the whole group, which no w tells apart.
    """
    return torch.where(distances > 0, advantages.abs() / distances, torch.inf)


def worst_case_advantages(advantages: Tensor, distances: Tensor, quantile: float) -> Tensor:
    """(1 − ε/Δ)·A = A − ε·‖h − h̄‖·sign A (theorem 3.2): the least sure value of A where w changes by up to ε.

    Past its radius an advantage has the other sign.

    Args:
        advantages: [B], of the whole batch.
        distances: [B], of :func:`group_distances`.
        quantile: ε is this quantile of the batch's radii; 0 takes the smallest.

    Returns:
        [B].
    """
    radii = sign_radii(advantages, distances)
    radii = radii[radii.isfinite()]
    if not len(radii):
        return advantages
    reach = torch.quantile(radii.double(), quantile).to(advantages.dtype)
    return advantages - reach * distances * advantages.sign()
