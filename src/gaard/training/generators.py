"""The state of every generator that a run draws from, as JSON, and back."""

import random
from typing import Any

import numpy as np
import torch
from torch import Tensor


def generator_states(generator: torch.Generator) -> dict[str, Any]:
    """Every generator a run draws from: its own, and the global ones that a reward function may use.

    Args:
        generator: The run's own.

    Returns:
        JSON-serialisable states.
    """
    version, keys, *rest = random.getstate()
    name, numbers, *numpy_rest = np.random.get_state()
    return {
        "run": _to_hex(generator.get_state()),
        "torch": _to_hex(torch.get_rng_state()),
        "cuda": [_to_hex(s) for s in torch.cuda.get_rng_state_all()] if torch.cuda.is_available() else [],
        "python": [version, list(keys), *rest],
        "numpy": [name, np.asarray(numbers).tolist(), *numpy_rest],
    }


def restore_generators(states: dict[str, Any], generator: torch.Generator) -> None:
    """Undo :func:`generator_states`.

    Args:
        states: What it returned.
        generator: The run's own; set in place, like the global ones.
    """
    generator.set_state(_from_hex(states["run"]))
    torch.set_rng_state(_from_hex(states["torch"]))
    if states["cuda"] and len(states["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([_from_hex(state) for state in states["cuda"]])
    version, keys, gauss = states["python"]
    random.setstate((version, tuple(keys), gauss))
    name, numbers, position, has_gauss, cached = states["numpy"]
    np.random.set_state((name, np.array(numbers, dtype=np.uint32), position, has_gauss, cached))


def _to_hex(state: Tensor) -> str:
    return bytes(state.tolist()).hex()


def _from_hex(text: str) -> Tensor:
    return torch.tensor(list(bytes.fromhex(text)), dtype=torch.uint8)
