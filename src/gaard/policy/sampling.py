"""The rollout: a decoding loop over a key-value cache that keeps all it sees, so that nothing is computed twice."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from transformers import DynamicCache

from gaard.method import distributions
from gaard.method.masking import position_ids
from gaard.policy.model import PolicyWithValue, scatter


@dataclass
class Samples:
    """Completions of a batch of prompts and what was seen at each token; [B, T] unless said otherwise.

    Attributes:
        prompt_ids: int64 [B, P], left-padded.
        prompt_mask: bool [B, P].
        completion_ids: int64; the pad id after the end of a sequence.
        completion_mask: bool, True up to and including the end-of-sequence token.
        logprobs: log π(x_t | x_<t).
        entropy: Nats (G10).
        greedy_ids: int64, x*_t (G4).
        greedy_logprobs: log π(x*_t | x_<t), so that η is its exponential.
        values: V(x_<t) (G2).
        cache: Keys and values of the prompt and of x_1 … x_{T−1}; the last token is never fed.
    """

    prompt_ids: Tensor
    prompt_mask: Tensor
    completion_ids: Tensor
    completion_mask: Tensor
    logprobs: Tensor
    entropy: Tensor
    greedy_ids: Tensor
    greedy_logprobs: Tensor
    values: Tensor
    cache: DynamicCache


@torch.no_grad()
def sample(
    policy: PolicyWithValue,
    prompt_ids: Tensor,
    prompt_mask: Tensor,
    uniforms: Tensor,
    eos_token_ids: Sequence[int],
    pad_token_id: int,
) -> Samples:
    """Sample a completion of each prompt (G1) and observe the greedy token at each position (G4).

    Args:
        policy: The policy, on the device of ``prompt_ids``.
        prompt_ids: int64 [B, P], left-padded.
        prompt_mask: bool [B, P].
        uniforms: float64 [B, T], in [0, 1): the only randomness. T is the longest completion.
        eos_token_ids: Token ids that end a sequence.
        pad_token_id: Written after the end; its content changes no number.

    Returns:
        Samples of length T′ ≤ T, the longest completion drawn.
    """
    prompt_length, horizon = prompt_ids.shape[1], uniforms.shape[1]
    cache = DynamicCache()
    attention = torch.cat([prompt_mask, prompt_mask.new_zeros(len(prompt_ids), horizon)], dim=1)
    hidden = policy.hidden(prompt_ids, prompt_mask.long(), position_ids(prompt_mask), cache)[:, -1]
    next_position = prompt_mask.sum(-1, keepdim=True)
    eos = torch.tensor(list(eos_token_ids), dtype=torch.long, device=prompt_ids.device)
    alive = torch.ones(len(prompt_ids), dtype=torch.bool, device=prompt_ids.device)
    columns: list[tuple[Tensor, ...]] = []
    for t in range(horizon):
        logprobs = policy.token_logprobs(hidden)
        token = torch.where(alive, distributions.sample(logprobs, uniforms[:, t]), pad_token_id)
        greedy_logprobs, greedy = logprobs.max(-1)
        seen = (distributions.selected(logprobs, token), distributions.entropy(logprobs), greedy, greedy_logprobs)
        columns.append((token, alive, *seen, policy.values(hidden)))
        attention[:, prompt_length + t] = alive
        alive = alive & ~torch.isin(token, eos)
        if t == horizon - 1 or not alive.any():
            break
        hidden = policy.hidden(token[:, None], attention[:, : prompt_length + t + 1].long(), next_position, cache)[:, 0]
        next_position = next_position + 1
    ids, mask, logprobs, entropy, greedy, greedy_logprobs, values = (
        torch.stack(column, dim=1) for column in zip(*columns, strict=True)
    )
    return Samples(prompt_ids, prompt_mask, ids, mask, logprobs, entropy, greedy, greedy_logprobs, values, cache)


@torch.no_grad()
def score_completions(policy: PolicyWithValue, samples: Samples) -> tuple[Tensor, Tensor]:
    """Log-probability of each sampled token under another policy, by one forward.

    Args:
        policy: For example the frozen reference.
        samples: The rollout.

    Returns:
        ``(logprobs [B, T], hidden [B, T, D])``, both from the state before each token.
    """
    mask = samples.completion_mask
    hidden = policy.completion_hidden(samples.prompt_ids, samples.prompt_mask, samples.completion_ids, mask)
    rows, tokens = hidden[mask], samples.completion_ids[mask]
    parts = [
        distributions.selected(policy.token_logprobs(chunk), token)
        for chunk, token in zip(rows.split(policy.chunk_rows), tokens.split(policy.chunk_rows), strict=True)
    ]
    return scatter(torch.cat(parts), mask), hidden


@torch.no_grad()
def rescored(policy: PolicyWithValue, samples: Samples) -> Samples:
    """The same completions with log-probabilities and values from one forward, as learning will compute them.

    Args:
        policy: The policy that drew the samples.
        samples: The rollout.

    Returns:
        Samples that share all else with the given ones.
    """
    seen = policy(
        samples.prompt_ids, samples.prompt_mask, samples.completion_ids, samples.completion_mask, samples.greedy_ids
    )
    return replace(samples, logprobs=seen.logprobs, greedy_logprobs=seen.greedy_logprobs, values=seen.values)
