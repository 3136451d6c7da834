"""What is logged of a step; every key is defined in docs/metrics.md."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.optim import Optimizer

from gaard.method.masking import masked_mean, masked_std
from gaard.method.objective import estimated_kl
from gaard.methods.experience import Experience, Rollout
from gaard.training.config import GAAConfig
from gaard.training.scoring import Scorer


def reference_kl(rollout: Rollout) -> Tensor:
    """KL(π_old‖π_ref) at the sampled tokens by k3, nats a token; a scalar."""
    return masked_mean(estimated_kl(rollout.logprobs, rollout.ref_logprobs, "k3"), rollout.completion_mask)


def rollout_metrics(rollout: Rollout) -> dict[str, float]:
    """What the samples alone say.

    Args:
        rollout: The whole batch.

    Returns:
        Key → number.
    """
    mask, proxy = rollout.completion_mask, rollout.scores.double()
    numbers = {
        "reward": proxy.mean(),
        "reward_std": proxy.std(correction=0),
        "trained_reward": rollout.trained_scores.double().mean(),
        **_known(rollout),
        "kl_ref": reference_kl(rollout),
        "entropy": masked_mean(rollout.entropy, mask),
        "completion_length": mask.sum(-1).double().mean(),
    }
    return {key: float(value) for key, value in numbers.items()}


def greedy_metrics(experience: Experience) -> dict[str, float]:
    """How sure the policy is of x*, as the method sees it, and how often x* was drawn.

    Args:
        experience: The whole batch.

    Returns:
        Key → number.
    """
    rollout, mask = experience.rollout, experience.rollout.completion_mask
    drawn = (experience.greedy_ids == rollout.completion_ids).double()
    return {"eta": float(masked_mean(experience.eta, mask)), "greedy_agreement": float(masked_mean(drawn, mask))}


def _known(rollout: Rollout) -> dict[str, Tensor]:
    """What truth, detector and judge say, of those that were declared: what is not known has no number."""
    numbers = {
        "true_reward": rollout.true_scores.double(),
        "reward_gap": rollout.scores.double() - rollout.true_scores.double(),
        "hack_rate": rollout.hacked.double(),
        "judge_reward": rollout.judge_scores.double(),
    }
    return {key: x.mean() for key, x in numbers.items() if not x.isnan().any()}


def part_metrics(rollout: Rollout, names: Sequence[str]) -> dict[str, float]:
    """What each of several reward functions paid.

    Args:
        rollout: The whole batch.
        names: Of the reward functions.

    Returns:
        ``rewards/NAME/mean``, a mean over the completions that the function scores; none of a single function, which
        is ``reward``, nor of one that scored nothing.
    """
    if len(names) < 2:
        return {}
    columns = zip(_distinct(names), rollout.part_scores.double().T, strict=True)
    return {f"rewards/{name}/mean": float(x.nanmean()) for name, x in columns if not x.isnan().all()}


def _distinct(names: Sequence[str]) -> list[str]:
    """Names, those that come again numbered."""
    return [name if (n := names[:i].count(name)) == 0 else f"{name}-{n + 1}" for i, name in enumerate(names)]


def critic_metrics(experience: Experience) -> dict[str, float]:
    """What the critic says of the samples, and how much of what came it explains.

    Args:
        experience: The whole batch.

    Returns:
        Key → number.
    """
    mask, values, returns = experience.rollout.learned_mask, experience.rollout.values, experience.returns
    unexplained = masked_std(returns - values, mask) ** 2
    explained = 1.0 - unexplained / (masked_std(returns, mask) ** 2 + 1e-8)
    return {"value": float(masked_mean(values, mask)), "explained_variance": float(explained)}


def step_metrics(
    step: int,
    experience: Experience,
    figures: list[dict[str, Tensor]],
    optimizer: Optimizer,
    config: GAAConfig,
    scorer: Scorer | None = None,
) -> dict[str, float]:
    """Everything that is logged of one training step.

    Args:
        step: Its number, from 1.
        experience: The whole batch.
        figures: Of each update.
        optimizer: For the learning rate just used.
        config: For what the method logs.
        scorer: Has the names of the reward functions, and what they have logged of the whole batch.

    Returns:
        Key → number, in a fixed order.
    """
    metrics = {"step": step, **rollout_metrics(experience.rollout), **greedy_metrics(experience)}
    metrics |= {} if scorer is None else part_metrics(experience.rollout, scorer.proxy.parts)
    if config.advantages.has_critic:
        metrics |= critic_metrics(experience)
    metrics |= config.method.metrics(experience)
    if any(one.leaves_out for one in config.regularizers):
        metrics["kept"] = float(experience.rollout.kept.double().mean())
    metrics["turned"] = float(masked_mean(experience.turned.double(), experience.rollout.completion_mask))
    for key in figures[0]:
        metrics[key] = float(torch.stack([f[key].double() for f in figures]).mean())
    if config.kl_controller is not None:
        metrics["kl_coef"] = config.kl_coef
    metrics["learning_rate"] = optimizer.param_groups[0]["lr"]
    return metrics if scorer is None else metrics | scorer.logged.means(metrics)
