"""What a comparison is made of: scenarios × arms × seeds, as one YAML file or one call states it."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from gaard.errors import ConfigError
from gaard.lab.arms import UNTRAINED, Arm, find_arms
from gaard.lab.files import read_mapping
from gaard.lab.scenarios import find_scenario
from gaard.lab.spec import RunSpec
from gaard.training.config import check_keys, suggest

KEYS = ("summary", "scenarios", "arms", "seeds", "baseline", "settings")
OWN_SETTINGS = ("scenario", "seed", "output_dir", "overwrite")
SPARING = {"save_total_limit": 1}  # a study is many runs: each keeps one checkpoint, unless told otherwise
OWN_WORLD = "custom"  # what tables call the world that settings state, where no scenario has a name


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
        worlds: Label → settings of the scenario.
        arms: The arms; their settings override all others.
        seeds: The seeds, the same for each scenario and arm.
        settings: Of every run; they override the scenario's.
        summary: One line.
        about: Label → ``summary``, ``hack`` and ``control`` of the scenario, in words.
        baseline: Name of the arm that others are compared with; by default the first.
    """

    worlds: Mapping[str, Mapping[str, Any]]
    arms: Sequence[Arm]
    seeds: Sequence[int]
    settings: Mapping[str, Any] = field(default_factory=dict)
    summary: str = ""
    about: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    baseline: str = ""

    def __post_init__(self) -> None:
        """Fill in the baseline.

        Raises:
            ConfigError: If it is none of the arms.
        """
        names = [arm.name for arm in self.arms]
        object.__setattr__(self, "baseline", self.baseline or names[0])
        if self.baseline not in names:
            raise ConfigError(f"baseline={self.baseline!r} is none of the arms: {suggest(str(self.baseline), names)}")

    @property
    def controls(self) -> list[str]:
        """Labels of its scenarios that are a control: there nothing can be exploited, and the tax is measured."""
        named = {words.get("control") for words in self.about.values()}
        return [label for label in self.worlds if label in named]

    def specs(self, folder: Path) -> dict[RunKey, RunSpec]:
        """Every run, seed by seed, so that a study that is cut short has whole seeds to show.

        Args:
            folder: The study's folder.

        Returns:
            Key → settings, the untrained model's before the arms'.

        Raises:
            ConfigError: For settings that no run could use.
        """
        arms: dict[str, Mapping[str, Any]] = {UNTRAINED: {}, **{arm.name: arm.settings for arm in self.arms}}
        specs = {}
        for seed in self.seeds:
            for label, world in self.worlds.items():
                for arm, own in arms.items():
                    key = RunKey(label, arm, seed)
                    settings = {**SPARING, **world, **self.settings, **own, "seed": seed}
                    try:
                        specs[key] = RunSpec(**{**settings, "output_dir": str(folder / key.folder)})
                    except ConfigError as error:
                        raise ConfigError(f"arm {arm!r}: {error}" if own else str(error)) from None
        if not all(spec.eval_completions for spec in specs.values()):
            raise ConfigError("eval_completions=0 leaves a comparison nothing to compare: make it 1 or more")
        return specs

    def record(self) -> dict[str, Any]:
        """What was studied, for ``results.json``."""
        return {
            "summary": self.summary,
            "scenarios": {label: dict(world) for label, world in self.worlds.items()},
            "about": {label: dict(words) for label, words in self.about.items()},
            "arms": [asdict(arm) for arm in self.arms],
            "seeds": list(self.seeds),
            "baseline": self.baseline,
            "settings": {key: value for key, value in self.settings.items() if key not in OWN_SETTINGS},
        }


def build_study(
    scenarios: Iterable[str],
    arms: object,
    seeds: Iterable[int],
    settings: Mapping[str, Any],
    summary: str = "",
    baseline: str = "",
) -> Study:
    """A study, checked.

    Args:
        scenarios: Names or paths as ``find_scenario`` takes them; none where ``settings`` state the world.
        arms: What :func:`gaard.lab.arms.find_arms` takes.
        seeds: Distinct whole numbers.
        settings: Fields of a run, of every run.
        summary: One line.
        baseline: Name of the arm that others are compared with; the first if left out.

    Returns:
        The study.

    Raises:
        ConfigError: Naming what cannot be used.
    """
    names, seeds = list(scenarios), list(seeds)
    if own := next((key for key in settings if key in OWN_SETTINGS), None):
        raise ConfigError(f"settings hold {own!r}, which a study sets for each run: take it out")
    found = {_label(name): find_scenario(name) for name in names}
    worlds = {label: scenario.settings() for label, scenario in found.items()} or {OWN_WORLD: {}}
    about = {
        label: {
            "summary": scenario.summary,
            "hack": scenario.hack,
            "control": _label(scenario.control) if scenario.control else "",
        }
        for label, scenario in found.items()
    }
    if names and len(worlds) < len(names):
        raise ConfigError(f"scenarios={names!r} names one twice, or two whose folders would have the same name")
    if not seeds or not all(isinstance(seed, int) and not isinstance(seed, bool) and seed >= 0 for seed in seeds):
        raise ConfigError(f"seeds={seeds!r} must be some whole numbers, 0 or more")
    if len(set(seeds)) < len(seeds):
        raise ConfigError(f"seeds={seeds!r} names a seed twice")
    return Study(worlds, find_arms(arms), seeds, dict(settings), summary, about, baseline)


def study_of_settings(settings: Mapping[str, Any], arms: object, seeds: Iterable[int]) -> Study:
    """A study of one world: the scenario that the settings name, or model, prompts and rewards that they state.

    Args:
        settings: Fields of a run; those that are given override the scenario's.
        arms: As for :func:`build_study`.
        seeds: Likewise.

    Returns:
        The study.

    Raises:
        ConfigError: Naming what cannot be used.
    """
    name = settings.get("scenario")
    study = build_study([name] if name else [], arms, seeds, {})
    return replace(study, settings=dict(settings))


def read_study(path: str | Path) -> Study:
    """A study as a YAML file states it.

    Args:
        path: A file with ``scenarios``, ``arms``, ``seeds`` (a number, counted from 0, or a list), and perhaps
            ``settings`` of every run, a ``summary``, and the ``baseline``, the arm that others are compared with.

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
    check_keys(settings, [f.name for f in fields(RunSpec)], f"study {path}, settings")
    seeds = list(range(seeds)) if isinstance(seeds, int) else seeds
    if not content["scenarios"]:
        raise ConfigError(f"study {path}: scenarios is empty: name some (gaard scenarios)")
    words = {key: str(content.get(key) or "") for key in ("summary", "baseline")}
    return build_study(content["scenarios"], content["arms"], seeds, settings, **words)


def _label(name: Any) -> str:
    """A scenario's name as a folder's."""
    return re.sub(r"[^\w.=+-]+", "-", str(name).removesuffix(".py")).strip("-.") or OWN_WORLD
