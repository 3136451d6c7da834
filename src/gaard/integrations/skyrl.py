"""Gaard in SkyRL (0.3.0): folded advantages by the names `gaard_grpo`, `gaard_rloo` and `gaard_gae`."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from gaard.advantages import THRESHOLD, checked_threshold, fold_weights, folded
from gaard.errors import ConfigError

Estimator = Callable[..., tuple[Tensor, Tensor]]


def register(threshold: float = THRESHOLD) -> None:
    """Register `gaard_grpo`, `gaard_rloo` and `gaard_gae`, before SkyRL looks at its settings.

    Each is SkyRL's estimator of that name, folded: its own to the last bit where nothing stands out. The fold of the
    first two is by group, of the third by token.

    Args:
        threshold: From how many robust standard deviations on an advantage is turned.

    Raises:
        ConfigError: A threshold that is not above 0.
        ValueError: Of SkyRL: they are registered already.
    """
    threshold = checked_threshold(threshold, "threshold")
    from skyrl.backends.skyrl_train.utils import ppo_utils

    names = {
        "gaard_grpo": by_group(ppo_utils.compute_grpo_outcome_advantage, threshold),
        "gaard_rloo": by_group(ppo_utils.compute_rloo_outcome_advantage, threshold),
        "gaard_gae": by_token(ppo_utils.compute_gae_advantage_return, threshold),
    }
    for name, estimator in names.items():
        ppo_utils.register_advantage_estimator(name)(estimator)


def by_group(own: Estimator, threshold: float) -> Estimator:
    """An estimator of SkyRL that compares completions of one prompt, folded.

    Args:
        own: What SkyRL has.
        threshold: As in :func:`register`.

    Returns:
        An estimator: advantages [B, T], and the returns [B, T] of ``own``.
    """

    def estimator(
        token_level_rewards: Tensor, response_mask: Tensor, index: Any, **settings: Any
    ) -> tuple[Tensor, Tensor]:
        advantages, returns = own(
            token_level_rewards=token_level_rewards, response_mask=response_mask, index=index, **settings
        )
        weights = fold_weights(token_level_rewards.sum(dim=-1), index, threshold)
        return advantages * weights.unsqueeze(-1), returns

    return estimator


def by_token(own: Estimator, threshold: float) -> Estimator:
    """An estimator of SkyRL that has a critic, folded; otherwise as :func:`by_group`."""

    def estimator(
        token_level_rewards: Tensor, response_mask: Tensor, values: Tensor | None = None, **settings: Any
    ) -> tuple[Tensor, Tensor]:
        if values is None:
            raise ConfigError("gaard_gae was given no values: name a critic in trainer.critic.model.path")
        advantages, returns = own(
            token_level_rewards=token_level_rewards, response_mask=response_mask, values=values, **settings
        )
        mask = response_mask.bool()
        return torch.where(mask, folded(advantages, threshold, mask=mask), advantages), returns

    return estimator
