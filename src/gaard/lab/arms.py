"""What a comparison compares: each arm a few settings of one trainer."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from gaard.errors import ConfigError, did_you_mean
from gaard.lab.files import in_python_file
from gaard.training.config import GAAConfig, check_keys

RUN_CONTROLS = ("output_dir", "overwrite", "seed", "progress", "report_to")
UNTRAINED = "untrained"
NAME = re.compile(r"[\w.=+-]+")


@dataclass(frozen=True)
class Arm:
    """One way of training.

    Attributes:
        name: What ``--arms``, tables and folders call it.
        summary: One line.
        settings: Fields of a run that it sets, over those of the scenario.
    """

    name: str
    summary: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check what a file of a user's may get wrong.

        Raises:
            ConfigError: Naming the arm and what is wrong with it.
        """
        if not isinstance(self.name, str) or not NAME.fullmatch(self.name) or self.name == UNTRAINED:
            raise ConfigError(f"arm {self.name!r}: a name is of letters, digits and . = + - _, and not {UNTRAINED!r}")
        if not isinstance(self.settings, Mapping):
            raise ConfigError(f"arm {self.name!r}: settings={self.settings!r} must map fields of a run to values")
        check_keys(self.settings, [f.name for f in fields(GAAConfig)], f"arm {self.name!r}")
        if control := next((key for key in self.settings if key in RUN_CONTROLS), None):
            raise ConfigError(f"arm {self.name!r} sets {control!r}, which belongs to a single run: take it out")


def _all(*arms: Arm) -> dict[str, Arm]:
    return {arm.name: arm for arm in arms}


def _gaa(name: str, summary: str, **settings: Any) -> Arm:
    """The seed's text with one answer changed."""
    return Arm(name, summary, {"method": "gaa-paper", **settings})


def _ppo(name: str, summary: str, **settings: Any) -> Arm:
    """PPO with what a user would try first."""
    return Arm(name, summary, {"method": "ppo", **settings})


ARMS = _all(
    _ppo("ppo", "PPO"),
    Arm("gaa", "GAA as gaard recommends it: the sampled token's own advantage", {"method": "gaa"}),
    _gaa("gaa-paper", "GAA as the seed's text has it"),
    Arm("gaa-reference", "GAA as the author's code has it", {"method": "gaa-reference"}),
    _gaa("gaa-minibatch", "η and σ are means of the minibatch", granularity="minibatch"),
    _gaa("gaa-scaled-terms", "a multiplies value loss, KL and entropy too", scaled_terms="objective"),
    _gaa("gaa-pessimistic", "b inside PPO's minimum", greedy_clip="pessimistic"),
    _gaa("gaa-sampled-ratio", "J_x* with the sampled token's ratio", greedy_ratio="sampled"),
    _gaa("gaa-only-a", "a of G7, b = 0", coefficients="gaa-a"),
    _gaa("gaa-only-b", "a = 1, b of G8", coefficients="gaa-b"),
    _gaa("gaa-constant", "a = 1, b = −0.1 everywhere", coefficients="constant", constant_b=-0.1),
    _gaa("gaa-value", "x* is the token of best value among the 8 likeliest", greedy_token="value"),
    _gaa("gaa-dead-zone", "gaps count from one of their standard deviations on", dead_zone=1.0),
    _gaa("gaa-both", "the greedy token's advantage and the sampled one's own", advantage_fold=3.0),
    _gaa("gaa-random-token", "a token drawn from the policy in the greedy token's place", greedy_token="random"),
    _ppo("ppo-published-critic", "PPO with the published value-head rate", value_learning_rate=5e-4),
    _gaa("gaa-published-critic", "GAA with the published value-head rate of capped", value_learning_rate=2e-2),
    *(_ppo(f"ppo-kl-{x:g}", f"KL coefficient {x:g}", kl_coef=x) for x in (0.1, 0.3, 1.0)),
    *(_ppo(f"ppo-entropy-{x:g}", f"entropy bonus {x:g}", entropy_coef=x) for x in (0.003, 0.01, 0.03)),
    _ppo("ppo-reward-clip", "standardised rewards cut to ±1", reward_clip=1.0),
    _ppo("ppo-par", "sigmoid of the reward less the untrained model's (PAR, arXiv 2502.18770)", reward_shaping="par"),
    _ppo(
        "ppo-gradient-norm",
        "gradient-norm regularisation (arXiv 2602.18037)",
        flatness="gradient-norm",
        flatness_coef=0.05,  # the best of those that were tried (docs/results.md)
    ),
    _ppo("ppo-reference-resets", "the reference follows every 20 steps (arXiv 2602.18037)", reference_reset_steps=20),
    _ppo("ppo-sam", "sharpness-aware minimisation (arXiv 2010.01412)", flatness="sam"),
    _ppo("ppo-kl-budget", "stops at 0.1 nats a token", kl_budget=0.1),
    _ppo("oracle", "PPO on the true reward: the ceiling", trained_reward="true"),
)


def find_arm(given: str | Mapping[str, Any]) -> Arm:
    """An arm by name, from a user's file, or stated in place.

    Args:
        given: One of ``ARMS``; or ``path/to/file.py``, whose one ``Arm`` is taken, or ``path/to/file.py:variable``; or
            a mapping of ``name``, perhaps ``base``, the arm that it starts from, and settings.

    Returns:
        The arm.

    Raises:
        ConfigError: For what is none of these.
    """
    if isinstance(given, Mapping):
        return _stated(given)
    if not isinstance(given, str):
        raise ConfigError(f"arms: {given!r} is neither a name nor a mapping of name, base and settings")
    if given in ARMS:
        return ARMS[given]
    found = in_python_file(given, Arm, f"arms: {given!r}")
    if found is None:
        raise ConfigError(
            f"arms: {given!r} is not known:{did_you_mean(given, ARMS)} gaard arms lists them; a Python file of your "
            "own is named by its path"
        )
    return found


def _stated(given: Mapping[str, Any]) -> Arm:
    """An arm of a study's file."""
    settings = dict(given)
    name, base = settings.pop("name", None), settings.pop("base", None)
    if name is None:
        raise ConfigError(f"arms: {dict(given)!r} has no name: give it one")
    start = Arm(name, "") if base is None else find_arm(base)
    summary = ", ".join([*([start.name] if base else []), *(f"{key} {value}" for key, value in settings.items())])
    return Arm(name, summary, {**start.settings, **settings})


def find_arms(given: object) -> list[Arm]:
    """The arms of a comparison.

    Args:
        given: A list of what :func:`find_arm` takes.

    Returns:
        The arms in that order.

    Raises:
        ConfigError: For none, one that is not known, or two of one name.
    """
    if not isinstance(given, list | tuple) or not given:
        raise ConfigError(f"arms={given!r} is no list of arms: name some, such as ppo,gaa")
    arms = [find_arm(one) for one in given]
    names = [arm.name for arm in arms]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ConfigError(f"arms names {twice!r} twice")
    return arms
