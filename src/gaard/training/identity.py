"""What tells one run from another, and by which code it was made: the content of ``run.json``."""

import hashlib
import importlib.metadata
import json
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gaard
from gaard.disclosure import redacted_command
from gaard.version import ALGORITHM_VERSION, __version__

if TYPE_CHECKING:  # a typo in a study should not wait for torch
    import torch

# Settings that a run's results do not depend on, or that stand in its record by their content: of model, rewards and
# prompts it is not the names that count.
HOW_IT_RUNS = (
    "output_dir overwrite accept_changed_rewards report_to save_steps save_total_limit save_only_model progress "
    "gradient_checkpointing eval_steps reward_timeout on_divergence sharpness_steps"
)
BY_CONTENT = (
    "model prompts eval_prompts scenario reward_funcs reward_weights honeypot true_reward_funcs hack_detector "
    "judge_reward_funcs"
)
OF_HUB = ("push_to_hub", "hub_model_id", "hub_private_repo")  # where the model goes afterwards
NOT_IDENTITY = frozenset((*HOW_IT_RUNS.split(), *BY_CONTENT.split(), *OF_HUB))
DETERMINING = ("algorithm", "model_sha256", "model_setup", "rewards", "prompts")
EVAL_PROMPTS = "eval_prompts"  # a fact of the same kind, of runs that are measured on other prompts than they train on


def determining(record: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a run's record that its results depend on.

    Args:
        record: As ``run.json`` holds it: ``config`` and the facts beside it.

    Returns:
        Flat: every setting that counts, and :func:`determining_facts`.
    """
    return {**determining_settings(record["config"]), **determining_facts(record)}


def determining_facts(record: Mapping[str, Any]) -> dict[str, Any]:
    """The facts beside the settings that a run's results depend on.

    Args:
        record: As ``run.json`` holds it.

    Returns:
        Those of ``DETERMINING``, and the prompts that are measured if they are others than those that train.
    """
    return {key: record[key] for key in (*DETERMINING, EVAL_PROMPTS) if key in record or key != EVAL_PROMPTS}


def determining_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a run's results depend on.

    Args:
        config: All of them, as ``run.json`` holds them.

    Returns:
        Those that count.
    """
    return {key: value for key, value in config.items() if key not in NOT_IDENTITY}


def fingerprint(record: Mapping[str, Any]) -> str:
    """A short hash of all that a run's results depend on: settings, algorithm, model, rewards and prompts.

    Args:
        record: As ``run.json`` holds it.

    Returns:
        12 hexadecimal digits.
    """
    return hashlib.sha256(json.dumps(determining(record), sort_keys=True).encode()).hexdigest()[:12]


def code_facts(device: "torch.device") -> dict[str, Any]:
    """By what a run is made: versions, commit, machine, command, the directory that it was given in, and date (UTC).

    They tell why numbers differ in their last digits, and what relative paths are relative to. Secrets of the command
    are left out.

    Args:
        device: That the run is on.

    Returns:
        JSON-serialisable.
    """
    import numpy
    import torch

    cuda = device.type == "cuda"
    return {
        "gaard": __version__,
        "algorithm": ALGORITHM_VERSION,
        **_checkout(Path(gaard.__file__).resolve().parent),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "python": platform.python_version(),
        "transformers": importlib.metadata.version("transformers"),
        "device": torch.cuda.get_device_name(device) if cuda else device.type,
        "processor": _processor(),
        "threads": torch.get_num_threads(),
        "command": shlex.join(redacted_command([Path(sys.argv[0]).name, *sys.argv[1:]])),
        "directory": str(Path.cwd()),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _processor() -> str:
    """The model of the CPU, whose instructions decide how sums are rounded."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # no Linux
        return platform.processor() or platform.machine()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())


def made_by(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Of :func:`code_facts` what tells code and machine, without what was asked of them, where and when."""
    return {key: value for key, value in facts.items() if key not in ("command", "directory", "date")}


def _checkout(package: Path) -> dict[str, Any]:
    """Commit and whether it was changed since, where the package lies in a checkout of its own."""
    root = package.parents[1]
    if not (root / ".git").exists():
        return {}
    commit, changes = (_git(root, *words) for words in (("rev-parse", "HEAD"), ("status", "--porcelain", "src")))
    return {} if commit is None or changes is None else {"commit": commit, "dirty": bool(changes)}


def _git(root: Path, *words: str) -> str | None:
    """What a git command prints; None without git."""
    try:
        done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
