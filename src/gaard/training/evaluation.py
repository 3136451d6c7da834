"""The measures of a policy on fresh completions."""

from collections.abc import Iterator
from dataclasses import replace

import torch

from gaard.method.masking import masked_mean
from gaard.policy.model import Reference
from gaard.training.collect import Clock, Collector
from gaard.training.experience import Rollout
from gaard.training.metrics import rollout_metrics
from gaard.training.prompts import PromptStream

MEASURES = ("hack_rate", "true_reward", "gold_reward", "proxy_reward", "kl", "entropy", "completion_length")
EVALUATION_STREAM = 2**40  # keeps the seeds of evaluation apart from those of training


@torch.no_grad()
def evaluate(collector: Collector, prompts: PromptStream, completions: int, seed: int) -> dict[str, float]:
    """Sample afresh and measure; nothing of the training's state is touched.

    Args:
        collector: Policy, reference and rewards.
        prompts: The dataset; drawn from in an order of its own.
        completions: At least this many, in whole batches.
        seed: Of the samples.

    Returns:
        The mean over completions of each of ``MEASURES``, of the gold reward only with a gold judge; ``kl``
        is exact, in nats a token, as is ``entropy``.
    """
    # The measures need the reference's hidden states, whatever the training's estimator, and no greedy branch.
    config = replace(collector.config, kl_estimator="exact", kl_coef=1.0, coefficients="ppo")
    collector = replace(collector, config=config)
    rows = [
        {**rollout_metrics(rollout), "kl": exact_kl(collector, rollout)}
        for rollout in _rollouts(collector, prompts.fresh(), completions, seed)
    ]
    means = {key: sum(row[key] for row in rows) / len(rows) for key in rows[0]}
    means["proxy_reward"] = means["reward"]
    return {key: means[key] for key in MEASURES if key in means}


@torch.no_grad()
def exact_kl(collector: Collector, rollout: Rollout) -> float:
    """KL(π‖π_ref) over the whole vocabulary at the rollout's positions, nats a token."""
    batch, mask = rollout, rollout.completion_mask
    with collector.accelerator.autocast():
        statistics = collector.policy(
            batch.prompt_ids,
            batch.prompt_mask,
            batch.completion_ids,
            mask,
            batch.greedy_ids,
            Reference(batch.ref_hidden, collector.reference),
        )
    return float(masked_mean(statistics.kl, mask))


def _rollouts(collector: Collector, prompts: PromptStream, completions: int, seed: int) -> Iterator[Rollout]:
    """Batches of fresh samples until there are enough."""
    generator = torch.Generator().manual_seed(EVALUATION_STREAM + seed)
    size = collector.config.batch_size
    for _ in range(-(-completions // size)):
        yield collector.collect(prompts.draw(size, generator), generator, Clock())
