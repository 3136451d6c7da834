"""What a model's configuration says of its size, held against its weights before room is made for them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from gaard.errors import ModelError

LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
WIDTHS = ("hidden_size", "n_embd", "d_model")
TABLES = ("vocab_size", "intermediate_size")  # each stands beside the width in one matrix at the least


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
