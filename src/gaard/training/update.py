"""One update's loss: coefficients (G7, G8), then the objective (G9), over one minibatch."""

from dataclasses import dataclass

import torch
from torch import Tensor

from gaard.method import objective as obj
from gaard.method.masking import masked_mean, masked_sum
from gaard.methods.base import Method
from gaard.methods.experience import Experience
from gaard.policy.model import TokenStatistics
from gaard.training.config import GAAConfig


@dataclass(frozen=True)
class Weights:
    """a and b at each token of a minibatch; [b, T], detached.

    Attributes:
        a: Weight of ∇J_x.
        b: Weight of ∇J_x*.
    """

    a: Tensor
    b: Tensor

    def part(self, index: Tensor, horizon: int) -> "Weights":
        """The weights of some rows' first tokens."""
        return Weights(self.a[index, :horizon], self.b[index, :horizon])


def weights(minibatch: Experience, method: Method) -> Weights:
    """The method's coefficients for one minibatch (G7, G8).

    Args:
        minibatch: All rows of the minibatch, over all processes: its means are the minibatch's, not a shard's.
        method: Whose coefficients.

    Returns:
        a and b at every token.
    """
    return Weights(*method.coefficients(minibatch.eta, minibatch.sigma, minibatch.rollout.completion_mask))


def loss_and_figures(
    statistics: TokenStatistics, part: Experience, weight: Weights, count: Tensor, config: GAAConfig
) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss of some rows of a minibatch, as their share of the whole minibatch's.

    Args:
        statistics: What the policy says now of those rows.
        part: The rows.
        weight: a and b of the rows.
        count: Valid tokens of the whole minibatch, by which every mean here is divided, so that the shares add up.
        config: Coefficients of the terms.

    Returns:
        The scalar loss to be minimised, and detached figures for the log, each a share of the minibatch's mean.
    """
    rollout, form, critic = part.rollout, config.method.objective, config.advantages
    mask = rollout.completion_mask
    ratio = (statistics.logprobs - rollout.logprobs).exp()
    own = (statistics.greedy_logprobs - rollout.greedy_logprobs).exp()
    value_error = obj.value_loss(statistics.values, rollout.values, part.returns, critic.cliprange_value)
    kl = kl_loss(statistics, rollout.ref_logprobs, config)
    terms = obj.objective(
        ratio=ratio,
        greedy_ratio=own if form.greedy_ratio == "own" else ratio,
        advantages=part.advantages,
        greedy_advantages=part.greedy_advantages,
        a=weight.a,
        b=weight.b,
        value_error=value_error,
        kl=kl,
        entropy=statistics.entropy,
        cliprange=config.cliprange,
        vf_coef=critic.vf_coef,
        kl_coef=config.kl_coef,
        entropy_coef=config.entropy_coef,
        scaled_terms=form.scaled_terms,
        greedy_clip=form.greedy_clip,
    )
    clipped = ((ratio - 1.0).abs() > config.cliprange).to(ratio.dtype)
    means = {
        "loss": terms.loss,
        "policy_loss": -(weight.a * terms.surrogate + terms.greedy_surrogate),
        "value_loss": value_error,
        "clip_fraction": clipped,
        "old_kl": obj.estimated_kl(rollout.logprobs, statistics.logprobs, "k3"),
        "a": weight.a,
        "b": weight.b,
    }
    figures = {name: (masked_sum(x.detach(), mask) / count) for name, x in means.items()}
    return masked_mean(terms.loss, mask, count), figures


def kl_loss(statistics: TokenStatistics, ref_logprobs: Tensor, config: GAAConfig) -> Tensor:
    """The differentiable KL of each token, or zeros where the penalty is in the reward (k1)."""
    if config.kl_estimator == "exact":
        return statistics.kl
    if config.kl_estimator == "k1":
        return torch.zeros_like(statistics.logprobs)
    return obj.estimated_kl(statistics.logprobs, ref_logprobs, config.kl_estimator)


def check_finite(norm: Tensor, step: int, config: GAAConfig) -> None:
    """Stop before a gradient that is not a number reaches the weights.

    Args:
        norm: Of the gradient, scalar.
        step: The training step, for the message.
        config: For the remedy.

    Raises:
        FloatingPointError: If the norm is not finite.
    """
    if not torch.isfinite(norm):
        raise FloatingPointError(
            f"the gradient of step {step} is not finite (norm {float(norm)}): lower learning_rate="
            f"{config.learning_rate} or value_learning_rate={config.advantages.value_learning_rate}, or, with bf16, "
            "check that the model itself gives finite logits. What was trained until then is on the disk"
        )
