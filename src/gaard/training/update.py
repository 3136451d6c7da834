"""One update's loss: coefficients (G7, G8), then the objective (G9), over one minibatch."""

import contextlib
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from gaard.method import objective as obj
from gaard.method.masking import masked_mean, masked_sum
from gaard.methods.base import Method
from gaard.methods.experience import Experience
from gaard.policy.model import Policy, Reference, TokenStatistics
from gaard.training.collect import shard
from gaard.training.config import GAAConfig
from gaard.training.penalty import added, cost_sums


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
    return Weights(*method.coefficients(minibatch.eta, minibatch.sigma, minibatch.rollout.learned_mask))


def minibatches(size: int, parts: int, generator: torch.Generator) -> list[Tensor]:
    """A random partition of the batch's rows, the same on every process.

    Args:
        size: Rows.
        parts: Minibatches; divides ``size``.
        generator: The run's, on the CPU.

    Returns:
        ``parts`` index tensors, int64 [size / parts].
    """
    return list(torch.randperm(size, generator=generator).chunk(parts))


def add_gradients(
    model: nn.Module, reference: Policy, minibatch: Experience, accelerator: Accelerator, config: GAAConfig
) -> dict[str, Tensor]:
    """Add the gradients of a minibatch's loss to those there are, each process those of its share of the rows.

    Args:
        model: The policy, as the accelerator wrapped it.
        reference: What KL is measured to.
        minibatch: The rows of all processes.
        accelerator: Tells the processes.
        config: The run's settings.

    Returns:
        Means over the whole minibatch.
    """
    weight = weights(minibatch, config.method)
    count = minibatch.rollout.learned_mask.sum().clamp(min=1)  # of a minibatch that is left out whole there are none
    parts = _parts(minibatch, accelerator, config)
    shares: list[dict[str, Tensor]] = []
    penalised = any(one.penalizes for one in config.regularizers)
    cut = penalised and (len(parts) > 1 or accelerator.num_processes > 1)
    costs = _costs(model, reference, [minibatch.rows(rows) for rows in parts], accelerator, config) if cut else {}
    for i, rows in enumerate(parts):
        part = minibatch.rows(rows)
        with accelerator.autocast():
            statistics = _forward(model, part, reference, config)
        own_weight = weight.part(rows, part.eta.shape[1])
        loss, figures = loss_and_figures(statistics, part, own_weight, count, config)
        if penalised:
            sums = cost_sums(config.regularizers, statistics.logprobs, part)
            term, figures["penalty"] = added(config.regularizers, sums, costs or sums)
            loss, figures["loss"] = loss + term, figures["loss"] + figures["penalty"]
        with contextlib.nullcontext() if i == len(parts) - 1 else accelerator.no_sync(model):
            # Gradients are averaged over processes, but their losses are shares of one sum.
            accelerator.backward(loss * accelerator.num_processes)
        shares.append(figures)
    return _totals(shares, accelerator)


@torch.no_grad()
def figures_alone(
    model: nn.Module, reference: Policy, minibatch: Experience, accelerator: Accelerator, config: GAAConfig
) -> dict[str, Tensor]:
    """What :func:`add_gradients` returns, without gradients and without what regularisers add to the loss.

    Args:
        model: The policy, as the accelerator wrapped it.
        reference: What KL is measured to.
        minibatch: The rows of all processes.
        accelerator: Tells the processes.
        config: The run's settings.

    Returns:
        Means over the whole minibatch.
    """
    weight = weights(minibatch, config.method)
    count = minibatch.rollout.learned_mask.sum().clamp(min=1)
    shares = []
    for rows in _parts(minibatch, accelerator, config):
        part = minibatch.rows(rows)
        with accelerator.autocast():
            statistics = _forward(model, part, reference, config)
        shares.append(loss_and_figures(statistics, part, weight.part(rows, part.eta.shape[1]), count, config)[1])
    return _totals(shares, accelerator)


def _totals(shares: list[dict[str, Tensor]], accelerator: Accelerator) -> dict[str, Tensor]:
    """Figures of the whole minibatch, from the shares of its parts and of all processes."""
    return accelerator.reduce({key: sum(share[key] for share in shares) for key in shares[0]}, reduction="sum")


def _parts(minibatch: Experience, accelerator: Accelerator, config: GAAConfig) -> tuple[Tensor, ...]:
    """This process's rows of a minibatch, in the parts in which they go through."""
    own = shard(config.mini_batch_size, accelerator)
    size = config.per_device_train_batch_size or config.mini_batch_size
    return torch.arange(own.start, own.stop, device=minibatch.eta.device).split(size)


@torch.no_grad()
def _costs(
    model: nn.Module, reference: Policy, parts: list[Experience], accelerator: Accelerator, config: GAAConfig
) -> dict[str, Tensor]:
    """What regularisers penalise in a whole minibatch that goes through in parts: sums and numbers."""
    totals: dict[str, Tensor] = {}
    for part in parts:
        with accelerator.autocast():
            logprobs = _forward(model, part, reference, config).logprobs
        for name, sums in cost_sums(config.regularizers, logprobs, part).items():
            totals[name] = totals[name] + sums if name in totals else sums
    return accelerator.reduce(totals, reduction="sum")


def _forward(model: nn.Module, part: Experience, reference: Policy, config: GAAConfig) -> TokenStatistics:
    """What the policy says now of the rows, with gradients."""
    rollout = part.rollout
    return model(
        rollout.prompt_ids,
        rollout.prompt_mask,
        rollout.completion_ids,
        rollout.completion_mask,
        part.greedy_ids,
        Reference(rollout.ref_hidden, reference) if config.exact_kl else None,
        with_entropy=config.entropy_coef > 0,
    )


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
    mask = rollout.learned_mask
    ratio = (statistics.logprobs - rollout.logprobs).exp()
    own = (statistics.greedy_logprobs - part.greedy_logprobs).exp()
    value_error = critic.critic_loss(statistics.values, rollout.values, part.returns)
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
        vf_coef=critic.critic_coef,
        kl_coef=config.kl_coef,
        entropy_coef=config.entropy_coef,
        scaled_terms=form.scaled_terms,
        greedy_clip=form.greedy_clip,
    )
    clipped = ((ratio - 1.0).abs() > config.cliprange).to(ratio.dtype)
    means = {
        "loss": terms.loss,
        "policy_loss": -(weight.a * terms.surrogate + terms.greedy_surrogate),
        **({"value_loss": value_error} if critic.has_critic else {}),
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
        rate = config.advantages.critic_learning_rate
        critic = f" or value_learning_rate={rate}" if config.advantages.has_critic else ""
        raise FloatingPointError(
            f"the gradient of step {step} is not finite (norm {float(norm)}): lower learning_rate="
            f"{config.learning_rate}{critic}, or, with bf16, check that the model itself gives finite logits"
        )
