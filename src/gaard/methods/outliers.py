"""Milder answers than the fold to an advantage that stands out, and its scale without any answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gaard.methods.base import Method
from gaard.methods.experience import Estimates
from gaard.settings import Positive

if TYPE_CHECKING:  # help should not wait for torch
    from torch import Tensor


@dataclass(frozen=True)
class Drop(Method):
    """Nothing is learned from what stands out: a hard redescender (Hampel, 1974).

    Attributes:
        threshold: As that of ``fold``.
    """

    name = "drop"

    threshold: Positive = 3.0

    def shape(self, estimates: Estimates, mask: Tensor) -> Tensor:
        """0 beyond the threshold, of advantages above 0; see :meth:`Method.shape`."""
        import torch

        from gaard.method.advantages import weighed

        return weighed(estimates.advantages, torch.where(estimates.heights > self.threshold, 0.0, 1.0))


@dataclass(frozen=True)
class Clip(Method):
    """What stands out counts as if it lay at the threshold (Huber, 1964).

    Attributes:
        threshold: As that of ``fold``.
    """

    name = "clip"

    threshold: Positive = 3.0

    def shape(self, estimates: Estimates, mask: Tensor) -> Tensor:
        """Scaled down to the threshold, exactly so where advantages are in proportion to heights."""
        from gaard.method.advantages import weighed

        return weighed(estimates.advantages, self.threshold / estimates.heights.clamp(min=self.threshold))


@dataclass(frozen=True)
class RobustScaling(Method):
    """The scale of ``fold`` without its turning: what a robust unit does alone."""

    name = "robust-scaling"

    def shape(self, estimates: Estimates, mask: Tensor) -> Tensor:
        """Advantages over their robust standard deviation; as they were where that is 0."""
        from gaard.method.advantages import robust_deviation

        scale = robust_deviation(estimates.advantages, mask) if mask.any() else 0.0
        return estimates.advantages / scale if scale > 0 else estimates.advantages
