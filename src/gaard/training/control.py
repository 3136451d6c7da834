"""The settings of one step: the run's, with the KL coefficient that a regulariser sets, if one does."""

import dataclasses

from gaard.methods.experience import Rollout
from gaard.training.config import GAAConfig
from gaard.training.metrics import reference_kl
from gaard.training.state import TrainingState


def controlled(config: GAAConfig, state: TrainingState, rollout: Rollout) -> GAAConfig:
    """The settings of a step, and what the controller carries on in the state.

    Args:
        config: Of the run.
        state: Holds the controller's memory, which is replaced.
        rollout: The step's whole batch, whose KL is measured.

    Returns:
        ``config`` itself without a controller, else the same with another ``kl_coef``.
    """
    one = config.kl_controller
    if one is None:
        return config
    coefficient, memory = one.control(state.kl_control or [config.kl_coef], float(reference_kl(rollout)))
    state.kl_control = [float(number) for number in memory]
    return dataclasses.replace(config, kl_coef=float(coefficient))
