"""What a token is worth, by the samples of it (G12).

A critic values a token at one place. Here no critic is asked: a token that pays disproportionately well does so
wherever it is drawn, and all texts that have it together say so with less noise than any one of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

KEPT = 0.8  # what a text counts one rollout later: it counts five times in all
ERRORS = 2.0  # standard errors by which a token has to be better
FORGOTTEN = 1e-3  # a weight that no longer says anything


class Evidence(NamedTuple):
    """What texts say of the tokens that they have: a row a token, in ascending order; [U].

    Attributes:
        ids: int64.
        total: float64, Σ (1 − π)·A over the texts that have it, A in standard deviations.
        weight: float64, Σ (1 − π)² over these.
        judged: float64, Σ (1 − π)·J over these, J what a judge says of the text, in standard deviations; 0 without one.
    """

    ids: Tensor
    total: Tensor
    weight: Tensor
    judged: Tensor

    def worth(self) -> Tensor:
        """Δ by ridge regression: the ridge is one text more, in which the token is no better than others; [U]."""
        return self.total / (1.0 + self.weight)

    def at_least(self, ids: Tensor) -> Tensor:
        """Δ less two standard errors, 1 / √(1 + Σ (1 − π)²) each, and no less than 0.

        Args:
            ids: int64, any shape.

        Returns:
            float64, the shape of ``ids``, in standard deviations; 0 for a token of which nothing is known.
        """
        return self._bound(self.total, ids)

    def judged_better(self, ids: Tensor) -> Tensor:
        """Whether the judge too finds a token better than the others, by more than two standard errors.

        Args:
            ids: int64, any shape.

        Returns:
            bool, the shape of ``ids``.
        """
        return self._bound(self.judged, ids) > 0

    def _bound(self, total: Tensor, ids: Tensor) -> Tensor:
        """What sums over texts say of some tokens at least."""
        if not len(self.ids):
            return torch.zeros(ids.shape, dtype=torch.float64, device=ids.device)
        more = 1.0 + self.weight
        bound = (total / more - ERRORS / more.sqrt()).clamp(min=0.0)
        place = torch.searchsorted(self.ids, ids).clamp(max=len(self.ids) - 1)
        return torch.where(self.ids[place] == ids, bound[place], 0.0)


def evidence(advantages: Tensor, logprobs: Tensor, ids: Tensor, mask: Tensor, judged: Tensor | None = None) -> Evidence:
    """What one batch says of the tokens that were drawn.

    By G12 the advantage of a token v of probability π is (1 − π)·Δ(v), Δ being how much better v is than the other
    tokens at its place. So each text with v is an equation A = (1 − π)·Δ(v) + noise. Where the policy was sure of v,
    that says nothing of it. A text counts once, with its means, however often it has v: its tokens share one reward,
    and are no evidence beside each other.

    Args:
        advantages: [B, T], A(x_t), in standard deviations.
        logprobs: [B, T], log π(x_t).
        ids: int64 [B, T], x_t.
        mask: bool [B, T], with one True at least.
        judged: [B], what a judge says of each text, in standard deviations; None without one.

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
    tokens, place = torch.unique(pairs[0], return_inverse=True)
    said = torch.zeros_like(own) if judged is None else judged.double()[pairs[1]]
    return Evidence(tokens, *_sums(torch.stack([others * own, others**2, others * said]), place, len(tokens)))


def _none_known() -> Evidence:
    numbers = torch.zeros(0, dtype=torch.float64)
    return Evidence(numbers.long(), numbers, numbers, numbers)


@dataclass
class TokenMemory:
    """What the rollouts of a run have said of tokens, the last ones most.

    Attributes:
        known: All of it; on the CPU before the first rollout.
    """

    known: Evidence = field(default_factory=_none_known)

    def add(self, batch: Evidence) -> Evidence:
        """Let what was known fade by a fifth, and add what a batch says.

        Args:
            batch: Of the newest rollout.

        Returns:
            What is known now.
        """
        old = Evidence(*(x.to(batch.ids.device) for x in self.known))
        tokens, place = torch.unique(torch.cat([old.ids, batch.ids]), return_inverse=True)
        said = torch.cat([KEPT * torch.stack(old[1:]), torch.stack(batch[1:])], dim=1)
        known = Evidence(tokens, *_sums(said, place, len(tokens)))
        self.known = Evidence(*(x[known.weight > FORGOTTEN] for x in known))
        return self.known

    def plain(self) -> dict[str, Any]:
        """What a checkpoint holds of it, JSON-serialisable."""
        return {name: x.tolist() for name, x in self.known._asdict().items()}

    def restore(self, plain: Mapping[str, Any]) -> None:
        """Undo :meth:`plain`."""
        like, none = _none_known()._asdict(), [0.0] * len(plain["ids"])  # of a judge that was not asked
        known = {name: torch.tensor(plain.get(name, none), dtype=x.dtype) for name, x in like.items()}
        self.known = Evidence(**known)


def _sums(x: Tensor, place: Tensor, size: int) -> Tensor:
    """Sums of the columns of ``x`` [k, N] that have one place each; [k, size]."""
    return x.new_zeros(len(x), size).index_add_(1, place, x)
