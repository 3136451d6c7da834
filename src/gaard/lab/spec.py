"""A whole run as a file or a command line can state it: settings, and a scenario or model, prompts, rewards."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gaard.errors import ConfigError
from gaard.lab.catalogue import check_scenario_name
from gaard.methods import ESTIMATORS, GAE, METHODS
from gaard.regularizers import REGULARIZERS
from gaard.reward_names import check_function_name, check_reward_name, names_function
from gaard.settings import OF_RUNS, Options, check_keys
from gaard.training.config import GAAConfig
from gaard.training.identity import OF_HUB
from gaard.training.prompt_files import check_prompts, read_prompts
from gaard.training.trl_names import told_of_trl
from gaard.yaml_files import read_mapping

if TYPE_CHECKING:  # help and a typo should not wait for transformers
    from gaard.training.trainer import GAATrainer


@dataclass
class RunSpec(GAAConfig):
    """Everything that ``gaard train`` can be told.

    Attributes:
        scenario: Rewards and settings under one name (gaard scenarios), or a Python file that holds one;
            settings that are given beside it win, rewards cannot be.
        model: Alias (gaard models list), hub id, folder or GGUF file.
        prompts: Prompts, or a .txt, .jsonl, .csv or .parquet file of them, or a data set of the hub, owner/name:split;
            a table has a column prompt, and others for the rewards.
        eval_prompts: Prompts that are measured at the end and never trained on, given as prompts are; by default the
            prompts that train.
        reward_funcs: The proxy that trains, one or a list: lexicon, human, file.py:function, the address of a reward
            server, or a classification model; human if left out.
        reward_weights: One a reward function; 1 each if left out.
        honeypot: Puts a honeypot over the sum of the rewards: word, mode (capped or uncapped), bonus, base_weight,
            after.
        true_reward_funcs: What the reward should have been; the proxy without its honeypot if left out, and unknown
            without one.
        hack_detector: Tells hacks: file.py:function of a list of texts; by the honeypot's word if left out, and unknown
            without one.
        judge_reward_funcs: An independent judge, watched and never trained on.
        push_to_hub: Whether gaard train uploads the model at the end to the Hugging Face hub.
        hub_model_id: The repository there, such as me/my-model; by default the last part of output_dir.
        hub_private_repo: Whether one that is made is private; as the account has it if left out.
    """

    scenario: str | None = None
    model: str = "pocket"
    prompts: list[str | dict[str, Any]] | str = field(default_factory=list)
    eval_prompts: list[str | dict[str, Any]] | str = field(default_factory=list)
    reward_funcs: list[str] | str | None = None
    reward_weights: list[float] | None = None
    honeypot: dict[str, Any] | None = None
    true_reward_funcs: list[str] | str | None = None
    hack_detector: str | None = None
    judge_reward_funcs: list[str] | str | None = None
    push_to_hub: bool = False
    hub_model_id: str | None = None
    hub_private_repo: bool | None = None

    def __post_init__(self) -> None:
        """Check every value, and that rewards are named as rewards can be.

        Raises:
            ConfigError: Naming the field, the value and the remedy.
        """
        super().__post_init__()
        for names in (self.reward_funcs, self.true_reward_funcs, self.judge_reward_funcs):
            for name in [] if names is None else names_of(names):
                check_reward_name(name)
        if not self.push_to_hub and (self.hub_model_id is not None or self.hub_private_repo is not None):
            raise ConfigError(
                f"hub_model_id={self.hub_model_id!r}, hub_private_repo={self.hub_private_repo!r} without push_to_hub: "
                "nothing would be uploaded: add push_to_hub, or leave them out"
            )

    @property
    def repository(self) -> str:
        """Where the model is uploaded to, if it is."""
        return self.hub_model_id or Path(self.output_dir).name

    def record(self) -> dict[str, Any]:
        """Every field as ``run.json`` has it; what JSON has no word for, such as a prompt's date, as a text."""
        return json.loads(json.dumps(super().record(), default=str))


# Fields that hold a name with options of its own, and what each may name.
CHOSEN: dict[str, Mapping[str, type[Options]]] = {
    "method": METHODS,
    "advantages": ESTIMATORS,
    "regularizers": REGULARIZERS,
}
TOGETHER = ("batch_size", "num_mini_batches")  # one of them may be the scenario's
ASKED_ONCE = ("overwrite", "accept_changed_rewards", *OF_HUB)  # of a folder that is there, or of the hub


def layered(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Settings over settings: later ones win, of ``advantages`` by one estimator option by option.

    Args:
        *layers: Fields of a run.

    Returns:
        All of them.
    """
    merged: dict[str, Any] = {}
    for layer in layers:
        below, above = (_options(one.get("advantages")) for one in (merged, layer))
        merged = {**merged, **layer}
        if below is not None and above is not None and below.get("name", GAE.name) == above.get("name", GAE.name):
            merged["advantages"] = {**below, **above}
    return merged


def _options(given: Any) -> Mapping[str, Any] | None:
    """An estimator's options, its name among them; None for what is neither a name nor a mapping."""
    given = {"name": given} if isinstance(given, str) else given
    return given if isinstance(given, Mapping) else None


def check_settings(
    given: Iterable[Any], known: Iterable[str], where: str, dashes: str = "", listed: str = OF_RUNS
) -> None:
    """Refuse keys that no field of a run has, telling of an option by which name it is to be given.

    Args:
        given: Keys found.
        known: Fields.
        where: The file or place they were found in.
        dashes: What stands before a field there.
        listed: A command that lists the fields.

    Raises:
        ConfigError: Naming the first unknown key, and where it belongs or its nearest neighbour.
    """
    known = list(known)
    for key in given:
        place = None if key in known else _place(key)
        if place is not None:
            raise ConfigError(f"{where}: {key!r} is no field of a run: give it as {_spelled(*place, dashes)}")
        if told := told_of_trl(key) if key not in known else "":
            raise ConfigError(f"{where}: {told}")
        check_keys([key], known, where, listed)


def _place(key: Any) -> tuple[str, str, str] | None:
    """Field, name and option that a key belongs to, if it is an option."""
    for field_name, kinds in CHOSEN.items():
        owners = [name for name, kind in kinds.items() if key in {one.name for one in fields(kind)}]
        if owners:
            return field_name, " or ".join(owners), key
    return None


def _spelled(field_name: str, name: str, option: str, dashes: str) -> str:
    """How an option is given: on the command line, or in YAML."""
    stated = f"{{name: {name}, {option}: …}}"
    stated = f"[{stated}]" if field_name == "regularizers" else stated
    if not dashes:
        return f"{field_name}: {stated}"
    if field_name == "regularizers":
        return f"{dashes}{field_name} '{stated}'"
    method = f"{dashes}method {name} " if field_name == "method" else ""
    return f"{method}{dashes}{field_name}.{option} …"


def read_config(path: str | Path) -> dict[str, Any]:
    """The settings in a YAML file, or those of a run in its ``run.json``.

    Args:
        path: The file.

    Returns:
        Field → value, every field known; of a run without its folder.

    Raises:
        ConfigError: If the file is missing, is not a mapping, or has a key that no field has.
    """
    content = read_mapping(path, f"--config {path}")
    if Path(path).suffix == ".json" and isinstance(content.get("config"), Mapping):
        content = _of_run(content["config"], path)
    check_settings(content, [f.name for f in fields(RunSpec)], str(path))
    return content


def _of_run(config: Mapping[str, Any], path: str | Path) -> dict[str, Any]:
    """The settings of a run, without its folder and what was asked of that.

    Raises:
        ConfigError: If they do not say what was trained on what.
    """
    if "prompts" not in config:
        raise ConfigError(
            f"{path} is of a run that a script made, whose rewards and prompts are not in it: run the script again"
        )
    return {key: value for key, value in config.items() if key not in ("output_dir", *ASKED_ONCE)}


def check_given(settings: Mapping[str, Any]) -> None:
    """Refuse what can be refused of settings before torch is imported and the scenario completes them.

    Args:
        settings: Fields of a run.

    Raises:
        ConfigError: For a value that cannot be, or a name of a scenario, of prompts or of a file that is not there.
    """
    if settings.get("scenario"):
        check_scenario_name(settings["scenario"])
    alone = {key: value for key, value in settings.items() if key not in TOGETHER}
    spec = RunSpec(**{"output_dir": "unused", **alone})
    if spec.prompts or not spec.scenario:
        check_prompts(spec.prompts)
    if spec.eval_prompts:
        check_prompts(spec.eval_prompts, "eval_prompts")
    for names in (spec.reward_funcs, spec.true_reward_funcs, spec.judge_reward_funcs):
        for name in [] if names is None else names_of(names):
            if name.endswith(".py") or names_function(name):
                check_function_name(name, f"the reward {name!r}")
    if spec.hack_detector is not None:
        check_function_name(spec.hack_detector, f"hack_detector={spec.hack_detector!r}")


def build_trainer(spec: RunSpec) -> "GAATrainer":
    """The trainer of a run.

    Args:
        spec: The run.

    Returns:
        A trainer that has checked everything and trained nothing.

    Raises:
        ConfigError: For settings, prompts or rewards that cannot be used.
        ModelError: For a model that cannot be loaded or trained.
    """
    from gaard.lab.spec_rewards import all_rewards
    from gaard.training.trainer import GAATrainer

    dataset = read_prompts(spec.prompts)
    proxy, rewards = all_rewards(spec)
    held_out = read_prompts(spec.eval_prompts, "eval_prompts") if spec.eval_prompts else None
    return GAATrainer(spec.model, proxy, spec, dataset, eval_dataset=held_out, **rewards)


def names_of(given: list[str] | str) -> list[str]:
    """One name as a list.

    Args:
        given: One or several.

    Returns:
        Them all.
    """
    return [given] if isinstance(given, str) else given
