"""Some parameters of a model as one vector, so that curvature can be asked of a named part of it."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gaard.errors import ConfigError


@dataclass(frozen=True)
class Block:
    """Parameters, and the order in which they make a vector.

    Attributes:
        names: As ``model.named_parameters()`` has them.
        tensors: The parameters themselves.
    """

    names: tuple[str, ...]
    tensors: tuple[nn.Parameter, ...]

    @property
    def size(self) -> int:
        """N, the number of weights."""
        return sum(tensor.numel() for tensor in self.tensors)

    @property
    def dtype(self) -> torch.dtype:
        """Of the widest parameter."""
        widest = self.tensors[0].dtype
        for tensor in self.tensors[1:]:
            widest = torch.promote_types(widest, tensor.dtype)
        return widest

    def vector(self) -> Tensor:
        """A copy of the weights, [N]."""
        return joined(self.tensors)

    def split(self, vector: Tensor) -> list[Tensor]:
        """A vector [N] in the shapes of the parameters."""
        parts = vector.split([tensor.numel() for tensor in self.tensors])
        return [part.view_as(tensor) for part, tensor in zip(parts, self.tensors, strict=True)]

    @contextmanager
    def moved(self, step: Tensor) -> Iterator[None]:
        """Meanwhile the weights are θ + ``step``; afterwards they are what they were, to the last bit.

        Args:
            step: [N].
        """
        before = [tensor.detach().clone() for tensor in self.tensors]
        try:
            with torch.no_grad():
                for tensor, part in zip(self.tensors, self.split(step), strict=True):
                    tensor.add_(part)
            yield
        finally:
            with torch.no_grad():
                for tensor, old in zip(self.tensors, before, strict=True):
                    tensor.copy_(old)


def block(model: nn.Module, pattern: str = "") -> Block:
    """The parameters of a model whose names a pattern finds.

    Args:
        model: Any; a parameter that stands in two places counts once, under its first name.
        pattern: A regular expression, such as ``mlp`` or ``^lm.transformer.wte``; by default all.

    Returns:
        The block.

    Raises:
        ConfigError: If no parameter has such a name.
    """
    found = {name: tensor for name, tensor in model.named_parameters() if re.search(pattern, name)}
    if not found:
        known = ", ".join(name for name, _ in model.named_parameters())
        raise ConfigError(f"block={pattern!r} finds no parameter: choose a pattern that finds some of {known[:600]}")
    return Block(tuple(found), tuple(found.values()))


def joined(tensors: Sequence[Tensor]) -> Tensor:
    """Tensors behind one another as one new vector, [N], without a gradient."""
    return torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
