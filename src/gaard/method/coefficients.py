"""The weights a and b of the two gradients (G7, G8), and what they are computed from (G6, G11)."""

import torch
from torch import Tensor

from gaard.method.choices import Granularity
from gaard.method.masking import masked_mean

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
        sigma_scale: Multiplier of σ; Johnson's σ/2 is 0.5.

    Returns:
        ``(a, b)`` of the broadcast shape, 0 ≤ a ≤ 2 and −1 ≤ b ≤ 0.
    """
    confidence = (torch.as_tensor(eta) * eta_scale).nan_to_num(nan=0.0).clamp(0.0, 1.0)
    gap = (torch.as_tensor(sigma) * sigma_scale).nan_to_num(nan=0.0).clamp(0.0, 1.0)
    linear = (1.0 - confidence) * gap
    decayed = confidence * (1.0 - (1.0 - gap) ** DECAY_POWER)
    return 1.0 + linear - decayed, 0.0 - linear - decayed  # 0 − 0 is +0, where −0 would be PPO's b but for the sign


def ppo_coefficients(eta: Tensor | float, sigma: Tensor | float) -> tuple[Tensor, Tensor]:
    """PPO as a choice of coefficients: a = 1, b = 0 everywhere.

    Args:
        eta: Any shape.
        sigma: Broadcastable to ``eta``.

    Returns:
        ``(1, 0)`` of the broadcast shape.
    """
    eta, sigma = torch.as_tensor(eta), torch.as_tensor(sigma)
    shape, dtype = torch.broadcast_shapes(eta.shape, sigma.shape), torch.result_type(eta, sigma)
    a = torch.ones(shape, dtype=dtype, device=eta.device)
    return a, torch.zeros_like(a)


def at_granularity(x: Tensor, mask: Tensor, granularity: Granularity) -> Tensor:
    """η or σ as the coefficients see them: each token's own, or the minibatch's mean at every token.

    Args:
        x: [B, T].
        mask: bool [B, T].
        granularity: ``token`` (Johnson's text) or ``minibatch`` (his code).

    Returns:
        [B, T].
    """
    return x if granularity == "token" else masked_mean(x, mask).expand_as(x)
