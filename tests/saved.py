"""What is kept of a forward for its gradient."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer


def saved_bytes(model: nn.Module, forward: Callable[[], Any]) -> int:
    """Bytes that a forward keeps for its gradient beside the parameters, each storage once.

    Args:
        model: Whose parameters do not count. The inputs of its layers do, which recomputation keeps out of sight.
        forward: The forward; what it returns is dropped.
    """
    own = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    kept: dict[int, torch.Tensor] = {}  # held, so that no place is used twice

    def keep(x: torch.Tensor) -> torch.Tensor:
        kept.setdefault(x.untyped_storage().data_ptr(), x)
        return x

    def keep_input(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        keep(inputs[0])

    layers = [layer for layer in model.modules() if isinstance(layer, GradientCheckpointingLayer)]
    handles = [layer.register_forward_pre_hook(keep_input) for layer in layers]
    try:
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
            forward()
    finally:
        for handle in handles:
            handle.remove()
    return sum(x.untyped_storage().nbytes() for pointer, x in kept.items() if pointer not in own)
