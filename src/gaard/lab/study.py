"""What a comparison is made of: scenarios × arms × seeds, as one YAML file or one call states it."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gaard.errors import ConfigError
from gaard.lab.arms import OF_ARMS, UNTRAINED, Arm
from gaard.lab.catalogue import check_scenario_name
from gaard.lab.given_arms import find_arms
from gaard.lab.spec import RunSpec, check_given, check_settings, layered
from gaard.settings import check_keys, suggest
from gaard.training.identity import OF_HUB, determining_settings
from gaard.yaml_files import read_mapping

if TYPE_CHECKING:  # no typo should wait for torch
    from gaard.lab.scenario import Scenario

KEYS = ("summary", "scenarios", "arms", "seeds", "baseline", "settings")
OWN_SETTINGS = ("scenario", "seed", "output_dir", "overwrite")
# A study is many runs: each keeps one checkpoint, at the end without the optimizer, unless told otherwise.
SPARING = {"save_total_limit": 1, "save_only_model": True}
OWN_SCENARIO = "custom"  # what tables call the scenario that settings state, where no scenario has a name


@dataclass(frozen=True)
class RunKey:
    """Which run of a study.

    Attributes:
        scenario: Label of its scenario.
        arm: Name of its arm, or ``untrained``.
        seed: Its seed.
    """

    scenario: str
    arm: str
    seed: int

    @property
    def folder(self) -> str:
        """Of its files, in the study's folder."""
        return f"{self.scenario}/{self.arm}-seed{self.seed}"

    def __str__(self) -> str:
        return f"{self.scenario}, {self.arm}, seed {self.seed}"


@dataclass(frozen=True)
class Study:
    """Scenarios × arms × seeds, all else the same.

    Attributes:
        scenarios: Label → settings of the scenario.
        arms: The arms; their settings override all others.
        seeds: The seeds, the same for each scenario and arm.
        settings: Of every run; they override the scenario's.
        baseline: Name of the arm that the others are compared with.
        summary: One line.
        about: Label → ``summary``, ``hack`` and ``control`` of the scenario, in words.
        left_out: Scenario and arm, pairs that cannot be, such as an ensemble of one reward: they are not run.
    """

    scenarios: Mapping[str, Mapping[str, Any]]
    arms: Sequence[Arm]
    seeds: Sequence[int]
    baseline: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    summary: str = ""
    about: Mapping[str, Mapping[str, str | None]] = field(default_factory=dict)
    left_out: Sequence[tuple[str, str]] = ()

    @property
    def controls(self) -> list[str]:
        """Labels of its scenarios that are a control: there nothing can be exploited, and the tax is measured."""
        named = {words.get("control") for words in self.about.values()}
        return [label for label in self.scenarios if label in named]

    def specs(self, folder: Path) -> dict[RunKey, RunSpec]:
        """Every run, seed by seed, so that a study that is cut short has whole seeds to show.

        Args:
            folder: The study's folder.

        Returns:
            Key → settings, the untrained model's before the arms'.

        Raises:
            ConfigError: For settings that no run could use, or that make one run of two arms.
        """
        arms = {UNTRAINED: None, **{arm.name: arm for arm in self.arms}}
        specs = {}
        for seed in self.seeds:
            for label, scenario in self.scenarios.items():
                for name, arm in arms.items():
                    if (label, name) in self.left_out:
                        continue
                    key = RunKey(label, name, seed)
                    settings = layered(SPARING, scenario, self.settings)
                    settings = {**settings, "max_steps": 0} if arm is None else arm.over(settings)
                    run = {"seed": seed, "output_dir": str(folder / key.folder)}
                    try:
                        specs[key] = RunSpec(**{**settings, **run})
                    except ConfigError as error:
                        raise ConfigError(str(error) if arm is None else f"arm {name!r}: {error}") from None
        if not all(spec.eval_completions for spec in specs.values()):
            raise ConfigError("eval_completions=0 leaves a comparison nothing to compare: make it 1 or more")
        _check_apart(specs)
        return specs

    def record(self) -> dict[str, Any]:
        """What was studied, for ``results.json``."""
        return {
            "summary": self.summary,
            "scenarios": {label: dict(settings) for label, settings in self.scenarios.items()},
            "about": {label: dict(words) for label, words in self.about.items()},
            "arms": [arm.record() for arm in self.arms],
            "left_out": [list(pair) for pair in self.left_out],
            "baseline": self.baseline,
            "seeds": list(self.seeds),
            "settings": {key: value for key, value in self.settings.items() if key not in OWN_SETTINGS},
        }


def build_study(
    scenarios: Iterable[str],
    arms: object,
    seeds: Iterable[int],
    settings: Mapping[str, Any],
    summary: str = "",
    baseline: str | None = None,
) -> Study:
    """A study, checked.

    Args:
        scenarios: Names or paths as ``find_scenario`` takes them; none where ``settings`` state it.
        arms: What :func:`gaard.lab.given_arms.find_arms` takes.
        seeds: Distinct whole numbers.
        settings: Fields of a run, of every run.
        summary: One line.
        baseline: Name of the arm that the others are compared with; by default the first.

    Returns:
        The study.

    Raises:
        ConfigError: Naming what cannot be used.
    """
    names, seeds = list(scenarios), list(seeds)
    if own := next((key for key in settings if key in OWN_SETTINGS), None):
        raise ConfigError(f"settings hold {own!r}, which a study sets for each run: take it out")
    _check_no_method(settings)
    found_arms = find_arms(arms)
    arm_names = [arm.name for arm in found_arms]
    if baseline is not None and baseline not in arm_names:
        raise ConfigError(f"baseline={baseline!r} is none of the arms: {suggest(str(baseline), arm_names)}")
    _check_seeds(seeds)
    for name in names:
        check_scenario_name(name)
    from gaard.lab.scenarios import find_scenario  # imports torch, which no typo should wait for

    found = {_label(name): find_scenario(name) for name in names}
    scenarios = {label: scenario.settings() for label, scenario in found.items()} or {OWN_SCENARIO: {}}
    controls = {label: _label(scenario.control) if scenario.control else None for label, scenario in found.items()}
    about = {label: {**scenario.about(), "control": controls[label]} for label, scenario in found.items()}
    if names and len(scenarios) < len(names):
        raise ConfigError(f"scenarios={names!r} names one twice, or two whose folders would have the same name")
    left_out = _that_cannot_be(found, found_arms)
    return Study(scenarios, found_arms, seeds, baseline or arm_names[0], dict(settings), summary, about, left_out)


def _that_cannot_be(scenarios: Mapping[str, "Scenario"], arms: Sequence[Arm]) -> tuple[tuple[str, str], ...]:
    """Scenario and arm: an ensemble where there are not several rewards, features where the reward tells none.

    An arm that can be in none is kept: its runs fail and say why.
    """
    from gaard.rewards.features import has_features  # imports torch

    found: list[tuple[str, str]] = []
    for arm in arms:
        ensemble = any(one.trains_on_ensemble for one in arm.regularizers)
        features = arm.method.observes.reward_features
        pairs = [
            (label, arm.name)
            for label, scenario in scenarios.items()
            if (ensemble and scenario.ensemble is None) or (features and not has_features(scenario.proxy))
        ]
        found += pairs if len(pairs) < len(scenarios) else []
    return tuple(found)


def _check_seeds(seeds: list[int]) -> None:
    """Distinct whole numbers."""
    if not seeds or not all(isinstance(seed, int) and not isinstance(seed, bool) and seed >= 0 for seed in seeds):
        raise ConfigError(f"seeds={seeds!r} must be some whole numbers, 0 or more")
    if len(set(seeds)) < len(seeds):
        raise ConfigError(f"seeds={seeds!r} names a seed twice")


def study_of_settings(
    settings: Mapping[str, Any], arms: object, seeds: Iterable[int], baseline: str | None = None
) -> Study:
    """A study of one scenario: the one that the settings name, or model, prompts and rewards that they state.

    Args:
        settings: Fields of a run; those that are given override the scenario's.
        arms: As for :func:`build_study`.
        seeds: Likewise.
        baseline: Likewise.

    Returns:
        The study.

    Raises:
        ConfigError: Naming what cannot be used.
    """
    name = settings.get("scenario")
    _check_no_method(settings)
    found = find_arms(arms)
    check_given(settings)
    study = build_study([name] if name else [], found, seeds, {}, baseline=baseline)
    return replace(study, settings=dict(settings))


def _check_apart(specs: Mapping[RunKey, RunSpec]) -> None:
    """Refuse two arms that train the same run, such as ``ppo`` and ``ppo-kl-0.3`` where every run has that kl_coef."""
    first: dict[tuple[str, str], str] = {}
    for key, spec in specs.items():
        if key.arm == UNTRAINED:
            continue
        settings = json.dumps(determining_settings(spec.record()), sort_keys=True)  # the seed is among them
        other = first.setdefault((key.scenario, settings), key.arm)
        if other != key.arm:
            raise ConfigError(
                f"arms {other!r} and {key.arm!r} are the same run in {key.scenario}: leave one out, or take out the "
                "setting that makes them one"
            )


def _check_no_method(settings: Mapping[str, Any]) -> None:
    """What arms say, in the settings of every run, would make the baseline one of what it is compared with."""
    if settings.get("accept_changed_rewards"):
        raise ConfigError(
            "accept_changed_rewards is for a single run: in a study the runs that are done have the old rewards: use "
            "another --out, or --overwrite"
        )
    if hub := next((key for key in OF_HUB if settings.get(key)), None):
        raise ConfigError(f"{hub} is for a single run: a study keeps no models: take it out, and use gaard train")
    own = next((key for key in settings if key in OF_ARMS), None)
    if own == "trained_reward":
        raise ConfigError(
            f"{own}={settings[own]!r} is given to every run, and it is an arm that says which reward trains: take it "
            "out; arm oracle trains on the true one"
        )
    if own is not None:
        raise ConfigError(
            f"{own}={settings[own]!r} is given to every run, and each arm states its whole method: take it out, or "
            "state an arm of your own (docs/lab.md), such as {name: mine, method: {name: fold, threshold: 2}}"
        )


def read_study(path: str | Path) -> Study:
    """A study as a YAML file states it.

    Args:
        path: A file with ``scenarios``, ``arms``, ``seeds`` (a number, counted from 0, or a list), and perhaps
            ``settings`` of every run, a ``summary``, and the ``baseline``, the first arm if left out.

    Returns:
        The study.

    Raises:
        ConfigError: If the file is missing or not such a mapping, naming the key.
    """
    content = read_mapping(path, f"study {path}")
    check_keys(content, KEYS, f"study {path}")
    for key in ("scenarios", "arms"):
        if not isinstance(content.get(key), list):
            raise ConfigError(f"study {path}: {key}={content.get(key)!r} must be a list")
    seeds: Any = content.get("seeds")
    counted = isinstance(seeds, int) and not isinstance(seeds, bool) and seeds > 0
    if not counted and not isinstance(seeds, list):
        raise ConfigError(f"study {path}: seeds={seeds!r} must be a list, or how many there are, 1 or more")
    settings = {} if content.get("settings") is None else content["settings"]
    if not isinstance(settings, dict):
        raise ConfigError(f"study {path}: settings={settings!r} must hold 'key: value' lines")
    check_settings(settings, [f.name for f in fields(RunSpec)], f"study {path}, settings")
    seeds = list(range(seeds)) if isinstance(seeds, int) else seeds
    if not content["scenarios"]:
        raise ConfigError(f"study {path}: scenarios is empty: name some (gaard scenarios)")
    summary, baseline = str(content.get("summary", "")), content.get("baseline")
    return build_study(content["scenarios"], content["arms"], seeds, settings, summary, baseline)


def _label(name: Any) -> str:
    """A scenario's name as a folder's."""
    return re.sub(r"[^\w.=+-]+", "-", str(name).removesuffix(".py")).strip("-.") or OWN_SCENARIO
