"""What a model's configuration says of its size, held against its weights before room is made for them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from transformers import AutoConfig, AutoModelForCausalLM

from gaard.errors import ModelError

LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
WIDTHS = ("hidden_size", "n_embd", "d_model")
TABLES = ("vocab_size", "intermediate_size")  # each stands beside the width in one matrix at the least
SPARE = 2**20  # numbers that a model may have beyond twice those of its files, where two weights are one
BUFFERS = 2**26  # numbers of what is computed and not saved, such as angles of positions


def check_claims(folder: Path) -> None:
    """Refuse a configuration that asks for far more than its safetensors files hold.

    transformers builds what a configuration says, and fills what the files lack with random numbers: a number too many
    in ``config.json`` would take all memory of the machine. Weights that are packed are not counted.

    Args:
        folder: Of a model.

    Raises:
        ModelError: Naming the setting, its value and what there is.
    """
    try:
        config: Any = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return  # transformers says what is wrong
    if not isinstance(config, dict) or "quantization_config" in config:
        return
    inner = config.get("text_config")
    config = {**config, **inner} if isinstance(inner, dict) else config
    tensors, weights = _held(folder)
    width = next((config[name] for name in WIDTHS if isinstance(config.get(name), int)), 1)
    for name in (*LAYERS, *WIDTHS, *TABLES):
        claimed = config.get(name)
        if not isinstance(claimed, int):
            continue
        least = claimed * width if name in TABLES else claimed
        most, what = (tensors, "tensors") if name in LAYERS else (weights, "weights")
        if least > most:
            raise ModelError(
                f"{folder / 'config.json'}: {name}={claimed} is more than its files can hold, {most:,} {what}: they "
                "do not belong together. Copy the whole folder again"
            )
    try:
        found: Any = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        check_built(found, weights)
    except ModelError as error:
        raise ModelError(f"{folder / 'config.json'}: {error}. Copy the whole folder again") from None
    except Exception:  # transformers says what is wrong when it is to load it
        return


def check_built(config: Any, weights: int) -> None:
    """Refuse a configuration whose model is far larger than what there is to fill it; takes no memory for weights.

    Args:
        config: As transformers reads it.
        weights: How many numbers the files hold.

    Raises:
        ModelError: Saying how many the model would have.
    """
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    parameters = sum(one.numel() for one in model.parameters())
    buffers = sum(one.numel() for one in model.buffers())
    if parameters > 2 * weights + SPARE or buffers > 2 * weights + BUFFERS:
        raise ModelError(
            f"its model would have {parameters:,} weights and {buffers:,} numbers beside them, and its files hold "
            f"{weights:,}: they do not belong together"
        )


def check_index(folder: Path) -> None:
    """Refuse an index of weights that names anything but safetensors files of its own folder.

    transformers reads a shard by its ending: one that is pickled would go to ``torch.load``.

    Args:
        folder: Of a model.

    Raises:
        ModelError: Naming the file.
    """
    for path in folder.glob("*.index.json"):
        try:
            named = json.loads(path.read_text(encoding="utf-8"))["weight_map"].values()
        except (OSError, ValueError, RecursionError, TypeError, KeyError, AttributeError):
            raise ModelError(f"{path} is no index of weights: copy the whole folder again") from None
        for name in named:
            if not isinstance(name, str) or Path(name).name != name or not name.endswith(".safetensors"):
                raise ModelError(f"{path} names {name!r}, and gaard reads safetensors files of the same folder alone")


def _held(folder: Path) -> tuple[int, int]:
    """How many tensors and weights the files of a folder hold, by their headers."""
    tensors = weights = 0
    for path in folder.glob("*.safetensors"):
        try:
            with safe_open(path, framework="pt") as file:
                for name in file.keys():  # noqa: SIM118  # it is no mapping
                    tensors, weights = tensors + 1, weights + math.prod(file.get_slice(name).get_shape())
        except (OSError, SafetensorError) as error:
            raise ModelError(f"cannot load the model in {folder}: {path.name}: {error}") from error
    return tensors, weights
