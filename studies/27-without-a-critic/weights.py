"""The fold and two milder answers to an advantage that stands out, at one threshold: drop it, or cut it off."""

from dataclasses import dataclass

import torch
from torch import Tensor

from gaard.methods import Estimates, Method
from gaard.settings import Positive


@dataclass(frozen=True)
class Drop(Method):
    """Nothing is learned from what stands out.

    Attributes:
        threshold: As that of ``fold``.
    """

    name = "drop"

    threshold: Positive = 3.0

    def shape(self, estimates: Estimates, mask: Tensor) -> Tensor:
        """0 beyond the threshold."""
        return torch.where(estimates.heights > self.threshold, 0.0, estimates.advantages)


@dataclass(frozen=True)
class Clip(Method):
    """What stands out counts as if it lay at the threshold.

    Attributes:
        threshold: As that of ``fold``.
    """

    name = "clip"

    threshold: Positive = 3.0

    def shape(self, estimates: Estimates, mask: Tensor) -> Tensor:
        """Scaled down to the threshold, exactly so where advantages are in proportion to heights."""
        return estimates.advantages * (self.threshold / estimates.heights.clamp(min=self.threshold))
