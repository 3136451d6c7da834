"""How the eigenvalues of a symmetric map are spread, by stochastic Lanczos quadrature.

Ubaru, Chen and Saad (2017); for networks Ghorbani, Krishnan and Xiao (2019).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.linalg import eigh_tridiagonal
from torch import Tensor

from gaard.sharpness.estimates import Estimate, mean_of
from gaard.sharpness.products import Product


@dataclass(frozen=True)
class Spectrum:
    """What each random vector saw of the eigenvalues: nodes and their weights, which sum to 1.

    Attributes:
        nodes: One array [m] a probe, ascending.
        weights: The same shapes.
    """

    nodes: tuple[np.ndarray, ...]
    weights: tuple[np.ndarray, ...]

    def share(self, low: float, high: float) -> Estimate:
        """The share of all eigenvalues in [low, high)."""
        pairs = zip(self.nodes, self.weights, strict=True)
        return mean_of([float(weight[(low <= node) & (node < high)].sum()) for node, weight in pairs])

    def density(self, at: Sequence[float], width: float) -> np.ndarray:
        """The density smoothed by a Gaussian.

        Args:
            at: Where.
            width: Standard deviation of the Gaussian, in the units of the eigenvalues.

        Returns:
            float64, one number a place; over the whole line it integrates to 1.
        """
        nodes, weights = np.concatenate(self.nodes), np.concatenate(self.weights) / len(self.nodes)
        distance = (np.asarray(at)[:, None] - nodes) / width
        return np.exp(-0.5 * distance**2) @ weights / (width * np.sqrt(2 * np.pi))


def spectrum(product: Product, like: Tensor, probes: int, steps: int, generator: torch.Generator) -> Spectrum:
    """Quadrature of the spectrum from random vectors.

    Args:
        product: v ↦ H v.
        like: [N], of the dtype and on the device of the vectors.
        probes: Random vectors.
        steps: m, products for each. That many vectors of N numbers are held at once.
        generator: On the CPU.

    Returns:
        Nodes and weights; fewer than m where a vector's Krylov space ends before.
    """
    seen = []
    for _ in range(probes):
        start = torch.randn(like.shape, generator=generator, dtype=torch.float64).to(like)
        diagonal, beside = lanczos(product, start, steps)
        nodes, vectors = eigh_tridiagonal(diagonal, beside)
        seen.append((nodes, vectors[0] ** 2))
    nodes_seen, weights_seen = zip(*seen, strict=True)
    return Spectrum(nodes_seen, weights_seen)


def lanczos(product: Product, start: Tensor, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """The tridiagonal matrix of a symmetric map on the Krylov space of a vector, with full reorthogonalisation.

    Args:
        product: v ↦ H v.
        start: [N], not zero.
        steps: m.

    Returns:
        Diagonal, float64 [m], and what stands beside it, [m − 1]; m is smaller where the space ends.
    """
    count = min(steps, start.numel())
    basis = start.new_empty(count, start.numel())
    basis[0] = start / start.norm()
    diagonal: list[float] = []
    beside: list[float] = []
    scale = 0.0
    for k in range(count):
        following = product(basis[k]).clone()
        diagonal.append(float(following @ basis[k]))
        for _ in range(2):  # twice is enough (Parlett, 1980)
            following -= (basis[: k + 1] @ following) @ basis[: k + 1]
        length = float(following.norm())
        scale = max(scale, abs(diagonal[-1]), length)
        if k + 1 == count or length <= 10 * torch.finfo(start.dtype).eps * scale:
            break
        beside.append(length)
        basis[k + 1] = following / length
    return np.array(diagonal), np.array(beside)
