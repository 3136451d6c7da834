"""From a rollout to the advantages and gaps that the updates use: G3, G5 and G6 over the whole batch."""

import torch
from torch import Tensor

from gaard.method import advantages as adv
from gaard.method.masking import last_token_mask, masked_mean, masked_std, standardize
from gaard.method.objective import estimated_kl
from gaard.training.config import GAAConfig
from gaard.training.experience import Experience, Rollout

NO_SIGNAL = 1e-6  # spread of scores, relative to their size, below which they say nothing
GREEDY_SCORE_LIMIT = 3.0  # standard deviations; the author's code clamps the normalised greedy score so


def estimate(rollout: Rollout, config: GAAConfig) -> Experience:
    """Advantages of sampled and greedy tokens, on one scale, and the gap between them.

    The gap compares one-step advantages (G3 with λ = 0) on both sides: a greedy token has no longer ones, and where
    it is the sampled token the gap must be 0. A KL penalty in the reward (k1) is likewise left out of the gap.

    A rollout whose scores are all the same says nothing of its tokens; what is left of advantages is the critic's
    noise, which whitening would blow up to a full gradient. Its policy advantages are zero.

    Args:
        rollout: The whole batch.
        config: ``gamma``, ``lam``, and how rewards and advantages are scaled.

    Returns:
        The experience, B × T.
    """
    mask, values = rollout.completion_mask, rollout.values
    scores, greedy_scores = normalized_scores(rollout, config.normalize_rewards, config.reward_clip)
    rewards = adv.token_rewards(scores, mask)
    greedy_rewards = adv.token_rewards(greedy_scores, mask)
    one_step = adv.one_step_advantages(values, adv.sampled_next_values(values), rewards, mask, config.gamma)
    greedy = adv.one_step_advantages(values, rollout.greedy_values, greedy_rewards, mask, config.gamma)
    greedy = torch.where(rollout.greedy_ids == rollout.completion_ids, one_step, greedy)
    if config.kl_estimator == "k1":
        rewards = rewards - config.kl_coef * estimated_kl(rollout.logprobs, rollout.ref_logprobs, "k1") * mask
    advantages = adv.generalized_advantages(values, rewards, mask, config.gamma, config.lam)
    gap = adv.advantage_gap(one_step, greedy, masked_std(one_step, mask))
    if config.dead_zone:
        gap = adv.beyond(gap, config.dead_zone * masked_std(gap, mask))
    returns = advantages + values
    if config.whiten_advantages:
        greedy, advantages = _whiten(greedy, one_step, mask), _whiten(advantages, advantages, mask)
    honest = advantages
    if config.advantage_fold:
        advantages = adv.folded(advantages, config.advantage_fold, mask)
    penalised = config.kl_estimator == "k1" and config.kl_coef > 0
    signal = 1.0 if penalised or has_signal(rollout.trained_scores) else 0.0
    eta = rollout.greedy_logprobs.exp()
    advantages = advantages * signal
    turned = (honest > 0) & (advantages < 0)
    return Experience(rollout, advantages, greedy * signal, returns, eta, gap * signal, turned)


def has_signal(scores: Tensor) -> bool:
    """Whether a rollout's scores differ at all.

    Args:
        scores: [B].

    Returns:
        False if their spread is rounding.
    """
    spread = scores.double().std(correction=0)
    return bool(spread > NO_SIGNAL * max(1.0, float(scores.abs().mean())))


def is_sparse(scores: Tensor) -> bool:
    """Whether most of a rollout's scores are one number, so that the few above it stand out whatever they are.

    A rare success on top of rewards that differ is not recognised: it looks like a hack.

    Args:
        scores: [B].

    Returns:
        True if more than half are the median, and some are higher.
    """
    middle = scores.median()
    return bool((scores == middle).double().mean() > 0.5 and scores.max() > middle)


def normalized_scores(rollout: Rollout, normalize: bool, clip: float | None = None) -> tuple[Tensor, Tensor]:
    """Scores of the sampled and of the greedy-ended sequences on the scale of the batch's sampled scores.

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
        everything = torch.ones_like(scores, dtype=torch.bool)
        mean, std = masked_mean(scores, everything), masked_std(scores, everything)
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
