"""What a policy says: a fixed set of samples for derivatives, and fresh ones at any place in parameter space."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gaard.methods.experience import Observation, Rollout
from gaard.sharpness import Batch
from gaard.training.collect import Clock, shaped
from gaard.training.estimate import estimate
from gaard.training.evaluation import exact_kl

if TYPE_CHECKING:
    from gaard.training.trainer import GAATrainer

STREAM = 2**41  # keeps the seeds apart from those of training and of evaluation


def rolled_out(trainer: GAATrainer, count: int, seed: int, observation: Observation) -> Rollout:
    """Completions of the policy as it is: the same prompts and random numbers whenever the seed is the same.

    Args:
        trainer: With policy, prompts and rewards.
        count: How many; more, if prompts come in groups that do not divide it.
        seed: Of prompts and samples.
        observation: What is seen beside the samples.

    Returns:
        The rollout, its reference the untrained model.
    """
    generator = torch.Generator().manual_seed(STREAM + seed)
    times = trainer.args.num_generations
    prompts = (trainer.eval_prompts or trainer.prompts).fresh()
    batch = prompts.draw(-(-count // times) * times, generator, times)
    collector = replace(trainer.collector, reference=trainer.untrained)
    with torch.no_grad():
        return collector.collect(batch, generator, Clock(), observation)


def fixed_batch(trainer: GAATrainer, count: int, seed: int) -> Batch:
    """The samples over which functions are differentiated.

    Args:
        trainer: With the policy that draws them.
        count: Completions.
        seed: Of prompts and samples.

    Returns:
        The batch. Its rewards are the proxy's less the mean of the others', which leaves every derivative of the
        expected reward without bias and makes it less noisy; its advantages are those of the run's own settings.
    """
    args = trainer.args
    rollout = rolled_out(trainer, count, seed, args.observes)
    generator = torch.Generator().manual_seed(STREAM + seed)
    advantages = estimate(shaped(rollout, args.regularizers, generator), args).advantages
    return Batch(
        rollout.prompt_ids,
        rollout.prompt_mask,
        rollout.completion_ids,
        rollout.completion_mask,
        rollout.logprobs,
        advantages,
        less_the_others(rollout.scores),
    )


def less_the_others(rewards: Tensor) -> Tensor:
    """Each reward less the mean of all others, [B] with B ≥ 2."""
    return (rewards - rewards.mean()) * (len(rewards) / (len(rewards) - 1))


def resampled(trainer: GAATrainer, count: int, seed: int) -> dict[str, float]:
    """Proxy, truth, hacks and KL of fresh completions of the policy as it is, each mean with its standard error.

    Args:
        trainer: With the policy.
        count: Completions.
        seed: Of prompts and samples; the same everywhere, so that two places differ by their weights alone.

    Returns:
        ``proxy``, ``true``, ``hack_rate``, ``kl`` (nats a token, to the untrained model), and ``proxy_error`` and so
        on; truth and hacks only where they are known.
    """
    rollout = rolled_out(trainer, count, seed, Observation(reference_hidden=True))
    collector = replace(trainer.collector, reference=trainer.untrained)
    found: dict[str, float] = {}
    for name, scores in (("proxy", rollout.scores), ("true", rollout.true_scores), ("hack_rate", rollout.hacked)):
        if not scores.isnan().any():
            wide = scores.double()
            found |= {name: float(wide.mean()), f"{name}_error": float(wide.std() / len(wide) ** 0.5)}
    return {**found, "kl": exact_kl(collector, rollout)}
