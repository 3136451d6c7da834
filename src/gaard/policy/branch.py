"""The greedy branch: V(x_<t, x*_t) at every position in one forward (G5).

Valuing each greedy token by a forward of its own costs T forwards of whole sequences. But the keys and values of
every prefix x_<t are in the rollout's cache already. So all greedy tokens go through the trunk together: token
x*_t stands at the position of x_t, and attends to the prompt, to x_<t in the cache, and to itself.
"""

import torch
from torch import Tensor

from gaard.method.masking import position_ids
from gaard.policy.model import PolicyWithValue
from gaard.policy.sampling import Samples


@torch.no_grad()
def greedy_values(policy: PolicyWithValue, samples: Samples) -> Tensor:
    """V(x_<t, x*_t) for all t, equal to T separate forwards over (x_<t, x*_t).

    Args:
        policy: The policy that drew the samples, unchanged since.
        samples: The rollout with its cache, which is left as it was found.

    Returns:
        [B, T]; meaningless where ``samples.completion_mask`` is False.
    """
    return policy.values(greedy_hidden(policy, samples))


@torch.no_grad()
def greedy_hidden(policy: PolicyWithValue, samples: Samples) -> Tensor:
    """Last hidden states of (x_<t, x*_t) for all t, in one forward.

    Args:
        policy: The policy that drew the samples, unchanged since.
        samples: The rollout with its cache, which is left as it was found.

    Returns:
        [B, T, D]; meaningless where ``samples.completion_mask`` is False.
    """
    prompt_length, horizon = samples.prompt_ids.shape[1], samples.greedy_ids.shape[1]
    mask = branch_mask(samples.prompt_mask, samples.completion_mask)
    positions = position_ids(torch.cat([samples.prompt_mask, samples.completion_mask], dim=1))[:, prompt_length:]
    if policy.lm.config._attn_implementation == "eager":
        mask = torch.zeros(mask.shape, dtype=policy.lm.dtype, device=mask.device).masked_fill(
            ~mask, torch.finfo(policy.lm.dtype).min
        )
    hidden = policy.hidden(samples.greedy_ids, mask, positions, samples.cache)
    samples.cache.crop(-horizon)
    return hidden


def branch_mask(prompt_mask: Tensor, completion_mask: Tensor) -> Tensor:
    """Who sees whom: greedy token t sees the prompt, x_1 … x_{t−1}, and itself alone among the greedy tokens.

    Args:
        prompt_mask: bool [B, P].
        completion_mask: bool [B, T].

    Returns:
        bool [B, 1, T, P + (T−1) + T] over the cache (prompt and all sampled tokens but the last) and the branch.
    """
    batch, horizon = completion_mask.shape
    earlier = torch.ones(horizon, horizon - 1, dtype=torch.bool, device=completion_mask.device).tril(-1)
    itself = torch.eye(horizon, dtype=torch.bool, device=completion_mask.device)
    parts = [
        prompt_mask[:, None, :].expand(batch, horizon, -1),
        earlier[None] & completion_mask[:, None, :-1],
        itself[None].expand(batch, -1, -1),
    ]
    return torch.cat(parts, dim=-1)[:, None]
