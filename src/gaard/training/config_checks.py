"""What settings cannot say, alone or together."""

from __future__ import annotations

import os
from itertools import pairwise
from typing import TYPE_CHECKING

from gaard.errors import ConfigError
from gaard.settings import suggest

if TYPE_CHECKING:
    from gaard.training.config import GAAConfig

TRACKERS = ("tensorboard", "wandb", "trackio", "mlflow")


def check_together(config: GAAConfig) -> None:
    """Refuse settings that do not go together.

    Args:
        config: Each of whose values is allowed in itself.

    Raises:
        ConfigError: Naming the fields, the values and the remedy.
    """
    batches, rewards = (_check_batches, _check_critic, _check_evaluation), (_check_trained, _check_precision)
    for check in (*batches, *rewards, _check_controlled, _check_centred, _check_baselines):
        check(config)


def check_output_dir(config: GAAConfig) -> None:
    """A folder's name, for the working directory would take the run's files without being asked."""
    if not isinstance(config.output_dir, (str, os.PathLike)) or not str(config.output_dir).strip():
        raise ConfigError(f"output_dir={config.output_dir!r} must be the path of the run's folder, such as runs/mine")


def check_trackers(config: GAAConfig) -> None:
    """One tracker or several, by name."""
    if config.report_to is None or isinstance(config.report_to, str):
        config.report_to = [] if config.report_to in (None, "none") else [config.report_to]
    if not isinstance(config.report_to, (list, tuple)) or not all(isinstance(t, str) for t in config.report_to):
        raise ConfigError(f"report_to={config.report_to!r} must be a list of trackers: {suggest('', TRACKERS)}")
    for tracker in config.report_to:
        if tracker not in TRACKERS:
            raise ConfigError(f"report_to={tracker!r} is not known: {suggest(tracker, TRACKERS)}")


def _check_batches(config: GAAConfig) -> None:
    """Batches that do not divide, or in which no score can differ from another."""
    if config.batch_size % config.num_mini_batches:
        raise ConfigError(
            f"batch_size={config.batch_size} cannot be cut into num_mini_batches={config.num_mini_batches} equal "
            f"parts: make batch_size a multiple of {config.num_mini_batches}"
        )
    group = config.num_generations
    sizes = {one.name: one.num_generations for one in config.regularizers}
    sizes[config.advantages.name] = config.advantages.num_generations
    grouped = [f"{name!r} has {size}" for name, size in sizes.items() if size > 1]
    if len({size for size in sizes.values() if size > 1}) > 1:
        raise ConfigError(f"num_generations differs, {', '.join(grouped)}: give each the same number")
    if config.batch_size % group:
        raise ConfigError(
            f"batch_size={config.batch_size} cannot be cut into groups of num_generations={group} completions: make "
            f"batch_size a multiple of {group}"
        )
    if config.batch_size == 1:
        raise ConfigError(
            "batch_size=1 would never move a weight: what a score says, it says beside the others of its batch, and "
            "one alone has none. Make batch_size 2 or more"
        )


def _check_critic(config: GAAConfig) -> None:
    """A method may want values that no critic gives."""
    if config.method.observes.greedy_branch and not config.advantages.has_critic:
        raise ConfigError(
            f"method {config.method.name!r} with these options values greedy tokens by a critic, and advantages "
            f"{config.advantages.name!r} have none: use advantages gae, or of gaa the reading 'expected'"
        )


def _check_evaluation(config: GAAConfig) -> None:
    """Measures on the way need completions."""
    if config.eval_steps is not None and not config.eval_completions:
        raise ConfigError(
            f"eval_steps={config.eval_steps} with eval_completions=0 leaves nothing to measure: make eval_completions "
            "1 or more, or leave eval_steps out"
        )


def _check_controlled(config: GAAConfig) -> None:
    """A coefficient that is multiplied has to be there."""
    one = config.kl_controller
    if one is not None and one.needs_kl and config.kl_coef == 0:
        raise ConfigError(f"kl_coef=0 with {one.name!r}, which multiplies it and so leaves it 0: start above 0")


def _check_centred(config: GAAConfig) -> None:
    """What a reward's features say of advantages holds of that reward, less its group's mean, and of nothing else."""
    if not config.method.observes.reward_features:
        return
    needs = f"method {config.method.name!r} needs advantages that are the reward less its group's mean, and "
    if not config.advantages.centred:
        raise ConfigError(f"{needs}{config.advantages.name!r} are others: use advantages dr_grpo or rloo")
    others = [f"the regularizer {one.name!r}" for one in config.regularizers if one.changes_rewards]
    others += ["kl_estimator='k1'"] * (config.kl_estimator == "k1" and config.kl_coef > 0)
    others += [f"reward_clip={config.reward_clip:g}"] if config.reward_clip is not None else []
    others += ["whiten_advantages=True"] * config.standardizes_advantages
    if others:
        raise ConfigError(f"{needs}{others[0]} makes others of them: leave one of the two out")


def _check_baselines(config: GAAConfig) -> None:
    """Rewards of the untrained model's completions stay as they are, whatever happens to the others."""
    rewards = [one for one in config.regularizers if one.changes_rewards and not one.leaves_out]
    for before, one in pairwise(rewards):
        if one.baseline_completions:
            raise ConfigError(
                f"regularizers: {one.name!r} compares rewards with those of the untrained model's completions, which "
                f"{before.name!r} before it leaves as they are: put {one.name!r} first, or leave one of the two out"
            )
    names = {one.name for one in config.regularizers}
    if {"max-min", "reference-resets"} <= names:
        raise ConfigError(
            "regularizers: 'max-min' compares the policy with the untrained model, and 'reference-resets' puts another "
            "in its place: leave one of the two out"
        )


def _check_trained(config: GAAConfig) -> None:
    """Either the truth trains or an ensemble."""
    if config.trained_reward == "true" and config.trains_on != "true":
        raise ConfigError(
            f"trained_reward='true' with the regularizer {config.trains_on.name!r}, which trains on an ensemble: leave "
            "one of the two out"
        )


def _check_precision(config: GAAConfig) -> None:
    """Small steps need float32."""
    fine = next((one.name for one in config.regularizers if one.needs_float32), None)
    if config.bf16 and fine:
        raise ConfigError(
            f"regularizers holds {fine!r} with bf16=True: its steps are lost in bfloat16's rounding: leave one of the "
            "two out"
        )
