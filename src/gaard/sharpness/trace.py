"""The trace of a symmetric map by Hutch++ (Meyer, Musco, Musco and Woodruff, 2021)."""

import torch
from torch import Tensor

from gaard.errors import ConfigError
from gaard.sharpness.estimates import Estimate, mean_of
from gaard.sharpness.products import Product


def trace(product: Product, like: Tensor, products: int, generator: torch.Generator) -> Estimate:
    """The sum of all eigenvalues.

    A third of the products finds a subspace Q that holds most of the map, a third its trace there, exactly; the rest
    are random signs g, projected away from Q, whose g·H g has the remaining trace as its mean (Hutchinson, 1989).

    Args:
        product: v ↦ H v.
        like: [N], of the dtype and on the device of the vectors.
        products: With H, at least 6; N or more of a third would find all of it.
        generator: On the CPU.

    Returns:
        The trace; its error is that of the random part.

    Raises:
        ConfigError: For too few products.
    """
    third = min(products // 3, like.numel())
    if third < 2:
        raise ConfigError(f"products={products} must be at least 6, for two vectors a third: choose more")
    sketch = torch.stack([product(random_signs(like, generator)) for _ in range(third)], dim=1)
    basis, _ = torch.linalg.qr(sketch)
    known = sum(float(q @ product(q.contiguous())) for q in basis.T)
    draws = []
    for _ in range(third):
        g = random_signs(like, generator)
        rest = g - basis @ (basis.T @ g)
        draws.append(float(rest @ product(rest)))
    return mean_of(draws, known)


def random_signs(like: Tensor, generator: torch.Generator) -> Tensor:
    """A vector of +1 and −1, [N], drawn on the CPU."""
    return (torch.randint(0, 2, like.shape, generator=generator) * 2 - 1).to(like)
