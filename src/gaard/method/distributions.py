"""What is drawn from a next-token distribution, and what else it says of that position, in one pass over its logits.

Every function takes finite numbers that already carry the one temperature of the run.
"""

from typing import NamedTuple

import torch
from torch import Tensor

BLOCK = 256  # tokens whose weights are summed before the blocks are


class Draw(NamedTuple):
    """A token of each row's distribution, and what the distribution says; each [B], in the dtype of the logits.

    Attributes:
        tokens: int64, x (G1).
        logprobs: log π(x).
        greedy_tokens: int64, x* (G4), or what was drawn in its place.
        greedy_logprobs: log π(x*).
        entropy: −Σ π log π, nats (G10).
    """

    tokens: Tensor
    logprobs: Tensor
    greedy_tokens: Tensor
    greedy_logprobs: Tensor
    entropy: Tensor


def draw(logits: Tensor, uniforms: Tensor, second_uniforms: Tensor | None = None) -> Draw:
    """Draw a token of each row.

    Args:
        logits: [B, V], at least float32.
        uniforms: float64 [B], in [0, 1).
        second_uniforms: Further such numbers, for a second draw that takes the place of the greedy token.

    Returns:
        The tokens and what was seen.
    """
    largest, greedy = logits.max(-1)
    below = logits - largest[:, None]
    weights = below.exp()
    total = weights.sum(-1)
    tokens, log_total = sample(weights, uniforms), total.log()
    if second_uniforms is not None:
        greedy = sample(weights, second_uniforms)
    logprobs, greedy_logprobs = (below.gather(-1, x[:, None]).squeeze(-1) - log_total for x in (tokens, greedy))
    entropy = log_total - (weights * below).sum(-1) / total
    return Draw(tokens, logprobs, greedy, greedy_logprobs, entropy)


def sample(weights: Tensor, uniforms: Tensor) -> Tensor:
    """Draw one token a row by inverting the cumulative distribution at a given uniform number.

    One number a token, drawn by the caller, makes a rollout a function of (weights, prompts, numbers): but for
    rounding it does not change with how rows are spread over processes, or with what else is computed beside it.

    Args:
        weights: Probabilities times any number of the row's own, [B, V].
        uniforms: float64 [B], in [0, 1), on the device of ``weights``.

    Returns:
        int64 [B]; never a token of weight zero.
    """
    # First the block, then the token in it. Summed in float64: over 50,000 tokens float32 loses the tail.
    parts = torch.nn.functional.pad(weights, (0, -weights.shape[1] % BLOCK)).unflatten(1, (-1, BLOCK))
    blocks, inside = _invert(parts.sum(-1, dtype=torch.float64), uniforms)
    within = parts[torch.arange(len(parts), device=parts.device), blocks]
    return (blocks * BLOCK + _invert(within, inside)[0]).clamp(max=weights.shape[1] - 1)


def _invert(weights: Tensor, uniforms: Tensor) -> tuple[Tensor, Tensor]:
    """For each row the first place where the running sum exceeds the number's share, and the number's place in it."""
    cumulative = weights.cumsum(-1, dtype=torch.float64)
    total = cumulative[:, -1:]
    target = torch.minimum(uniforms[:, None] * total, torch.nextafter(total, torch.zeros_like(total)))
    # Of weights that are not numbers there is no such place; the trainer tells of them, an index beyond the row cannot.
    place = torch.searchsorted(cumulative, target, right=True).clamp(max=weights.shape[-1] - 1)
    own = weights.gather(-1, place)
    share = (target - (cumulative.gather(-1, place) - own)) / own
    return place.squeeze(-1), share.clamp(0, 1).squeeze(-1)
