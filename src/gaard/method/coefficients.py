"""The weights a and b of the two gradients (G7, G8), and what they are computed from (G6, G11)."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from gaard.method.masking import masked_mean

Coefficients = Callable[..., tuple[Tensor, Tensor]]
Granularity = Literal["token", "minibatch"]

DECAY_POWER = 10  # the exponent of G7 and G8


def gaa_coefficients(
    eta: Tensor | float, sigma: Tensor | float, *, eta_scale: float = 1.0, sigma_scale: float = 0.5
) -> tuple[Tensor, Tensor]:
    """Implements G7 and G8 with the scales of G11.

    Both scaled inputs are clamped to [0, 1], always: outside it (1 − σ/2)^10 explodes. A gap that is not a number
    (a batch without any advantage) counts as none. Written as deviations from (1, 0), so that σ = 0 gives exactly
    that, whatever η: gaa without a gap is PPO to the last bit.

    Args:
        eta: η = π(x*), any shape, in [0, 1].
        sigma: σ, the gap in standard deviations, broadcastable to ``eta``.
        eta_scale: Multiplier of η.
        sigma_scale: Multiplier of σ; the seed's σ/2 is 0.5.

    Returns:
        ``(a, b)`` of the broadcast shape, 0 ≤ a ≤ 2 and −1 ≤ b ≤ 0.
    """
    confidence = (torch.as_tensor(eta) * eta_scale).nan_to_num(nan=0.0).clamp(0.0, 1.0)
    gap = (torch.as_tensor(sigma) * sigma_scale).nan_to_num(nan=0.0).clamp(0.0, 1.0)
    linear = (1.0 - confidence) * gap
    decayed = confidence * (1.0 - (1.0 - gap) ** DECAY_POWER)
    return 1.0 + linear - decayed, 0.0 - linear - decayed  # 0 − 0 is +0, where −0 would be PPO's b but for the sign


def only_a(eta: Tensor | float, sigma: Tensor | float, **scales: float) -> tuple[Tensor, Tensor]:
    """The a of G7 without the b of G8: the sampled token's step is scaled, the greedy token is left alone.

    Args:
        eta: As for :func:`gaa_coefficients`.
        sigma: Likewise.
        **scales: Likewise.

    Returns:
        ``(a, 0)``.
    """
    a, b = gaa_coefficients(eta, sigma, **scales)
    return a, torch.zeros_like(b)


def only_b(eta: Tensor | float, sigma: Tensor | float, **scales: float) -> tuple[Tensor, Tensor]:
    """The b of G8 without the a of G7: PPO's own step, and the greedy token pushed down.

    Args:
        eta: As for :func:`gaa_coefficients`.
        sigma: Likewise.
        **scales: Likewise.

    Returns:
        ``(1, b)``.
    """
    a, b = gaa_coefficients(eta, sigma, **scales)
    return torch.ones_like(a), b


def constant_coefficients(
    eta: Tensor | float, sigma: Tensor | float, *, constant_a: float = 1.0, constant_b: float = 0.0
) -> tuple[Tensor, Tensor]:
    """The same a and b everywhere.

    Args:
        eta: Any shape.
        sigma: Broadcastable to ``eta``.
        constant_a: The a.
        constant_b: The b.

    Returns:
        Both, of the broadcast shape.
    """
    eta, sigma = torch.as_tensor(eta), torch.as_tensor(sigma)
    shape, dtype = torch.broadcast_shapes(eta.shape, sigma.shape), torch.result_type(eta, sigma)
    a = torch.full(shape, constant_a, dtype=dtype, device=eta.device)
    return a, torch.full_like(a, constant_b)


def ppo_coefficients(
    eta: Tensor | float, sigma: Tensor | float, *, eta_scale: float = 1.0, sigma_scale: float = 0.5
) -> tuple[Tensor, Tensor]:
    """PPO as a choice of coefficients: a = 1, b = 0 everywhere.

    Args:
        eta: Any shape.
        sigma: Broadcastable to ``eta``.
        eta_scale: Accepted for the common signature; PPO looks at neither.
        sigma_scale: Likewise.

    Returns:
        ``(1, 0)`` of the broadcast shape.
    """
    return constant_coefficients(eta, sigma)


def at_granularity(x: Tensor, mask: Tensor, granularity: Granularity) -> Tensor:
    """η or σ as the coefficients see them: each token's own, or the minibatch's mean at every token.

    Args:
        x: [B, T].
        mask: bool [B, T].
        granularity: ``token`` (the seed's text) or ``minibatch`` (the author's code).

    Returns:
        [B, T].
    """
    return x if granularity == "token" else masked_mean(x, mask).expand_as(x)
