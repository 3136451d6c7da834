"""Activations that are computed again for the gradient instead of kept, where the user asked for it."""

import functools
from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers.modeling_layers import GradientCheckpointingLayer

from gaard.errors import ConfigError


def recompute_layers(lm: nn.Module) -> None:
    """Have the layers of a model computed again for the gradient.

    Args:
        lm: The model, changed in place as its own ``activation_checkpointing_enable`` changes it.

    Raises:
        ConfigError: If it has no layers for it.
    """
    layers = [layer for layer in lm.modules() if isinstance(layer, GradientCheckpointingLayer)]
    if not layers:
        raise ConfigError(
            f"gradient_checkpointing=True: {type(lm).__name__} has no layers that can be computed again: leave it out, "
            "and lower per_device_train_batch_size where memory is short"
        )
    for layer in layers:
        layer.gradient_checkpointing = True


@contextmanager
def recomputed(lm: nn.Module) -> Iterator[None]:
    """Meanwhile, forwards keep the input alone of each layer for which ``gradient_checkpointing`` is on.

    Transformers itself does so in training mode only, in which dropout would be on.

    Args:
        lm: The model; afterwards its layers are what they were.
    """
    layers = [x for x in lm.modules() if isinstance(x, GradientCheckpointingLayer) and x.gradient_checkpointing]
    try:
        for layer in layers:
            # An attribute of the instance comes before the method of its class.
            vars(layer)["forward"] = functools.partial(checkpoint, layer.forward, use_reentrant=False)
        yield
    finally:
        for layer in layers:
            vars(layer).pop("forward", None)
