"""The rewards of a run as its settings name them."""

import json
from typing import TYPE_CHECKING, Any

from gaard.errors import ConfigError
from gaard.lab.spec import RunSpec, names_of

if TYPE_CHECKING:
    from gaard.rewards import RewardFunction

REWARD_FIELDS = (
    "reward_funcs",
    "reward_weights",
    "honeypot",
    "true_reward_funcs",
    "hack_detector",
    "judge_reward_funcs",
)


def deciding(spec: RunSpec) -> str:
    """What decides which rewards a run has: runs of which it is the same have the same.

    Args:
        spec: The run.

    Returns:
        Its settings that do, as JSON.
    """
    return json.dumps([getattr(spec, name) for name in ("scenario", *REWARD_FIELDS, "trains_on_ensemble")])


def rewards_identity(spec: RunSpec) -> dict[str, Any]:
    """What tells the rewards of a run, as its ``run.json`` has it.

    Args:
        spec: The run.

    Returns:
        As :meth:`gaard.training.scoring.Scorer.identity` gives it.

    Raises:
        ConfigError: For rewards that cannot be used.
    """
    from gaard.training.scoring import Scorer

    proxy, rewards = all_rewards(spec)
    return json.loads(json.dumps(Scorer(proxy, **rewards).identity()))


def all_rewards(spec: RunSpec) -> "tuple[RewardFunction, dict[str, Any]]":
    """The rewards of a run, of its fields or of its scenario.

    Args:
        spec: The run.

    Returns:
        The proxy, and the other rewards as arguments of a trainer.

    Raises:
        ConfigError: For rewards that cannot be used.
    """
    return _rewards(spec) if spec.scenario is None else _scenario_rewards(spec)


def _rewards(spec: RunSpec) -> "tuple[RewardFunction, dict[str, Any]]":
    """The proxy and the other rewards that the fields name."""
    from gaard.rewards import build_rewards
    from gaard.rewards.spec import function_from_name

    names = names_of("human" if spec.reward_funcs is None else spec.reward_funcs)
    proxy = build_rewards(names, spec.reward_weights, spec.honeypot)
    watched = {"true_reward_funcs": spec.true_reward_funcs, "judge_reward_funcs": spec.judge_reward_funcs}
    rewards: dict[str, Any] = {key: build_rewards(names_of(x)) for key, x in watched.items() if x is not None}
    if spec.hack_detector is not None:
        rewards["hack_detector"] = function_from_name(spec.hack_detector, "hack_detector")
    return proxy, rewards


def _scenario_rewards(spec: RunSpec) -> "tuple[RewardFunction, dict[str, Any]]":
    """The proxy and the other rewards of the scenario.

    Raises:
        ConfigError: If rewards are given beside it.
    """
    from gaard.lab.scenarios import find_scenario

    for name in REWARD_FIELDS:
        if getattr(spec, name) is not None:
            raise ConfigError(
                f"{name}={getattr(spec, name)!r} is given beside scenario={spec.scenario!r}, which has rewards of its "
                "own: leave one of them out"
            )
    scenario = find_scenario(str(spec.scenario))
    rewards: dict[str, Any] = {
        "true_reward_funcs": scenario.true_reward,
        "hack_detector": scenario.hack_detector,
        "judge_reward_funcs": scenario.judge_reward,
    }
    if spec.trains_on_ensemble:  # else they are not even made
        rewards["ensemble_reward_funcs"] = None if scenario.ensemble is None else list(scenario.ensemble())
    return scenario.proxy, rewards
