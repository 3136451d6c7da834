"""The largest and smallest eigenvalues of a symmetric map, by Lanczos (ARPACK through SciPy), with their residuals."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor

from gaard.errors import ConfigError
from gaard.sharpness.products import Product

End = Literal["top", "bottom", "both"]
SCALING_PRODUCTS = 3  # power iterations that tell how large the eigenvalues are
# Lanczos vectors: for one eigenvalue Lanczos keeps fewer than SciPy would, since the outermost of networks stand
# apart. For several it keeps so many that they are mostly found before a restart, which costs products.
FEWEST_KEPT, KEPT_FOR_EACH = 12, 5
WHICH: dict[End, str] = {"top": "LA", "bottom": "SA", "both": "BE"}


@dataclass(frozen=True)
class Eigenpairs:
    """Some eigenvalues, from the largest to the smallest.

    Attributes:
        values: float64 [k].
        vectors: [N, k], each of length 1.
        residuals: float64 [k], ‖H v − λ v‖: an eigenvalue of H lies within this of each value (Parlett, 1980).
        products: How many products with H it took.
    """

    values: Tensor
    vectors: Tensor
    residuals: Tensor
    products: int


def eigenpairs(
    product: Product, like: Tensor, count: int = 1, end: End = "top", tolerance: float = 1e-3, seed: int = 0
) -> Eigenpairs:
    """Eigenvalues at an end of the spectrum of a symmetric map.

    Args:
        product: v ↦ H v.
        like: [N], of the dtype and on the device of the vectors; its content does not matter.
        count: k, below N.
        end: ``top``, the largest; ``bottom``, the smallest; ``both``, half of k from each end.
        tolerance: Of the eigenvalues, relative to the largest in size.
        seed: Of the first vector.

    Returns:
        The pairs, with a residual computed afresh for each.

    Raises:
        ConfigError: For a count that the map does not have.
    """
    size = like.numel()
    if not 1 <= count < size:
        raise ConfigError(f"count={count} must be from 1 to {size - 1}, one less than there are parameters: choose so")
    calls = 0

    def multiply(x: np.ndarray) -> np.ndarray:
        nonlocal calls
        calls += 1
        return product(torch.from_numpy(x.reshape(-1).copy()).to(like)).cpu().numpy()

    dtype = torch.empty(0, dtype=torch.promote_types(like.dtype, torch.float32)).numpy().dtype
    start = np.random.default_rng(seed).standard_normal(size).astype(dtype)
    values, vectors = _by_lanczos(multiply, start, count, end, tolerance)
    order = np.argsort(-values)
    values, vectors = values[order], vectors[:, order]
    residuals = [np.linalg.norm(multiply(v) - value * v) for value, v in zip(values, vectors.T, strict=True)]
    return Eigenpairs(
        torch.from_numpy(values.astype(np.float64)),
        torch.from_numpy(np.ascontiguousarray(vectors)).to(like),
        torch.tensor(residuals, dtype=torch.float64),
        calls,
    )


def _by_lanczos(
    multiply: Callable[[np.ndarray], np.ndarray], start: np.ndarray, count: int, end: End, tolerance: float
) -> tuple[np.ndarray, np.ndarray]:
    """ARPACK's eigenvalues [k] and vectors [N, k].

    Its tolerance is relative to each eigenvalue, and one near 0 would never meet it: a shift by about twice the largest
    makes it relative to that. The Krylov space is the same. Lanczos begins where the power iterations that find the
    shift have come to, so that these are no waste; and at random as well, since they lead out of the null space, whose
    eigenvalue may be the one that is asked for.
    """
    size = len(start)
    scale, led = _largest(multiply, start)
    if scale == 0:  # a function without curvature
        return np.zeros(count), np.linalg.qr(np.stack([np.roll(start, i) for i in range(count)], 1))[0]
    shift, kept = 2 * scale, min(size, max(KEPT_FOR_EACH * count, FEWEST_KEPT))
    operator = LinearOperator((size, size), lambda x: multiply(x) + shift * x.reshape(-1), dtype=start.dtype)
    first = led + start / np.linalg.norm(start)
    values, vectors = eigsh(operator, k=count, which=WHICH[end], tol=tolerance, v0=first, ncv=kept)
    return values - shift, vectors


def _largest(multiply: Callable[[np.ndarray], np.ndarray], start: np.ndarray) -> tuple[float, np.ndarray]:
    """About the largest eigenvalue in size, from below, by a few power iterations, and the vector they lead to."""
    vector, length = start / np.linalg.norm(start), 0.0
    for _ in range(SCALING_PRODUCTS):
        found = multiply(vector)
        length = float(np.linalg.norm(found))
        if length == 0:
            return 0.0, start
        vector = found / length
    return length, vector
