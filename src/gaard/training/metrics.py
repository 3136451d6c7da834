"""What is logged of a step; every key is defined in docs/metrics.md."""

import torch
from torch import Tensor
from torch.optim import Optimizer

from gaard.method.masking import masked_mean, masked_std
from gaard.method.objective import estimated_kl
from gaard.training.config import GAAConfig
from gaard.training.experience import Experience, Rollout


def rollout_metrics(rollout: Rollout) -> dict[str, float]:
    """What the samples alone say.

    Args:
        rollout: The whole batch.

    Returns:
        Key → number.
    """
    mask = rollout.completion_mask
    proxy, true = rollout.scores.double(), rollout.true_scores.double()
    numbers = {
        "reward": proxy.mean(),
        "reward_std": proxy.std(correction=0),
        "trained_reward": rollout.trained_scores.double().mean(),
        "true_reward": true.mean(),
        "reward_gap": (proxy - true).mean(),
        "hack_rate": rollout.hacked.double().mean(),
        "kl_ref": masked_mean(estimated_kl(rollout.logprobs, rollout.ref_logprobs, "k3"), mask),
        "entropy": masked_mean(rollout.entropy, mask),
        "completion_length": mask.sum(-1).double().mean(),
        "eta": masked_mean(rollout.greedy_logprobs.exp(), mask),
        "greedy_agreement": masked_mean((rollout.greedy_ids == rollout.completion_ids).double(), mask),
    }
    if not rollout.gold_scores.isnan().any():
        numbers["judge_reward"] = rollout.gold_scores.double().mean()
    return {key: float(value) for key, value in numbers.items()}


def step_metrics(
    step: int, experience: Experience, figures: list[dict[str, Tensor]], optimizer: Optimizer, config: GAAConfig
) -> dict[str, float]:
    """Everything that is logged of one training step.

    Args:
        step: Its number, from 1.
        experience: The whole batch.
        figures: Of each update.
        optimizer: For the learning rate just used.
        config: For what is observed.

    Returns:
        Key → number, in a fixed order.
    """
    mask, values = experience.rollout.completion_mask, experience.rollout.values
    unexplained = masked_std(experience.returns - values, mask) ** 2
    metrics = {"step": step, **rollout_metrics(experience.rollout)}
    metrics["value"] = float(masked_mean(values, mask))
    metrics["explained_variance"] = float(1.0 - unexplained / (masked_std(experience.returns, mask) ** 2 + 1e-8))
    if config.reading.observes:
        saturated = (experience.sigma * config.sigma_scale >= 1.0).double()
        metrics["sigma"] = float(masked_mean(experience.sigma, mask))
        metrics["sigma_positive"] = float(masked_mean(experience.sigma.clamp(min=0.0), mask))
        metrics["sigma_saturated"] = float(masked_mean(saturated, mask))
        raised = ((experience.sigma > 0) & (experience.greedy_advantages < 0)).double()
        metrics["greedy_raised"] = float(masked_mean(raised, mask))
        metrics["greedy_advantage"] = float(masked_mean(experience.greedy_advantages, mask))
    metrics["turned"] = float(masked_mean(experience.turned.double(), mask))
    for key in figures[0]:
        metrics[key] = float(torch.stack([f[key].double() for f in figures]).mean())
    metrics["learning_rate"] = optimizer.param_groups[0]["lr"]
    return metrics
