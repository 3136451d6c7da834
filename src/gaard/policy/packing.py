"""Linear layers in the layout of the machine's products, as long as a rollout lasts.

A CPU multiplies a few rows with a matrix fastest when the matrix lies in the order in which it is read. A general
product has to do without, or rearrange the matrix at every token; a rollout, whose weights stand still, rearranges
it once, into the blocked layout of oneDNN.
"""

import functools
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

SMALLEST = 2**14  # weights of a layer, below which a call takes as long as the product


@contextmanager
def packed(lm: nn.Module, rows: int) -> Iterator[None]:
    """Multiply with packed weights meanwhile: equal but for the order of summation.

    Takes the memory of the linear layers once more. Gradients are not recorded, and weights must not change. Elsewhere
    than on a CPU, or where PyTorch was built without oneDNN, everything stays as it is.

    Args:
        lm: The model; afterwards its layers are what they were.
        rows: Rows that are multiplied at once, about; the layout is chosen for them.
    """
    layers = [layer for layer in lm.modules() if isinstance(layer, nn.Linear | Conv1D) and _packable(layer)]
    try:
        for layer in layers:
            # An attribute of the instance comes before the method of its class.
            vars(layer)["forward"] = functools.partial(_product, _pack(layer, rows), layer.bias)
        yield
    finally:
        for layer in layers:
            vars(layer).pop("forward", None)


def _packable(layer: nn.Linear | Conv1D) -> bool:
    """Whether it is a plain linear layer that oneDNN takes."""
    if type(layer) not in (nn.Linear, Conv1D) or "forward" in vars(layer):
        return False
    weight = layer.weight
    return weight.device.type == "cpu" and weight.numel() >= SMALLEST and _multiplies(weight.dtype)


def _multiplies(dtype: torch.dtype) -> bool:
    """Whether oneDNN is there and multiplies numbers of this kind; bfloat16 takes a processor that does."""
    if dtype == torch.bfloat16:
        return torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.backends.mkldnn.is_available() and dtype == torch.float32


@torch.no_grad()
def _pack(layer: nn.Linear | Conv1D, rows: int) -> Tensor:
    """A layer's weight, [out, in], rearranged."""
    weight = layer.weight if type(layer) is nn.Linear else layer.weight.t().contiguous()
    return torch.ops.mkldnn._reorder_linear_weight(weight.detach(), rows)


def _product(weight: Tensor, bias: Tensor | None, x: Tensor) -> Tensor:
    """X Wᵀ + b."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
