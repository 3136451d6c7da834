"""What a scenario is."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from gaard.errors import ConfigError
from gaard.lab.arms import OF_ARMS, RUN_CONTROLS
from gaard.lab.catalogue import Reach
from gaard.lab.spec import check_settings
from gaard.messages import shortened
from gaard.rewards import RewardFunction
from gaard.settings import Count, NotNegative, Positive, check_fields
from gaard.training.config import GAAConfig
from gaard.training.detection import HackDetector
from gaard.training.scoring import Scorer

PROMPTS = ("prompts", "eval_prompts")
REWARDS = ("proxy", "true_reward", "judge_reward", "hack_detector")


@dataclass(frozen=True)
class Scenario:
    """One scenario.

    Attributes:
        name: What ``--scenario`` calls it.
        summary: One line.
        prompts: Prompts, or rows with ``prompt`` and columns for the rewards.
        proxy: The reward that trains.
        true_reward: What was meant; by default the proxy's own truth, if it is an ``ExploitableReward``.
        hack_detector: Completions → whether each is a hack; by default the proxy's own.
        hack: What counts as a hack, in words.
        judge_reward: An independent judge that no arm trains on.
        ensemble: Makes rewards for one thing, on which arms with the regularizer ``ensemble`` train, not on the proxy.
        model: Alias, hub id or folder.
        max_completion_length: Tokens.
        temperature: Of sampling and of all log-probabilities.
        kl_coef: Weight of KL(π‖π_ref).
        training: Further settings of a run (``gaard train --help``).
        reach: What the true reward can be, where it was measured.
        control: Name of the scenario with the same truth in which nothing can be exploited, where there is one; a
            control names itself. What an arm costs is measured there.
        eval_prompts: Prompts that are measured and never trained on, given as prompts are; none: those that train.
    """

    name: str
    summary: str
    prompts: tuple[str | Mapping[str, Any], ...]
    proxy: RewardFunction
    true_reward: RewardFunction | None = None
    hack_detector: HackDetector | None = None
    hack: str = ""
    judge_reward: RewardFunction | None = None
    ensemble: Callable[[], Sequence[RewardFunction]] | None = None
    model: str = "pocket"
    max_completion_length: Count = 16
    temperature: Positive = 0.8
    kl_coef: NotNegative = 0.05
    training: Mapping[str, Any] = field(default_factory=dict)
    reach: Reach | None = None
    control: str | None = None
    eval_prompts: tuple[str | Mapping[str, Any], ...] = ()

    def __post_init__(self) -> None:
        """Check what a file of a user's may get wrong.

        Raises:
            ConfigError: Naming the field, the value and the remedy.
        """
        where = f"scenario {self.name!r}"
        for key, given, least in (("prompts", self.prompts, 1), ("eval_prompts", self.eval_prompts, 0)):
            listed = isinstance(given, (tuple, list)) and len(given) >= least
            if not listed or not all(isinstance(prompt, (str, Mapping)) for prompt in given):
                raise ConfigError(f"{where}: {key}={given!r} must be a tuple of texts or rows, such as ('A',)")
        self._check_types(where)
        check_settings(self.training, [f.name for f in fields(GAAConfig)], f"{where}, training")
        own_fields = {f.name for f in fields(self)}
        for key in self.training:
            if key in own_fields or key in (*OF_ARMS, *RUN_CONTROLS):
                own = (
                    f"it is a field of the scenario: {key}=…" if key in own_fields else "it belongs to an arm or a run"
                )
                raise ConfigError(f"{where}: training holds {key!r}: take it out, {own}")
        try:
            json.dumps(self.settings())
        except TypeError as error:
            raise ConfigError(
                f"{where}: prompts and training are kept in the run's configuration as JSON, and {error}: write it as "
                "text or a number"
            ) from error
        self._check_agreement(where)

    def _check_types(self, where: str) -> None:
        """Each field for itself."""
        try:
            check_fields(self, skip=(*PROMPTS, "reach", "control"))
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from None
        for key in REWARDS:
            if isinstance(given := getattr(self, key), type):
                name = given.__name__
                raise ConfigError(f"{where}: {key}={name} is a class: make an object of it, such as {name}()")
        if self.reach is not None and not isinstance(self.reach, Reach):
            raise ConfigError(f"{where}: reach={self.reach!r} must be a Reach(untrained=…, honest=…)")
        if self.control is not None and not isinstance(self.control, str):
            raise ConfigError(f"{where}: control={self.control!r} must be the name of a scenario, such as 'clean'")

    def _check_agreement(self, where: str) -> None:
        """What contradicts each other."""
        trained = {json.dumps(row, sort_keys=True) for row in _plain(self.prompts)}
        both = [row for row in _plain(self.eval_prompts) if json.dumps(row, sort_keys=True) in trained]
        if both:
            raise ConfigError(
                f"{where}: eval_prompts holds {len(both)} of the prompts that train, such as {shortened(both[0])}: "
                "take them out of one of the two"
            )
        if self.hack and self.hack_detector is None and not self.scorer().knows_hacks:
            raise ConfigError(f"{where}: hack={self.hack!r}, and nothing finds it: give a hack_detector, or no hack")

    def scorer(self) -> Scorer:
        """Proxy, truth, judge and detector, what is left out filled in."""
        return Scorer(self.proxy, None, self.true_reward, self.hack_detector, self.judge_reward)

    def about(self) -> dict[str, str | None]:
        """The scenario in words, for who reads a study."""
        return {"summary": self.summary, "hack": self.hack, "control": self.control}

    def settings(self) -> dict[str, Any]:
        """The fields of a run that the scenario sets; a config file or the command line may override each."""
        return {
            "scenario": self.name,
            "model": self.model,
            "prompts": _plain(self.prompts),
            **({"eval_prompts": _plain(self.eval_prompts)} if self.eval_prompts else {}),
            "max_completion_length": self.max_completion_length,
            "temperature": self.temperature,
            "kl_coef": self.kl_coef,
            **self.training,
        }


def _plain(prompts: Sequence[str | Mapping[str, Any]]) -> list[str | dict[str, Any]]:
    """Prompts as JSON has them."""
    return [dict(row) if isinstance(row, Mapping) else row for row in prompts]


def no_hack(completions: Sequence[str]) -> list[bool]:
    """The detector where nothing can be exploited, so that no completion is a hack."""
    return [False] * len(completions)
