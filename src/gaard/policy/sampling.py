"""The rollout: a decoding loop over a key-value cache that keeps all it sees, so that nothing is computed twice."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gaard.errors import ConfigError
from gaard.method import distributions
from gaard.method.masking import distinct_prompts, position_ids
from gaard.policy.cache import RolloutCache
from gaard.policy.model import Policy
from gaard.policy.statistics import scatter

LEAVE_SHARE = 0.25  # of the rows in the batch, finished, at which they leave it: leaving copies the others' keys


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
        greedy_ids: int64, x*_t (G4), or the token in its place.
        greedy_logprobs: log π(x*_t | x_<t), so that η is its exponential.
        values: V(x_<t) (G2).
        candidate_ids: int64 [B, T, k], the likeliest tokens, most likely first; k = 0 unless asked for.
        candidate_logprobs: [B, T, k], log π of each.
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
    candidate_ids: Tensor
    candidate_logprobs: Tensor
    cache: RolloutCache


@torch.no_grad()
def sample(
    policy: Policy,
    prompt_ids: Tensor,
    prompt_mask: Tensor,
    uniforms: Tensor,
    eos_token_ids: Sequence[int],
    pad_token_id: int,
    second_uniforms: Tensor | None = None,
    candidates: int = 0,
) -> Samples:
    """Sample a completion of each prompt (G1) and observe the greedy token at each position (G4).

    Args:
        policy: The policy, on the device of ``prompt_ids``.
        prompt_ids: int64 [B, P], left-padded.
        prompt_mask: bool [B, P].
        uniforms: float64 [B, T], in [0, 1): the only randomness. T is the longest completion.
        eos_token_ids: Token ids that end a sequence.
        pad_token_id: Written after the end; its content changes no number.
        second_uniforms: As ``uniforms``, for tokens drawn from π in the greedy ones' place; None for the greedy.
        candidates: k, how many of the likeliest tokens to keep at each position.

    Returns:
        Samples of length T′ ≤ T, the longest completion drawn.

    Raises:
        ConfigError: For more candidates than the model has tokens.
    """
    vocabulary = len(policy.projection.weight)
    if candidates > vocabulary:
        raise ConfigError(f"the method asks for {candidates} candidates of {vocabulary} tokens: ask for fewer")
    batch, horizon = uniforms.shape
    device, length = prompt_ids.device, prompt_ids.shape[1]
    ids, mask, prompts = distinct_prompts(prompt_ids, prompt_mask)
    cache = RolloutCache(length + 2 * horizon - 1, prompts)  # the greedy branch stands behind the sampled tokens
    hidden = policy.hidden(ids, mask.long(), position_ids(mask), cache)[prompts, -1]
    seen = _nothing_seen(policy, (batch, horizon), candidates, pad_token_id, device)
    eos = torch.tensor(list(eos_token_ids), dtype=torch.long, device=device)
    numbers = uniforms, second_uniforms
    drawn = _decode(policy, hidden, cache, prompt_mask, seen, numbers, candidates, eos, pad_token_id)
    cache.restore()
    return Samples(prompt_ids, prompt_mask, cache=cache, **{name: x[:, :drawn] for name, x in seen.items()})


def _decode(
    policy: Policy,
    hidden: Tensor,
    cache: RolloutCache,
    prompt_mask: Tensor,
    seen: dict[str, Tensor],
    numbers: tuple[Tensor, Tensor | None],
    candidates: int,
    eos: Tensor,
    pad_token_id: int,
) -> int:
    """Draw token by token into ``seen``; rows that have ended leave the batch. Returns how many tokens were drawn."""
    (uniforms, second_uniforms), length = numbers, prompt_mask.shape[1]
    (batch, horizon), device = uniforms.shape, hidden.device
    attention = torch.cat([prompt_mask, seen["completion_mask"]], dim=1)
    position = prompt_mask.sum(-1, keepdim=True)
    # Where no prompt is padded all that came before is seen, which a model needs no mask for; what rows that have ended
    # see is of no account.
    padded = not bool(prompt_mask.all())
    rows = torch.arange(batch, device=device)  # those still in the batch
    alive = torch.ones(batch, dtype=torch.bool, device=device)  # of these
    for t in range(horizon):
        other = None if second_uniforms is None else second_uniforms[rows, t]
        columns = _observe(policy, hidden, uniforms[rows, t], other, candidates) | {"completion_mask": alive}
        token = columns["completion_ids"] = columns["completion_ids"].where(alive, pad_token_id)
        for name, column in columns.items():
            seen[name][rows, t] = column
        attention[rows, length + t] = alive
        alive = alive & ~torch.isin(token, eos)
        staying = int(alive.sum())
        if t == horizon - 1 or not staying:
            break
        if staying <= (1 - LEAVE_SHARE) * len(rows):
            cache.keep(alive)
            rows, token, alive = rows[alive], token[alive], alive[alive]
        seen_so_far = attention[rows, : length + t + 1]
        visible = policy.free_mask(seen_so_far[:, None, None]) if padded else torch.ones_like(seen_so_far)
        hidden = policy.hidden(token[:, None], visible, position[rows] + t, cache)[:, 0]
    return t + 1


def _nothing_seen(
    policy: Policy, shape: tuple[int, int], candidates: int, pad_token_id: int, device: torch.device
) -> dict[str, Tensor]:
    """Room for what is seen at each token, [B, T] or [B, T, k]."""
    dtype = torch.promote_types(policy.lm.dtype, torch.float32)
    numbers = ("logprobs", "entropy", "greedy_logprobs", "values")
    return {
        "completion_ids": torch.full(shape, pad_token_id, device=device),
        "completion_mask": torch.zeros(shape, dtype=torch.bool, device=device),
        "greedy_ids": torch.full(shape, pad_token_id, device=device),
        **{name: torch.zeros(shape, dtype=dtype, device=device) for name in numbers},
        "candidate_ids": torch.full((*shape, candidates), pad_token_id, device=device),
        "candidate_logprobs": torch.zeros(*shape, candidates, dtype=dtype, device=device),
    }


def _observe(
    policy: Policy, hidden: Tensor, uniforms: Tensor, second_uniforms: Tensor | None, candidates: int
) -> dict[str, Tensor]:
    """Draw a token after each of [b, D] hidden states, and note what else the distribution says; [b] or [b, k]."""
    logits = policy.logits(hidden)
    drawn = distributions.draw(logits, uniforms, second_uniforms)
    seen = {
        "completion_ids": drawn.tokens,
        "logprobs": drawn.logprobs,
        "entropy": drawn.entropy,
        "greedy_ids": drawn.greedy_tokens,
        "greedy_logprobs": drawn.greedy_logprobs,
        "values": policy.values(hidden),
    }
    if candidates:
        likeliest = logits.topk(candidates)
        # What makes a logit a log-probability is the same for all tokens of a row.
        shift = drawn.logprobs[:, None] - logits.gather(-1, drawn.tokens[:, None])
        seen |= {"candidate_ids": likeliest.indices, "candidate_logprobs": likeliest.values + shift}
    return seen


@torch.no_grad()
def score_completions(policy: Policy, samples: Samples) -> tuple[Tensor, Tensor]:
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
    return scatter(policy.token_figures(rows, tokens, tokens).logprobs, mask), hidden


@torch.no_grad()
def rescored(policy: Policy, samples: Samples) -> Samples:
    """The same completions with log-probabilities and values from one forward, as learning will compute them.

    Args:
        policy: The policy that drew the samples.
        samples: The rollout.

    Returns:
        Samples that share all else with the given ones.
    """
    ids, mask = samples.completion_ids, samples.completion_mask
    rows = policy.completion_hidden(samples.prompt_ids, samples.prompt_mask, ids, mask)[mask]
    figures = policy.token_figures(rows, ids[mask], samples.greedy_ids[mask])
    candidates = torch.zeros_like(samples.candidate_logprobs)
    candidates[mask] = policy.logprobs(rows, samples.candidate_ids[mask]).to(candidates.dtype)
    return replace(
        samples,
        logprobs=scatter(figures.logprobs, mask),
        greedy_logprobs=scatter(figures.greedy_logprobs, mask),
        candidate_logprobs=candidates,
        values=scatter(policy.values(rows), mask),
    )
