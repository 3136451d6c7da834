"""What is read off the next-token distribution: log-probabilities, entropy (G10), exact KL, samples.

Every function takes finite logits that already carry the one temperature of the run.
"""

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
