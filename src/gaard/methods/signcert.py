"""SignCert-PO: completions whose advantage could easily have the other sign count less."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gaard.methods.base import Method
from gaard.methods.experience import Estimates, Observation
from gaard.settings import Fraction

if TYPE_CHECKING:  # help should not wait for torch
    from torch import Tensor


@dataclass(frozen=True)
class SignCert(Method):
    """Sign-certified policy optimisation (Ono et al., arXiv 2604.02986): each advantage at its least sure value.

    The reward has to be linear in features that it tells, and the advantage its distance to the group's mean: use
    the estimators dr_grpo or rloo.

    Attributes:
        quantile: How far the reward's weights are thought to be off: this quantile of the changes that turn the sign
            of the batch's advantages. Completions below it are turned.
    """

    name = "signcert"

    quantile: Fraction = 0.25

    @property
    def observes(self) -> Observation:
        """How far the features of each text lie from those of its group."""
        return Observation(reward_features=True)

    def shape(self, estimates: Estimates, mask: Tensor) -> Tensor:
        """See :meth:`Method.shape`."""
        from gaard.method.sign_radius import worst_case_advantages

        distances, own = estimates.feature_distances, estimates.advantages[:, 0]  # the same at every token
        if distances is None:
            raise ValueError("signcert has to be told how far the reward's features lie from their group's mean")
        return worst_case_advantages(own, distances, self.quantile)[:, None] * mask
