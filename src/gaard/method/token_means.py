"""What the batch's own samples say of a token: the mean advantage of the places where it was drawn.

A critic values a token at one place. Here no critic is asked: a token that pays disproportionately well does so
wherever it was drawn, and the mean over those places says so with less noise than any one of them.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class TokenMeans(NamedTuple):
    """Means over the places of each token that was drawn; [U], one a distinct token, in ascending order.

    Attributes:
        ids: int64.
        means: float64.
        counts: int64, places.
    """

    ids: Tensor
    means: Tensor
    counts: Tensor

    def of(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """What is known of some tokens.

        Args:
            ids: int64, any shape.

        Returns:
            ``(means, counts)`` of the shape of ``ids``; 0 and 0 for a token that was not drawn.
        """
        place = torch.searchsorted(self.ids, ids).clamp(max=len(self.ids) - 1)
        known = self.ids[place] == ids
        return torch.where(known, self.means[place], 0.0), torch.where(known, self.counts[place], 0)


def token_means(x: Tensor, ids: Tensor, mask: Tensor) -> TokenMeans:
    """The mean of a number over all places of the batch that hold the same token.

    Args:
        x: [B, T].
        ids: int64 [B, T], the tokens that were drawn.
        mask: bool [B, T], with one True at least.

    Returns:
        A row a distinct token.
    """
    tokens, place, counts = torch.unique(ids[mask], return_inverse=True, return_counts=True)
    # Summed in float64, so that the order of an accelerator's additions does not show.
    sums = torch.zeros(len(tokens), dtype=torch.float64, device=x.device).index_add_(0, place, x[mask].double())
    return TokenMeans(tokens, sums / counts, counts)


def lower_bound(means: Tensor, counts: Tensor) -> Tensor:
    """A mean of ``counts`` numbers of spread 1, less its standard error: what it is worth at least, more or less.

    The error is 1/√(n − 1), so that one place alone says nothing.

    Args:
        means: In standard deviations, any shape.
        counts: int64, the same shape.

    Returns:
        The same shape; 0 where nothing above 0 is known.
    """
    error = (counts - 1).clamp(min=0).to(means.dtype).rsqrt()  # infinite for one place or none
    return (means - error).clamp(min=0.0)
