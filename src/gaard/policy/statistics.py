"""What a learning forward says of each completion token."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class TokenStatistics:
    """What one learning forward says of each completion token; each [B, T], zero where the mask is False.

    Attributes:
        logprobs: log π_θ(x_t | x_<t).
        greedy_logprobs: log π_θ(x*_t | x_<t).
        values: V(x_<t).
        entropy: Nats (G10); zeros if not asked for.
        kl: Exact KL(π_θ‖π_ref), nats; zeros if no reference was given.
    """

    logprobs: Tensor
    greedy_logprobs: Tensor
    values: Tensor
    entropy: Tensor
    kl: Tensor


def scatter(rows: Tensor, mask: Tensor) -> Tensor:
    """Put numbers back at the valid places of a batch.

    Args:
        rows: [N], in the order of the N valid places.
        mask: bool [B, T].

    Returns:
        [B, T], zero elsewhere.
    """
    return torch.zeros(mask.shape, dtype=rows.dtype, device=rows.device).masked_scatter(mask, rows)
