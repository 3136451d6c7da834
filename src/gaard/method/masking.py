"""Reductions over the valid tokens of a padded batch.

A ``*_mask`` is True where a token is valid. What stands in a padded place, NaN included, never reaches a number
that these functions return. Gradients are another matter: 0 · NaN is NaN, so padded places of what is differentiated
must be finite.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def masked_sum(x: Tensor, mask: Tensor) -> Tensor:
    """Sum of ``x`` over the places where ``mask`` is True.

    Args:
        x: Any shape, floating point.
        mask: bool, the shape of ``x``.

    Returns:
        A scalar of the dtype of ``x``.
    """
    return torch.where(mask, x, torch.zeros_like(x)).sum()


def masked_mean(x: Tensor, mask: Tensor, count: Tensor | int | None = None) -> Tensor:
    """Mean of ``x`` over the valid places; 0 where there are none.

    Args:
        x: Any shape, floating point.
        mask: bool, the shape of ``x``.
        count: Divide by this number instead of the valid places of ``mask``. Parts of a batch that share the count
            of the whole have means that add up to the whole's, so a loss does not depend on how a batch is cut.

    Returns:
        A scalar of the dtype of ``x``.
    """
    count = mask.sum() if count is None else torch.as_tensor(count, device=x.device)
    # Summed in float64: the mean of equal numbers is that number, so that standardising them gives exact zeros.
    return (masked_sum(x.double(), mask) / count.clamp(min=1)).to(x.dtype)


def masked_std(x: Tensor, mask: Tensor) -> Tensor:
    """Population standard deviation of ``x`` over the valid places; 0 for fewer than two.

    Args:
        x: Any shape, floating point.
        mask: bool, the shape of ``x``.

    Returns:
        A scalar of the dtype of ``x``.
    """
    wide = x.double()
    return masked_mean((wide - masked_mean(wide, mask)) ** 2, mask).sqrt().to(x.dtype)


def standardize(x: Tensor, mean: Tensor, std: Tensor, eps: float = 1e-8) -> Tensor:
    """``(x − mean) / (std + eps)``; zeros where all numbers were equal.

    Args:
        x: Any shape.
        mean: Scalar.
        std: Scalar.
        eps: Keeps the quotient finite.

    Returns:
        The shape of ``x``.
    """
    return (x - mean) / (std + eps)


def completion_mask(completion_ids: Tensor, eos_token_ids: Sequence[int]) -> Tensor:
    """True up to and including the first end-of-sequence token of each row.

    Args:
        completion_ids: int64 [B, T], completions alone. Their first token is always valid.
        eos_token_ids: Token ids that end a sequence; may be empty.

    Returns:
        bool [B, T].
    """
    is_eos = torch.isin(completion_ids, torch.tensor(list(eos_token_ids), device=completion_ids.device).long())
    ended_before = is_eos.long().cumsum(-1) - is_eos.long()
    return ended_before == 0


def last_token_mask(mask: Tensor) -> Tensor:
    """True at the last valid token of each row, where the sequence's score belongs (G1).

    Args:
        mask: bool [B, T], valid tokens first.

    Returns:
        bool [B, T] with at most one True a row.
    """
    following = torch.cat([mask[:, 1:], torch.zeros_like(mask[:, :1])], dim=-1)
    return mask & ~following


def position_ids(mask: Tensor) -> Tensor:
    """Position of each token within its own sequence, counted over valid tokens, so left padding shifts nothing.

    Args:
        mask: bool [B, L], True where valid.

    Returns:
        int64 [B, L]; padded places before the first valid token get 0.
    """
    return (mask.long().cumsum(-1) - 1).clamp(min=0)


def distinct_prompts(prompt_ids: Tensor, prompt_mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The prompts of a batch without repetition, so that what is shared is computed once.

    Args:
        prompt_ids: int64 [B, P], left-padded.
        prompt_mask: bool [B, P].

    Returns:
        ``(ids [U, P], mask [U, P], rows [B])``: row i of the batch has prompt ``rows[i]``.
    """
    padding = -1  # no token's id
    distinct, rows = torch.unique(prompt_ids.masked_fill(~prompt_mask, padding), dim=0, return_inverse=True)
    return distinct.clamp(min=0), distinct != padding, rows
