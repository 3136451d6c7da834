"""What a next-token distribution says, each by its definition over the whole vocabulary.

What gaard computes in blocks and in one pass is held to these, and these to plain loops (unit/test_distributions.py).
"""

import torch
from torch import Tensor


def log_softmax(logits: Tensor) -> Tensor:
    return torch.log_softmax(logits, dim=-1)


def selected(logprobs: Tensor, tokens: Tensor) -> Tensor:
    return logprobs.gather(-1, tokens.unsqueeze(-1)).squeeze(-1)


def entropy(logprobs: Tensor) -> Tensor:
    return -(logprobs.exp() * logprobs).sum(-1)


def exact_kl(logprobs: Tensor, ref_logprobs: Tensor) -> Tensor:
    return (logprobs.exp() * (logprobs - ref_logprobs)).sum(-1)
