"""A whole run as a file or a command line can state it: settings, model, prompts, rewards."""

import json
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from gaard.errors import ConfigError
from gaard.rewards import build_rewards
from gaard.training.config import GAAConfig, check_keys
from gaard.training.trainer import GAATrainer


@dataclass
class RunSpec(GAAConfig):
    """Everything that ``gaard train`` can be told.

    Attributes:
        model: Alias (gaard models list), hub id, folder or GGUF file.
        prompts: Prompts, or the path of a file: .txt with one a line, or .jsonl with rows of prompt and columns.
        reward_funcs: The proxy that trains, one or a list: lexicon, human, file.py:function, or a classification model.
        reward_weights: One a reward function; 1 each if left out.
        honeypot: Puts a honeypot over the sum of the rewards: word, mode (capped or uncapped), bonus, base_weight.
        true_reward_funcs: What the reward should have been; the proxy without its honeypot if left out.
    """

    model: str = "smollm2-135m"
    prompts: list[str] | str = field(default_factory=list)
    reward_funcs: list[str] | str = field(default_factory=lambda: ["lexicon"])
    reward_weights: list[float] | None = None
    honeypot: dict[str, Any] | None = None
    true_reward_funcs: list[str] | str | None = None


def read_config(path: str | Path) -> dict[str, Any]:
    """The settings in a YAML file.

    Args:
        path: The file.

    Returns:
        Field → value, every field known.

    Raises:
        ConfigError: If the file is missing, is not a mapping, or has a key that no field has.
    """
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"--config {path}: {error.strerror}: check the path") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"--config {path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"--config {path} must hold 'key: value' lines, not {type(content).__name__}")
    check_keys(content, [f.name for f in fields(RunSpec)], str(path))
    return content


def build_trainer(spec: RunSpec) -> GAATrainer:
    """The trainer of a run.

    Args:
        spec: The run.

    Returns:
        A trainer that has checked everything and trained nothing.

    Raises:
        ConfigError: For settings, prompts or rewards that cannot be used.
        ModelError: For a model that cannot be loaded or trained.
    """
    dataset = read_prompts(spec.prompts)
    proxy = build_rewards(_names(spec.reward_funcs), spec.reward_weights, spec.honeypot)
    true = None if spec.true_reward_funcs is None else build_rewards(_names(spec.true_reward_funcs))
    return GAATrainer(spec.model, proxy, spec, dataset, true_reward_funcs=true)


def _names(given: list[str] | str) -> list[str]:
    """One name as a list."""
    return [given] if isinstance(given, str) else given


def read_prompts(prompts: list[str] | str) -> list[Any]:
    """Prompts as given, or from the file that is named.

    Args:
        prompts: A list, or a path.

    Returns:
        Strings, or rows with a ``prompt``.

    Raises:
        ConfigError: If there are none, or the file cannot be read.
    """
    if not prompts:
        raise ConfigError("prompts is empty: give a list of prompts, or the path of a .txt or .jsonl file")
    if not isinstance(prompts, str):
        return list(prompts)
    path = Path(prompts)
    try:
        # Not splitlines(), which also splits at line separators inside a prompt.
        lines = [line for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
    except OSError as error:
        raise ConfigError(f"prompts={prompts!r}: {error.strerror}: give a list, or the path of a file") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"prompts={prompts!r} is not text in UTF-8 ({error}): save it as such") from None
    if path.suffix != ".jsonl":
        return lines
    try:
        return [json.loads(line) for line in lines]
    except ValueError as error:
        raise ConfigError(f"prompts={prompts!r} is not JSON, one row a line: {error}") from None
