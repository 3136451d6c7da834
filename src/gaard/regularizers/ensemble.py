"""An ensemble of rewards in the place of the proxy (Coste et al., arXiv 2310.02743)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gaard.regularizers.base import Regularizer
from gaard.reward_names import Objective
from gaard.settings import NotNegative

if TYPE_CHECKING:  # help should not wait for torch
    from gaard.rewards import RewardFunction
    from gaard.rewards.ensemble import EnsembleReward


@dataclass(frozen=True)
class Ensemble(Regularizer):
    """What trains is made of several rewards for one thing; logs and measures go on with the proxy.

    The rewards are the scenario's ``ensemble``, or ``ensemble_reward_funcs`` of the trainer.

    Attributes:
        objective: uncertainty-weighted: mean less coef times variance; worst-case: the least; mean.
        coef: λ, of uncertainty-weighted alone. 0.1 is what the authors' code has for PPO (tlc4418/llm_optimization,
            ``configs/config_rl.yaml``).
    """

    name = "ensemble"
    trains_on_ensemble = True

    objective: Objective = "uncertainty-weighted"
    coef: NotNegative = 0.1

    def reward(self, members: Sequence[RewardFunction]) -> EnsembleReward:
        """The reward that trains.

        Args:
            members: Rewards for one thing.

        Returns:
            Them as one.
        """
        from gaard.rewards.ensemble import EnsembleReward

        return EnsembleReward(members, objective=self.objective, coef=self.coef)
