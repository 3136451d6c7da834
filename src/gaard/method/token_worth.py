"""What a token is worth, by the batch's own samples of it (G12).

A critic values a token at one place. Here no critic is asked: a token that pays disproportionately well does so
wherever it is drawn, and all texts that have it together say so with less noise than any one of them.
"""

from typing import NamedTuple

import torch
from torch import Tensor

LEAST_TEXTS = 2  # one text alone does not tell a token of it from another


class TokenWorth(NamedTuple):
    """A row a distinct token that was drawn, in ascending order; [U].

    Attributes:
        ids: int64.
        worth: float64, Δ, in units of the advantages.
        weight: float64, n = 1 + Σ (1 − π)² over the texts that have the token: Δ has the error spread / √n.
        texts: int64, how many have it.
    """

    ids: Tensor
    worth: Tensor
    weight: Tensor
    texts: Tensor

    def at_least(self, ids: Tensor, spread: Tensor) -> Tensor:
        """Δ less its error, and no less than 0.

        Args:
            ids: int64, any shape.
            spread: Scalar, the standard deviation of the advantages.

        Returns:
            float64, the shape of ``ids``; 0 for a token that fewer than two texts have.
        """
        place = torch.searchsorted(self.ids, ids).clamp(max=len(self.ids) - 1)
        known = (self.ids[place] == ids) & (self.texts[place] >= LEAST_TEXTS)
        bound = self.worth[place] - spread.double() / self.weight[place].sqrt()
        return torch.where(known, bound.clamp(min=0.0), 0.0)


def token_worth(advantages: Tensor, logprobs: Tensor, ids: Tensor, mask: Tensor) -> TokenWorth:
    """By how much a token is better than the others at its place, by ridge regression over the texts that have it.

    By G12 the advantage of a token v of probability π is (1 − π)·Δ(v). So each text with v is an equation
    A = (1 − π)·Δ(v) + noise. The ridge is one text more, in which v is no better than others: Δ = Σ (1 − π)·A / (1 +
    Σ (1 − π)²). Where the policy was sure of v, that says nothing of it. A text counts once, with its means, however
    often it has v: its tokens share one reward, and are no evidence beside each other.

    Args:
        advantages: [B, T], A(x_t).
        logprobs: [B, T], log π(x_t).
        ids: int64 [B, T], x_t.
        mask: bool [B, T], with one True at least.

    Returns:
        A row a distinct token.
    """
    rows = torch.arange(len(ids), device=ids.device)[:, None].expand_as(ids)
    pairs, place, counts = torch.unique(
        torch.stack([ids[mask], rows[mask]]), dim=1, return_inverse=True, return_counts=True
    )
    # In float64, so that the order in which an accelerator adds does not show.
    seen = torch.stack([-torch.expm1(logprobs[mask].double()), advantages[mask].double()])
    others, own = _sums(seen, place, len(counts)) / counts
    tokens, place, texts = torch.unique(pairs[0], return_inverse=True, return_counts=True)
    total, weight = _sums(torch.stack([others * own, others**2]), place, len(tokens))
    return TokenWorth(tokens, total / (1.0 + weight), 1.0 + weight, texts)


def _sums(x: Tensor, place: Tensor, size: int) -> Tensor:
    """Sums of the columns of ``x`` [k, N] that have one place each; [k, size]."""
    return x.new_zeros(len(x), size).index_add_(1, place, x)
