"""What is logged of a step; every key is defined in docs/metrics.md."""

import torch
from torch import Tensor
from torch.optim import Optimizer

from gaard.method.masking import masked_mean, masked_std
from gaard.method.objective import estimated_kl
from gaard.methods.experience import Experience, Rollout
from gaard.training.config import GAAConfig


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
    if not rollout.judge_scores.isnan().any():
        numbers["judge_reward"] = rollout.judge_scores.double().mean()
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
        config: For what the method logs.

    Returns:
        Key → number, in a fixed order.
    """
    mask, values = experience.rollout.completion_mask, experience.rollout.values
    unexplained = masked_std(experience.returns - values, mask) ** 2
    metrics = {"step": step, **rollout_metrics(experience.rollout)}
    metrics["value"] = float(masked_mean(values, mask))
    metrics["explained_variance"] = float(1.0 - unexplained / (masked_std(experience.returns, mask) ** 2 + 1e-8))
    metrics |= config.method.metrics(experience)
    metrics["turned"] = float(masked_mean(experience.turned.double(), mask))
    for key in figures[0]:
        metrics[key] = float(torch.stack([f[key].double() for f in figures]).mean())
    metrics["learning_rate"] = optimizer.param_groups[0]["lr"]
    return metrics
