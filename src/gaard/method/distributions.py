"""What is read off the next-token distribution: log-probabilities, entropy (G10), exact KL, samples.

Every function takes finite logits that already carry the one temperature of the run.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor


def log_softmax(logits: Tensor) -> Tensor:
    """Log-probabilities in at least float32, whatever the logits' dtype.

    Args:
        logits: [..., V].

    Returns:
        [..., V].
    """
    return torch.log_softmax(logits.to(torch.promote_types(logits.dtype, torch.float32)), dim=-1)


def selected(logprobs: Tensor, tokens: Tensor) -> Tensor:
    """The log-probability of one token a position.

    Args:
        logprobs: [..., V].
        tokens: int64 [...].

    Returns:
        [...].
    """
    return logprobs.gather(-1, tokens.unsqueeze(-1)).squeeze(-1)


def entropy(logprobs: Tensor) -> Tensor:
    """Implements G10: −Σ π log π.

    Args:
        logprobs: [..., V].

    Returns:
        Nats, [...].
    """
    return -(logprobs.exp() * logprobs).sum(-1)


def exact_kl(logprobs: Tensor, ref_logprobs: Tensor) -> Tensor:
    """KL(π‖π_ref) = Σ π (log π − log π_ref) over the whole vocabulary.

    Args:
        logprobs: [..., V], of π.
        ref_logprobs: [..., V], of π_ref.

    Returns:
        Nats, [...].
    """
    return (logprobs.exp() * (logprobs - ref_logprobs)).sum(-1)


class TokenFigures(NamedTuple):
    """What one position's distribution says; each [N].

    Attributes:
        logprobs: Of the sampled token.
        greedy_logprobs: Of the greedy token.
        entropy: Nats (G10); zeros if not asked for.
        kl: Exact KL to the reference, nats; zeros without one.
    """

    logprobs: Tensor
    greedy_logprobs: Tensor
    entropy: Tensor
    kl: Tensor


def token_figures(
    logits: Tensor, tokens: Tensor, greedy_ids: Tensor, ref_logits: Tensor | None = None, with_entropy: bool = False
) -> TokenFigures:
    """Log-probabilities of two tokens, entropy and exact KL, with a gradient to the logits in closed form.

    Equal to :func:`selected`, :func:`entropy` and :func:`exact_kl` of :func:`log_softmax`. Their gradients together
    are p ⊙ (c + g_KL log(p/q) − g_H log p) plus two numbers a row: three passes over the vocabulary, where a graph of
    the single operations makes a dozen, and keeps more.

    Args:
        logits: [N, V], carrying the run's temperature.
        tokens: int64 [N].
        greedy_ids: int64 [N].
        ref_logits: [N, V] of the reference, a constant; None for no KL.
        with_entropy: Whether the entropy is wanted.

    Returns:
        The figures, in at least float32.
    """
    return TokenFigures(*_TokenFigures.apply(logits, tokens, greedy_ids, ref_logits, with_entropy))


class _TokenFigures(torch.autograd.Function):
    """The closed form behind :func:`token_figures`."""

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, tokens: Tensor, greedy_ids: Tensor, ref_logits: Tensor | None, with_entropy: bool
    ) -> tuple[Tensor, ...]:
        logprobs = log_softmax(logits)
        zeros = torch.zeros_like(logprobs[:, 0])
        log_ratio = None if ref_logits is None else log_softmax(ref_logits).neg_().add_(logprobs)
        probs = logprobs.exp() if with_entropy or log_ratio is not None else None
        spread = -_row_dots(probs, logprobs) if with_entropy else zeros
        kl = zeros if log_ratio is None else _row_dots(probs, log_ratio)
        ctx.save_for_backward(logprobs, log_ratio, tokens, greedy_ids, spread, kl)
        ctx.with_entropy, ctx.dtype = with_entropy, logits.dtype
        return selected(logprobs, tokens), selected(logprobs, greedy_ids), spread, kl

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        token, greedy, of_entropy, of_kl = (gradient[:, None] for gradient in gradients)
        logprobs, log_ratio, tokens, greedy_ids, spread, kl = ctx.saved_tensors
        out = -(token + greedy)
        if log_ratio is not None:
            out = (log_ratio - kl[:, None]).mul_(of_kl).add_(out)
        if ctx.with_entropy:
            out = out - of_entropy * (logprobs + spread[:, None])
        out = logprobs.exp().mul_(out)
        out.scatter_add_(1, tokens[:, None], token)
        out.scatter_add_(1, greedy_ids[:, None], greedy)
        return out.to(ctx.dtype), None, None, None, None


def _row_dots(x: Tensor | None, y: Tensor) -> Tensor:
    """Σ x y of each row of [N, V], with no product kept."""
    assert x is not None
    with torch.autocast(y.device.type, enabled=False):  # which would make the product in bfloat16
        return torch.bmm(x[:, None], y[:, :, None]).flatten()


def sample(logprobs: Tensor, uniforms: Tensor) -> Tensor:
    """Draw one token a row by inverting the cumulative distribution at a given uniform number.

    One number a token, drawn by the caller, makes a rollout a function of (weights, prompts, numbers): but for
    rounding it does not change with how rows are spread over processes, or with what else is computed beside it.

    Args:
        logprobs: [B, V].
        uniforms: float64 [B], in [0, 1), on the device of ``logprobs``.

    Returns:
        int64 [B]; never a token of probability zero.
    """
    # Summed in float64: over 50,000 tokens float32 loses the tail.
    cumulative = logprobs.exp().cumsum(-1, dtype=torch.float64)
    total = cumulative[:, -1:]
    target = torch.minimum(uniforms[:, None] * total, torch.nextafter(total, torch.zeros_like(total)))
    return torch.searchsorted(cumulative, target, right=True).squeeze(-1)
