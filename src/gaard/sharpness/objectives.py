"""The functions whose curvature is asked for, over fixed samples, in parts whose logits fit into memory.

Each is plain PyTorch, differentiable as often as one likes; the trainer's own kernels have one derivative. All are to
be kept low, and are means: over completions or over their tokens, as said.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields

import torch
from torch import Tensor
from transformers import PreTrainedModel

from gaard.method.masking import masked_sum
from gaard.method.objective import clipped_surrogate
from gaard.method.projection import capped
from gaard.policy.model import Policy
from gaard.sharpness.products import Objective

TOKENS_AT_ONCE = 512  # of completions, whose numbers stay in a processor's cache
LOGITS_AT_ONCE = 2**24  # numbers, at most


@dataclass(frozen=True)
class Batch:
    """Completions drawn from a policy, and what they were worth.

    Attributes:
        prompt_ids: int64 [B, P], left-padded.
        prompt_mask: bool [B, P].
        completion_ids: int64 [B, T].
        completion_mask: bool [B, T].
        logprobs: log π_old(x_t), [B, T].
        advantages: A(x_t), [B, T].
        rewards: [B].
    """

    prompt_ids: Tensor
    prompt_mask: Tensor
    completion_ids: Tensor
    completion_mask: Tensor
    logprobs: Tensor
    advantages: Tensor
    rewards: Tensor

    def rows(self, index: Tensor) -> "Batch":
        """Some of the completions."""
        return Batch(**{field.name: getattr(self, field.name)[index] for field in fields(self)})


@contextmanager
def twice_differentiable(lm: PreTrainedModel) -> Iterator[None]:
    """Meanwhile attention is ``eager``: PyTorch's fused attention has no second derivative.

    Args:
        lm: The model; its attention is put back afterwards.
    """
    before = lm.config._attn_implementation
    lm.set_attn_implementation("eager")
    try:
        yield
    finally:
        lm.set_attn_implementation(before)


def log_distributions(policy: Policy, batch: Batch) -> Tensor:
    """Whole distributions, log π_θ over the vocabulary at every completion token, [B, T, V]."""
    hidden = policy.completion_hidden(batch.prompt_ids, batch.prompt_mask, batch.completion_ids, batch.completion_mask)
    logits = policy.lm.get_output_embeddings()(hidden)
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return (capped(wide.clone(), policy.cap) / policy.temperature).log_softmax(-1)


def drawn_logprobs(policy: Policy, batch: Batch) -> Tensor:
    """Of the tokens that were drawn: log π_θ(x_t), [B, T], zero behind the end."""
    return _of_drawn(log_distributions(policy, batch), batch)


def _of_drawn(distributions: Tensor, batch: Batch) -> Tensor:
    """The entries [B, T] of distributions [B, T, V] at the tokens that were drawn, zero behind the end."""
    chosen = distributions.gather(-1, batch.completion_ids[..., None])[..., 0]
    return chosen.masked_fill(~batch.completion_mask, 0.0)


def expected_reward(policy: Policy, batch: Batch) -> Objective:
    """−E[R], by importance sampling from the policy that drew the batch: −mean Rᵢ π_θ(xᵢ)/π_old(xᵢ).

    Where θ is the policy that drew the batch, gradient and Hessian of this are unbiased estimates of those of −E[R]
    (Foerster et al., 2018, "DiCE"). The second derivative of Σ R log π, whose gradient is the same, is not: it lacks
    E[R ∇log π ∇log πᵀ].

    Args:
        policy: π_θ.
        batch: Drawn from the policy as it was.

    Returns:
        The function; a mean over completions.
    """

    def of_part(part: Batch) -> Tensor:
        return -(part.rewards * _log_ratio(drawn_logprobs(policy, part), part).sum(-1).exp()).sum() / len(batch.rewards)

    return _parts(policy, batch, of_part)


def surrogate(policy: Policy, batch: Batch, cliprange: float) -> Objective:
    """PPO's clipped surrogate with its sign turned, a mean over tokens; what an update lowers, without the other terms.

    At θ_old the clip is not felt, by gradient or Hessian.

    Args:
        policy: π_θ.
        batch: Drawn from π_old.
        cliprange: ε.

    Returns:
        The function.
    """
    count = batch.completion_mask.sum()

    def of_part(part: Batch) -> Tensor:
        gain = clipped_surrogate(_log_ratio(drawn_logprobs(policy, part), part).exp(), part.advantages, cliprange)
        return -masked_sum(gain, part.completion_mask) / count

    return _parts(policy, batch, of_part)


def divergence(policy: Policy, batch: Batch, reference: Policy) -> Objective:
    """KL(π_θ‖π_ref) of whole next-token distributions, a mean over the batch's tokens; the texts stay as they are.

    Args:
        policy: π_θ.
        batch: Whose tokens.
        reference: The frozen model.

    Returns:
        The function, nats a token.
    """
    count = batch.completion_mask.sum()

    def of_part(part: Batch) -> Tensor:
        with torch.no_grad():
            frozen = log_distributions(reference, part)
        now = log_distributions(policy, part)
        return masked_sum((now.exp() * (now - frozen)).sum(-1), part.completion_mask) / count

    return _parts(policy, batch, of_part)


def penalized_surrogate(policy: Policy, batch: Batch, reference: Policy, cliprange: float, kl_coef: float) -> Objective:
    """:func:`surrogate` + ``kl_coef`` · :func:`divergence` from one forward: half the time of their weighted sum.

    Args:
        policy: π_θ.
        batch: Drawn from π_old.
        reference: The frozen model.
        cliprange: ε.
        kl_coef: Weight of the KL.

    Returns:
        The function.
    """
    count = batch.completion_mask.sum()

    def of_part(part: Batch) -> Tensor:
        with torch.no_grad():
            frozen = log_distributions(reference, part)
        now = log_distributions(policy, part)
        gain = clipped_surrogate(_log_ratio(_of_drawn(now, part), part).exp(), part.advantages, cliprange)
        distance = (now.exp() * (now - frozen)).sum(-1)
        return masked_sum(kl_coef * distance - gain, part.completion_mask) / count

    return _parts(policy, batch, of_part)


def weighted_sum(*terms: tuple[float, Objective]) -> Objective:
    """Σ cᵢ fᵢ.

    Args:
        *terms: (c, f) each, such as ``(1, surrogate(…)), (0.05, divergence(…))``.

    Returns:
        The function.
    """

    def parts() -> Iterator[Tensor]:
        for weight, objective in terms:
            for part in objective():
                yield weight * part

    return parts


def _log_ratio(drawn: Tensor, part: Batch) -> Tensor:
    """From log π_θ(x_t) of the tokens that were drawn: log π_θ(x_t) − log π_old(x_t), [b, T], zero behind the end."""
    return drawn - part.logprobs.masked_fill(~part.completion_mask, 0.0)


def _parts(policy: Policy, batch: Batch, of_part: Callable[[Batch], Tensor]) -> Objective:
    """A function that goes through the batch, some completions at a time."""
    vocabulary = policy.lm.get_output_embeddings().weight.shape[0]
    tokens = LOGITS_AT_ONCE // vocabulary
    if batch.rewards.device.type == "cpu":
        tokens = min(tokens, TOKENS_AT_ONCE)
    rows = max(1, tokens // batch.completion_ids.shape[1])

    def parts() -> Iterator[Tensor]:
        for index in torch.arange(len(batch.rewards), device=batch.rewards.device).split(rows):
            yield of_part(batch.rows(index))

    return parts
