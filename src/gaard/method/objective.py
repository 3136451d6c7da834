"""The objective −(a·J_x + b·J_x*) of G9 and the terms around it, token by token.

Everything here is an elementwise function of [B, T] tensors; ``masked_mean`` makes a loss of it.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from gaard.method.choices import GreedyClip, KLEstimator, ScaledTerms


@dataclass(frozen=True)
class ObjectiveTerms:
    """The parts of one update's objective, each [B, T], to be averaged over valid tokens.

    ``loss`` is what is minimised; the others are kept apart for the log.
    """

    loss: Tensor
    surrogate: Tensor
    greedy_surrogate: Tensor
    value_loss: Tensor


def clipped_surrogate(ratio: Tensor, advantages: Tensor, cliprange: float) -> Tensor:
    """J of PPO (Schulman et al., 2017, eqn. 7): min(r·A, clip(r, 1−ε, 1+ε)·A).

    Args:
        ratio: π_θ / π_old of the token, any shape.
        advantages: The shape of ``ratio``.
        cliprange: ε.

    Returns:
        The shape of ``ratio``, to be maximised.
    """
    return torch.minimum(ratio * advantages, ratio.clamp(1.0 - cliprange, 1.0 + cliprange) * advantages)


def greedy_surrogate(
    ratio: Tensor, greedy_advantages: Tensor, b: Tensor, cliprange: float, greedy_clip: GreedyClip
) -> Tensor:
    """b·J_x*, the second half of G9.

    ``outside`` keeps b outside the minimum: min(r·A*, clip(r)·A*) is a lower bound that b < 0 turns into an upper
    one, so nothing stops the ratio from falling. ``inside`` folds b into the advantage, which restores the
    trust region: min(r·bA*, clip(r)·bA*).

    Args:
        ratio: [B, T], of the greedy token itself (Johnson's text) or of the sampled one (his code).
        greedy_advantages: [B, T], A(x*_t).
        b: [B, T], detached, ≤ 0.
        cliprange: ε.
        greedy_clip: Which of the two readings.

    Returns:
        [B, T], to be maximised.
    """
    if greedy_clip == "inside":
        return clipped_surrogate(ratio, b * greedy_advantages, cliprange)
    return b * clipped_surrogate(ratio, greedy_advantages, cliprange)


def value_loss(values: Tensor, old_values: Tensor, returns: Tensor, cliprange_value: float) -> Tensor:
    """Half the squared error of the critic, clipped around its value at sampling time as PPO's policy is.

    Args:
        values: [B, T], V_θ(x_<t).
        old_values: [B, T], at sampling time.
        returns: [B, T], targets.
        cliprange_value: How far a value may move before its gradient stops.

    Returns:
        [B, T], to be minimised.
    """
    clipped = old_values + (values - old_values).clamp(-cliprange_value, cliprange_value)
    return 0.5 * torch.maximum((values - returns) ** 2, (clipped - returns) ** 2)


def estimated_kl(logprobs: Tensor, ref_logprobs: Tensor, estimator: KLEstimator) -> Tensor:
    """KL(π‖π_ref) estimated from the sampled token alone (Schulman, "Approximating KL divergence", 2020).

    As losses they differ, over tokens drawn from π itself: the gradient of k1 has expectation zero, so k1 belongs in
    the reward; that of k2 is the gradient of KL(π‖π_ref); that of k3 is the gradient of KL(π_ref‖π), which agrees
    with it only near π_ref.

    Args:
        logprobs: log π(x_t), any shape.
        ref_logprobs: log π_ref(x_t), same shape.
        estimator: ``k1``: log π − log π_ref. ``k2``: half its square. ``k3``: π_ref/π − 1 − log(π_ref/π), ≥ 0.

    Returns:
        Nats a token, same shape.

    Raises:
        ValueError: For ``exact``, which needs whole distributions (``projection.token_figures``).
    """
    log_ratio = ref_logprobs - logprobs
    if estimator == "k1":
        return -log_ratio
    if estimator == "k2":
        return 0.5 * log_ratio**2
    if estimator == "k3":
        return log_ratio.expm1() - log_ratio
    raise ValueError(f"estimator={estimator!r} cannot be computed from single tokens; use k1, k2 or k3")


def objective(
    *,
    ratio: Tensor,
    greedy_ratio: Tensor,
    advantages: Tensor,
    greedy_advantages: Tensor,
    a: Tensor,
    b: Tensor,
    value_error: Tensor,
    kl: Tensor,
    entropy: Tensor,
    cliprange: float,
    vf_coef: float,
    kl_coef: float,
    entropy_coef: float,
    scaled_terms: ScaledTerms,
    greedy_clip: GreedyClip,
) -> ObjectiveTerms:
    """Implements G9 as one loss a token: −(a·J_x + b·J_x*), with the value loss, KL and entropy beside J_x.

    With a = 1 and b = 0 this is PPO, to the last bit.

    Args:
        ratio: [B, T], π_θ/π_old of the sampled tokens.
        greedy_ratio: [B, T], the ratio that J_x* uses.
        advantages: [B, T], A(x_t).
        greedy_advantages: [B, T], A(x*_t).
        a: [B, T], detached.
        b: [B, T], detached.
        value_error: [B, T], ``value_loss``.
        kl: [B, T], KL to the reference, differentiable; zeros if it is in the reward instead.
        entropy: [B, T], of π_θ.
        cliprange: ε.
        vf_coef: Weight of the value loss.
        kl_coef: Weight of the KL.
        entropy_coef: Weight of the entropy bonus.
        scaled_terms: Whether a multiplies J_x alone (``surrogate``, Johnson's text), or value loss, KL and entropy
            too (``objective``, his code), which also changes how strongly the KL holds.
        greedy_clip: See :func:`greedy_surrogate`.

    Returns:
        The per-token loss and its parts.
    """
    surrogate = clipped_surrogate(ratio, advantages, cliprange)
    greedy = greedy_surrogate(greedy_ratio, greedy_advantages, b, cliprange, greedy_clip)
    penalties = vf_coef * value_error + kl_coef * kl - entropy_coef * entropy
    sampled = a * (surrogate - penalties) if scaled_terms == "objective" else a * surrogate - penalties
    return ObjectiveTerms(-(sampled + greedy), surrogate, greedy, value_error)
