"""The greedy branch: V(x_<t, x*_t) at every position in one forward (G5).

Valuing each greedy token by a forward of its own costs T forwards of whole sequences. But the keys and values of
every prefix x_<t are in the rollout's cache already. So all greedy tokens that were not sampled go through the trunk
together: token x*_t stands at the position of x_t, and attends to the prompt, to x_<t in the cache, and to itself.
"""

from dataclasses import replace

import torch
from torch import Tensor

from gaard.method.advantages import sampled_next_values
from gaard.method.masking import last_token_mask, position_ids
from gaard.policy.model import Policy
from gaard.policy.sampling import Samples


@torch.no_grad()
def greedy_values(policy: Policy, samples: Samples) -> Tensor:
    """V(x_<t, x*_t) where it is not known yet, equal to separate forwards over (x_<t, x*_t).

    Where x*_t = x_t the value is that of the sampled token; after the last token comes no value, but the reward.

    Args:
        policy: The policy that drew the samples, unchanged since.
        samples: The rollout with its cache, which is left as it was found.

    Returns:
        [B, T]; zero at the places named above, and where ``samples.completion_mask`` is False.
    """
    mask = samples.completion_mask
    wanted = mask & ~last_token_mask(mask) & (samples.greedy_ids != samples.completion_ids)
    if not wanted.any():
        return torch.zeros_like(samples.values)
    return torch.where(wanted, policy.values(greedy_hidden(policy, samples, wanted)), 0.0)


@torch.no_grad()
def best_by_value(policy: Policy, samples: Samples) -> Samples:
    """Put x*_t = argmax V(x_<t, x) over the candidates in the greedy token's place.

    The seed wants the token of best value, and settles for the likeliest since to value every token is dear. Here each
    candidate costs one greedy branch. After the last token there is no value: there x* stays the likeliest token.

    Args:
        policy: The policy that drew the samples, unchanged since.
        samples: The rollout with its cache, which is left as it was found, and with its candidates.

    Returns:
        Samples with other ``greedy_ids`` and ``greedy_logprobs``.
    """
    sampled = sampled_next_values(samples.values)
    values = []
    for token in samples.candidate_ids.unbind(-1):
        branch = greedy_values(policy, replace(samples, greedy_ids=token))
        values.append(torch.where(token == samples.completion_ids, sampled, branch))
    best = torch.stack(values, dim=-1).argmax(-1, keepdim=True)
    best = best.masked_fill(last_token_mask(samples.completion_mask)[..., None], 0)
    ids, logprobs = (x.gather(-1, best).squeeze(-1) for x in (samples.candidate_ids, samples.candidate_logprobs))
    return replace(samples, greedy_ids=ids, greedy_logprobs=logprobs)


@torch.no_grad()
def greedy_hidden(policy: Policy, samples: Samples, wanted: Tensor) -> Tensor:
    """Last hidden states of (x_<t, x*_t) at the wanted places, in one forward of as many tokens.

    Args:
        policy: The policy that drew the samples, unchanged since.
        samples: The rollout with its cache, which is left as it was found.
        wanted: bool [B, T].

    Returns:
        [B, T, D]; meaningless where ``wanted`` is False.
    """
    width = int(wanted.sum(-1).max())
    # The wanted places of each row first, in order; rows with fewer are filled up with others, which cost no more.
    order = torch.argsort(~wanted, dim=-1, stable=True)
    places = order[:, :width]
    prompt_length = samples.prompt_ids.shape[1]
    positions = position_ids(torch.cat([samples.prompt_mask, samples.completion_mask], dim=1))[:, prompt_length:]
    mask = policy.free_mask(branch_mask(samples.prompt_mask, samples.completion_mask, places))
    hidden = policy.hidden(samples.greedy_ids.gather(1, places), mask, positions.gather(1, places), samples.cache)
    samples.cache.crop(-width)
    out = hidden.new_zeros(*wanted.shape, hidden.shape[-1])
    return out.scatter(1, places[..., None].expand_as(hidden), hidden)


def branch_mask(prompt_mask: Tensor, completion_mask: Tensor, places: Tensor) -> Tensor:
    """Who sees whom: greedy token t sees the prompt, x_1 … x_{t−1}, and itself alone among the greedy tokens.

    Args:
        prompt_mask: bool [B, P].
        completion_mask: bool [B, T].
        places: int64 [B, K], the t of each token of the branch.

    Returns:
        bool [B, 1, K, P + (T−1) + K] over the cache (prompt and all sampled tokens but the last) and the branch.
    """
    batch, width = places.shape
    times = torch.arange(completion_mask.shape[1] - 1, device=places.device)
    itself = torch.eye(width, dtype=torch.bool, device=places.device)
    parts = [
        prompt_mask[:, None, :].expand(batch, width, -1),
        (times < places[..., None]) & completion_mask[:, None, :-1],
        itself[None].expand(batch, -1, -1),
    ]
    return torch.cat(parts, dim=-1)[:, None]
