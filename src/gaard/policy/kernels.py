"""All that is done for the speed of a CPU alone, behind one switch; equal but for rounding to what PyTorch does.

The switch is ``Policy(…, cpu_kernels=True)``. Without it nothing here is called, and the user's model stays
as it is. With it:

- linear layers are packed as long as a rollout lasts (:func:`packed`). A CPU multiplies a few rows with a matrix
  fastest when the matrix lies in the order in which it is read. A general product has to do without, or rearrange the
  matrix at every token; a rollout, whose weights stand still, rearranges it once, into the blocked layout of oneDNN;
- the projection to the vocabulary is multiplied by oneDNN (:func:`product`);
- GPT-2's activation is one operation (:func:`fused`), which changes the user's model;
- the process keeps freed memory (:func:`keep_freed_memory`).
"""

import ctypes
import functools
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.activations import NewGELUActivation
from transformers.pytorch_utils import Conv1D

from gaard.method.projection import rows_by_matrix

SMALLEST = 2**14  # weights of a layer, below which a call takes as long as the product
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of glibc's malloc.h


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
            vars(layer)["forward"] = functools.partial(_linear, _pack(layer, rows), layer.bias)
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


def _linear(weight: Tensor, bias: Tensor | None, x: Tensor) -> Tensor:
    """X Wᵀ + b."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


def product(x: Tensor, weight: Tensor) -> Tensor:
    """X Wᵀ of some hundred rows by oneDNN, which is a fifth faster at it than PyTorch's own choice.

    Args:
        x: [N, D].
        weight: [V, D].

    Returns:
        [N, V]; by PyTorch's own choice elsewhere than on a CPU, or for other numbers than float32.
    """
    if x.device.type == "cpu" and x.dtype == torch.float32 and torch.backends.mkldnn.is_available():
        return torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")
    return rows_by_matrix(x, weight)


def fused(lm: PreTrainedModel) -> PreTrainedModel:
    """The model with GPT-2's activation in one operation instead of eight; equal but for rounding.

    Args:
        lm: Changed in place; its configuration and weights stay.

    Returns:
        The model.
    """
    for module in list(lm.modules()):
        for name, child in module.named_children():
            if type(child) is NewGELUActivation:
                setattr(module, name, nn.GELU(approximate="tanh"))
    return lm


def keep_freed_memory() -> bool:
    """Let this process use freed memory again instead of returning it to the system.

    A step frees and allocates the same gradients and activations over and over, and the system hands out every page
    anew, filled with zeros: a tenth of a step of GPT-2 small on two cores.

    Returns:
        Whether the C library could be told (glibc).
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, 2**31 - 1))
