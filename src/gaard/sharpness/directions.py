"""Directions in which to look at a function."""

import torch
from torch import Tensor

from gaard.sharpness.block import Block, joined
from gaard.sharpness.invariant import filter_norms


def random_direction(block: Block, generator: torch.Generator) -> Tensor:
    """Random, each filter as long as the weights' own (Li et al., 2018, "filter normalisation").

    Li et al. do not move biases and the weights of normalisation. Here they move, each vector as one filter.

    Args:
        block: N parameters.
        generator: On the CPU.

    Returns:
        [N]. A step of 1 along it changes each filter by its own length.
    """
    parts = []
    for tensor in block.tensors:
        drawn = torch.randn(tensor.shape, generator=generator, dtype=torch.float64).to(tensor)
        lengths = filter_norms(drawn)
        parts.append(torch.where(lengths > 0, drawn / lengths, drawn) * filter_norms(tensor.detach()))
    return joined(parts)


def of_length(direction: Tensor, length: float) -> Tensor:
    """A direction with another length.

    Args:
        direction: [N].
        length: Euclidean.

    Returns:
        [N]; zeros for a direction of no length.
    """
    norm = direction.norm()
    return direction * (length / norm) if float(norm) > 0 else torch.zeros_like(direction)
