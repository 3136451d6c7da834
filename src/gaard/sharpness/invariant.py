"""Curvature in units of the weights themselves, which no rescaling of whole layers changes.

Raw curvature can be made anything by rescaling two layers that undo one another (Dinh et al., 2017): ReLU networks
compute the same with W₁·c and W₂/c. Here the Hessian is taken in scaled coordinates, T H T. A single neuron can be
rescaled, too, its row of W₁ by c and its column of W₂ by 1/c: that leaves :func:`adaptive_scale` as it is, and changes
what :func:`filter_scale` gives.
"""

import torch
from torch import Tensor

from gaard.sharpness.block import Block, joined
from gaard.sharpness.products import Product


def adaptive_scale(block: Block) -> Tensor:
    """T = diag(|w|), that of adaptive sharpness (Kwon et al., 2021).

    It is the same after a rescaling of layers and of single neurons.

    Args:
        block: N parameters.

    Returns:
        [N], the diagonal.
    """
    return block.vector().abs()


def filter_scale(block: Block) -> Tensor:
    """T = diag(‖w_f‖), f being the filter that a weight belongs to (Li et al., 2018).

    A filter is a row of a matrix, what makes one output; a vector (bias, normalisation) is one filter. In
    ``Conv1D``, as GPT-2 has it, the columns are the outputs: the rows are then what one input feeds. A rescaling of
    whole layers leaves the measure as it is either way. A rescaling of single neurons does not: the column that undoes
    it in the next layer goes through all of that layer's filters, and changes their lengths.

    Args:
        block: N parameters.

    Returns:
        [N], the diagonal.
    """
    return joined([filter_norms(tensor.detach()) for tensor in block.tensors])


def filter_norms(tensor: Tensor) -> Tensor:
    """The length of each weight's filter, in the shape of the weights."""
    if tensor.dim() < 2:
        return torch.full_like(tensor, float(tensor.norm()))
    return tensor.flatten(1).norm(dim=1).view(-1, *[1] * (tensor.dim() - 1)).expand_as(tensor)


def scaled(product: Product, scale: Tensor) -> Product:
    """The map v ↦ T H T v.

    Args:
        product: v ↦ H v.
        scale: The diagonal of T, [N].

    Returns:
        The scaled map, symmetric as H is.
    """
    return lambda vector: scale * product(scale * vector)
