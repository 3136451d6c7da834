"""From a rollout to the advantages and gaps that the updates use: G3, G5 and G6 over the whole batch."""

import torch
from torch import Tensor

from gaard.method import advantages as adv
from gaard.method.masking import last_token_mask, masked_mean, masked_std, standardize
from gaard.method.objective import estimated_kl
from gaard.method.token_worth import TokenMemory
from gaard.methods.experience import Estimates, Experience, Rollout
from gaard.training.config import GAAConfig

NO_SIGNAL = 1e-6  # spread of scores, relative to their size, below which they say nothing
GREEDY_SCORE_LIMIT = 3.0  # standard deviations; Johnson's code clamps the normalised greedy score so


def estimate(rollout: Rollout, config: GAAConfig, memory: TokenMemory | None = None) -> Experience:
    """Advantages of sampled and greedy tokens as the method shapes them, and the gap between them.

    A rollout whose scores are all the same says nothing of its tokens; what is left of advantages is the critic's
    noise, which whitening would blow up to a full gradient. Its policy advantages are zero, and memory is not told.

    Args:
        rollout: The whole batch.
        config: The method, the estimator, and how rewards and advantages are scaled.
        memory: What the rollouts before have said of tokens, added to if the method does; by default there were none.

    Returns:
        The experience, B × T.
    """
    mask = rollout.learned_mask
    estimates, returns = estimated(rollout, config)
    penalised = config.kl_estimator == "k1" and config.kl_coef > 0
    signal = 1.0 if penalised or has_signal(rollout.trained_scores[rollout.kept]) else 0.0
    greedy = config.method.greedy(estimates, rollout, memory if memory and signal else TokenMemory())
    advantages = config.method.shape(estimates, mask) * signal
    turned = (estimates.advantages > 0) & (advantages < 0)
    return Experience(
        rollout=rollout,
        advantages=advantages,
        greedy_ids=greedy.ids,
        greedy_logprobs=greedy.logprobs,
        greedy_advantages=greedy.advantages * signal,
        returns=returns,
        sigma=greedy.sigma * signal,
        turned=turned,
    )


def estimated(rollout: Rollout, config: GAAConfig) -> tuple[Estimates, Tensor]:
    """What the estimator says of sampled and greedy tokens, before any method.

    A KL penalty in the reward (k1) is left out of the one-step advantages, and so of the gap; and of the heights by
    group: among completions that are paid one number it is all that differs, and would make every success stand out.

    Args:
        rollout: The whole batch.
        config: The estimator, and how rewards and advantages are scaled.

    Returns:
        The estimates, and the targets of the value head [B, T].
    """
    mask, values, estimator = rollout.learned_mask, rollout.values, config.advantages
    scores, greedy_scores = normalized_scores(rollout, config.standardizes_rewards, config.reward_clip)
    rewards, greedy_rewards = adv.token_rewards(scores, mask), adv.token_rewards(greedy_scores, mask)
    one_step = estimator.one_step(values, adv.sampled_next_values(values), rewards, mask)
    greedy = estimator.one_step(values, rollout.greedy_values, greedy_rewards, mask)
    greedy = torch.where(rollout.greedy_ids == rollout.completion_ids, one_step, greedy)
    paid = rewards
    if config.kl_estimator == "k1":
        rewards = rewards - config.kl_coef * estimated_kl(rollout.logprobs, rollout.ref_logprobs, "k1") * mask
    advantages = estimator.advantages(values, rewards, mask)
    returns, greedy_advantages = advantages + values, greedy
    if config.standardizes_advantages:
        greedy_advantages = _whiten(greedy, one_step, mask)
        advantages = _whiten(advantages, advantages, mask)
    heights = estimator.heights(advantages, paid, mask)
    estimates = Estimates(one_step, greedy, advantages, greedy_advantages, heights, rollout.feature_distances)
    return estimates, returns


def has_signal(scores: Tensor) -> bool:
    """Whether a rollout's scores differ at all.

    Args:
        scores: [B].

    Returns:
        False if their spread is rounding, or if there are fewer than two.
    """
    if len(scores) < 2:
        return False
    spread = scores.double().std(correction=0)
    return bool(spread > NO_SIGNAL * max(1.0, float(scores.abs().mean())))


def normalized_scores(rollout: Rollout, normalize: bool, clip: float | None = None) -> tuple[Tensor, Tensor]:
    """Scores of the sampled and of the greedy-ended sequences on the scale of the sampled ones that are learned from.

    Args:
        rollout: ``trained_scores`` and ``greedy_scores``, [B].
        normalize: False leaves both on the scale that they have.
        clip: Cuts both to ± this, if given.

    Returns:
        ``(scores, greedy_scores)``; normalised greedy ones limited, except where the last tokens are the same and so
        is the score.
    """
    scores, greedy = rollout.trained_scores, rollout.greedy_scores
    if normalize:
        mean, std = masked_mean(scores, rollout.kept), masked_std(scores, rollout.kept)
        limited = standardize(greedy, mean, std).clamp(-GREEDY_SCORE_LIMIT, GREEDY_SCORE_LIMIT)
        scores = standardize(scores, mean, std)
        greedy = torch.where(differs_at_the_end(rollout), limited, scores)
    return (scores, greedy) if clip is None else (scores.clamp(-clip, clip), greedy.clamp(-clip, clip))


def differs_at_the_end(rollout: Rollout) -> Tensor:
    """Whether each row's last sampled token is another than the greedy one; bool [B]."""
    different = rollout.greedy_ids != rollout.completion_ids
    return (different & last_token_mask(rollout.completion_mask)).any(-1)


def _whiten(x: Tensor, like: Tensor, mask: Tensor) -> Tensor:
    """Standardise ``x`` by mean and spread of ``like`` over valid tokens."""
    whitened = standardize(x, masked_mean(like, mask), masked_std(like, mask))
    return torch.where(mask, whitened, torch.zeros_like(whitened))
