"""Gaard in verl (0.9.1): folded advantages by the names `gaard_grpo`, `gaard_dr_grpo` and `gaard_rloo`, and for GAE.

verl imports this module itself, by the entry point `gaard` of the group `verl.plugins`, in every process, and while it
is being imported. It hides what fails here, so nothing here may fail; what is wrong is told at the first step.
"""

import functools
import os
from typing import Any

import numpy as np
import torch
from torch import Tensor
from verl.trainer.ppo import core_algos

from gaard.advantages import THRESHOLD, checked_threshold, fold_weights, folded

GAE_VARIABLE = "GAARD_FOLD_GAE"  # verl passes its settings to no estimator that a critic serves


@core_algos.register_adv_est("gaard_grpo")
def gaard_grpo(
    token_level_rewards: Tensor, response_mask: Tensor, index: np.ndarray, config: Any = None, **_: Any
) -> tuple[Tensor, Tensor]:
    """Estimate as `grpo` of verl and fold; ``algorithm.norm_adv_by_std_in_grpo`` means what it means there.

    Args:
        token_level_rewards: [B, T], in the reward's units; what a completion earned is their sum.
        response_mask: [B, T], the completions' tokens.
        index: [B], a name for each completion, the same for all of one prompt.
        config: The section ``algorithm`` of verl's settings: ``gaard_threshold``, 3 where it is not set.

    Returns:
        Advantages [B, T], verl's own to the last bit where nothing stands out, and returns [B, T], which are verl's.

    Raises:
        ConfigError: A reward that is not finite, or a threshold that is not above 0.
    """
    by_deviation = True if config is None else config.get("norm_adv_by_std_in_grpo", True)
    own = core_algos.compute_grpo_outcome_advantage(
        token_level_rewards, response_mask, index, norm_adv_by_std_in_grpo=by_deviation
    )
    return _folded(own, token_level_rewards, index, config)


@core_algos.register_adv_est("gaard_dr_grpo")
def gaard_dr_grpo(
    token_level_rewards: Tensor, response_mask: Tensor, index: np.ndarray, config: Any = None, **_: Any
) -> tuple[Tensor, Tensor]:
    """Estimate as `grpo` of verl, undivided by the group's deviation, and fold; otherwise as :func:`gaard_grpo`."""
    own = core_algos.compute_grpo_outcome_advantage(
        token_level_rewards, response_mask, index, norm_adv_by_std_in_grpo=False
    )
    return _folded(own, token_level_rewards, index, config)


@core_algos.register_adv_est("gaard_rloo")
def gaard_rloo(
    token_level_rewards: Tensor, response_mask: Tensor, index: np.ndarray, config: Any = None, **_: Any
) -> tuple[Tensor, Tensor]:
    """Estimate as `rloo` of verl and fold; otherwise as :func:`gaard_grpo`."""
    own = core_algos.compute_rloo_outcome_advantage(token_level_rewards, response_mask, index)
    return _folded(own, token_level_rewards, index, config)


def _folded(
    own: tuple[Tensor, Tensor], token_level_rewards: Tensor, index: np.ndarray, config: Any
) -> tuple[Tensor, Tensor]:
    threshold = THRESHOLD if config is None else config.get("gaard_threshold", THRESHOLD)
    threshold = checked_threshold(threshold, "algorithm.gaard_threshold")
    weights = fold_weights(token_level_rewards.sum(dim=-1), index, threshold)
    advantages, returns = own
    return advantages * weights.unsqueeze(-1), returns


def fold_gae(threshold: float | str = THRESHOLD) -> None:
    """From now on, in this process, fold the advantages that verl computes with a critic, token by token.

    verl whitens them first. The returns, from which the critic learns, stay as they are. The plugin calls this where
    the environment variable ``GAARD_FOLD_GAE`` has the threshold.

    Args:
        threshold: From how many robust standard deviations on an advantage is turned. It is checked at the first step:
            verl hides what a plugin raises.
    """
    own = getattr(core_algos.compute_gae_advantage_return, "__wrapped__", core_algos.compute_gae_advantage_return)

    @functools.wraps(own)
    def compute_gae_advantage_return(
        token_level_rewards: Tensor, values: Tensor, response_mask: Tensor, gamma: Any, lam: Any
    ) -> tuple[Tensor, Tensor]:
        _say(threshold)
        advantages, returns = own(token_level_rewards, values, response_mask, gamma, lam)
        mask = response_mask.bool()
        turned = folded(advantages, checked_threshold(threshold, GAE_VARIABLE), mask=mask)
        return torch.where(mask, turned, advantages), returns

    core_algos.compute_gae_advantage_return = compute_gae_advantage_return


@functools.cache
def _say(threshold: float | str) -> None:
    """Once, where advantages are computed: the only sign that the plugin was found there."""
    print(f"gaard: folds the advantages of verl's GAE, threshold {threshold}", flush=True)


if GAE_VARIABLE in os.environ:
    fold_gae(os.environ[GAE_VARIABLE])
