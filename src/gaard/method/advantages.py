"""Advantages of the sampled tokens (G3) and of the greedy ones (G5), and the gap between them (G6).

Time is counted within the completion: ``values[:, t]`` is V(x_<t), the value before token t is chosen.
"""

import torch
from torch import Tensor

from gaard.method.coefficients import gaa_coefficients
from gaard.method.masking import last_token_mask


def token_rewards(scores: Tensor, mask: Tensor) -> Tensor:
    """Put each sequence's score on its last valid token (G1).

    Args:
        scores: [B], one scalar reward a sequence.
        mask: bool [B, T], completion tokens.

    Returns:
        [B, T], zero everywhere else.
    """
    return torch.where(last_token_mask(mask), scores[:, None], torch.zeros_like(scores)[:, None])


def one_step_advantages(values: Tensor, next_values: Tensor, rewards: Tensor, mask: Tensor, gamma: float) -> Tensor:
    """Implements G3 and G5: r + γ·V(after the token) − V(before it), and r_n − V(x_<n) at the last token.

    With ``next_values`` those of the sampled tokens this is A(x_t); with those of the greedy tokens it is A(x*_t).

    Args:
        values: [B, T], V(x_<t).
        next_values: [B, T], V(x_<t, x) for the token x in question. Unused at the last token, where the score of the
            whole sequence is the best estimate.
        rewards: [B, T], the score at the last token.
        mask: bool [B, T].
        gamma: Discount factor, 1 in Johnson's text.

    Returns:
        [B, T], zero where ``mask`` is False.
    """
    continues = mask & ~last_token_mask(mask)
    following = torch.where(continues, gamma * next_values, torch.zeros_like(values))
    return torch.where(mask, rewards + following - values, torch.zeros_like(values))


def sampled_next_values(values: Tensor) -> Tensor:
    """V(x_≤t) for each t: the next entry of ``values``; the last column, which no formula reads, is zero.

    Args:
        values: [B, T], V(x_<t).

    Returns:
        [B, T].
    """
    return torch.cat([values[:, 1:], torch.zeros_like(values[:, :1])], dim=-1)


def generalized_advantages(values: Tensor, rewards: Tensor, mask: Tensor, gamma: float, lam: float) -> Tensor:
    """Generalised advantage estimation (Schulman et al., 2016); with γ=1, λ=0 it is G3.

    Args:
        values: [B, T], V(x_<t).
        rewards: [B, T], per-token rewards.
        mask: bool [B, T]; nothing flows back over a sequence's end.
        gamma: Discount factor.
        lam: λ, the weight of later one-step advantages.

    Returns:
        [B, T], zero where ``mask`` is False. Returns (value targets) are this plus ``values``.
    """
    delta = one_step_advantages(values, sampled_next_values(values), rewards, mask, gamma)
    if lam == 0.0:
        return delta
    advantages = torch.zeros_like(delta)
    running = torch.zeros_like(delta[:, 0])
    for t in range(delta.shape[1] - 1, -1, -1):
        running = delta[:, t] + gamma * lam * running
        advantages[:, t] = running
    return torch.where(mask, advantages, torch.zeros_like(advantages))


def advantage_gap(advantages: Tensor, greedy_advantages: Tensor, std: Tensor, eps: float = 1e-8) -> Tensor:
    """Implements G6, σ_t = (A(x*_t) − A(x_t)) / std(A over the batch).

    Its mean over sampled tokens, before the division, is G12.

    Args:
        advantages: [B, T], A(x_t), one-step (G3), so that like is compared with like.
        greedy_advantages: [B, T], A(x*_t) (G5).
        std: Scalar, standard deviation of A over the whole batch.
        eps: Keeps the quotient finite in a batch without spread.

    Returns:
        [B, T], in standard deviations; exactly 0 where both tokens are the same and so have one advantage.
    """
    return (greedy_advantages - advantages) / (std + eps)


def beyond(gap: Tensor, dead_zone: Tensor | float) -> Tensor:
    """What of a gap lies beyond a dead zone: max(σ − τ, 0).

    From σ = 0 on G7 lowers a and G8 lowers b, but Johnson wants "only slightly better: more likely".

    Args:
        gap: σ, any shape.
        dead_zone: τ ≥ 0, in the gap's units.

    Returns:
        The shape of ``gap``, never negative.
    """
    return (gap - dead_zone).clamp(min=0.0)


def turning_weights(heights: Tensor, fold: float) -> Tensor:
    """Weigh advantages as G7 and G8 weigh a token that the policy is sure of: a + b = 2·(1 − σ/2)^10 − 1.

    Args:
        heights: How far each stands out, in deviations, any shape.
        fold: From where on that counts; σ is what lies beyond.

    Returns:
        The shape of ``heights``, in [−1, 1]: 1 up to the fold, −1 from 2 beyond it.
    """
    a, b = gaa_coefficients(1.0, beyond(heights, fold))
    return a + b


def heights(advantages: Tensor, mask: Tensor) -> Tensor:
    """How far each advantage stands out of its batch, in robust standard deviations.

    It is measured from the batch's median, or from 0 where the median is lower: what most tokens have does not stand
    out, and what is worse than the mean never does.
    The scale is that of the middle half (median absolute deviation, × 1.4826 as for a normal distribution; Hampel,
    1974): a few that stand out do not widen it, as they do a standard deviation.

    Args:
        advantages: [B, T].
        mask: bool [B, T], those that count.

    Returns:
        [B, T].
    """
    if not mask.any():
        return torch.zeros_like(advantages)
    return (advantages - advantages[mask].median().clamp(min=0.0)) / (robust_deviation(advantages, mask) + 1e-8)


def robust_deviation(advantages: Tensor, mask: Tensor) -> Tensor:
    """1.4826 × the median distance from the median, the standard deviation of a normal distribution (Hampel, 1974).

    Args:
        advantages: [B, T].
        mask: bool [B, T], those that count, at least one.

    Returns:
        Scalar; 0 where more than half are equal.
    """
    valid = advantages[mask]
    return 1.4826 * (valid - valid.median()).abs().median()


def weighed(advantages: Tensor, weights: Tensor) -> Tensor:
    """Multiply advantages above 0 by how they are to be turned; the others stay.

    Where something besides the reward counts into an advantage, such as a KL penalty, a text whose reward stands out
    may have an advantage below 0. Turned, it would pull towards what is pushed away already.

    Args:
        advantages: Any shape.
        weights: In [−1, 1] (:func:`turning_weights`), of a shape that broadcasts to it.

    Returns:
        The shape and the type of ``advantages``.
    """
    return torch.where(advantages > 0, advantages * weights.to(advantages.dtype), advantages)


def folded(advantages: Tensor, fold: float, mask: Tensor) -> Tensor:
    """Turn advantages that stand out into their negative, as G7 and G8 turn a token's that the policy is sure of.

    With η = 1 and x* = x the two steps of G9 are one, of weight a + b = 2·(1 − σ/2)^10 − 1. Here σ is how far the
    sampled token's own advantage lies beyond the fold: slightly better becomes more likely, much better less.

    Args:
        advantages: [B, T].
        fold: Where that begins, in robust standard deviations of the batch's advantages (:func:`heights`).
        mask: bool [B, T].

    Returns:
        [B, T].
    """
    return turning_weights(heights(advantages, mask), fold) * advantages
