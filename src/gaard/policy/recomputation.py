"""Activations that are computed again for the gradient instead of kept, where the user asked for it."""

import functools
from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers.modeling_layers import GradientCheckpointingLayer


@contextmanager
def recomputed(lm: nn.Module) -> Iterator[None]:
    """Meanwhile, forwards keep the input alone of each layer for which ``gradient_checkpointing_enable`` was called.

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
