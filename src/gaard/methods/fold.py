"""Fold: the sampled token's advantage, turned into its negative where it stands out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gaard.methods.base import Method
from gaard.methods.experience import Estimates, Rollout
from gaard.settings import Positive

if TYPE_CHECKING:  # help should not wait for torch
    from torch import Tensor


@dataclass(frozen=True)
class Fold(Method):
    """Advantages of which those that stand out are turned: :func:`gaard.advantages.folded`; by group, G14.

    A redescending function with a sign reversal: slightly better tokens become more likely, much better ones less. It
    looks at no greedy token. It refuses whatever pays unusually well: a rare success and an ordinary reward with a
    heavy tail as well as a hack.

    Attributes:
        threshold: From how many robust standard deviations on an advantage is turned: above the batch's median with
            gae, above the group's mean with grpo, dr_grpo and rloo.
    """

    name = "fold"

    threshold: Positive = 3.0

    def shape(self, estimates: Estimates, mask: Tensor) -> Tensor:
        """See :meth:`Method.shape`."""
        from gaard.method.advantages import turning_weights, weighed

        return weighed(estimates.advantages, turning_weights(estimates.heights, self.threshold))

    def warnings(self, rollout: Rollout) -> list[str]:
        """That rare successes are unlearned, if there is nothing else."""
        if not is_sparse(rollout.trained_scores):
            return []
        return [
            "most rewards are one number, so that the few above it stand out, and method 'fold' with "
            f"threshold={self.threshold:g} unlearns what stands out: if those are the successes that you want, train "
            "with method='ppo'"
        ]


def is_sparse(scores: Tensor) -> bool:
    """Whether most of a rollout's scores are one number, so that the few above it stand out whatever they are.

    A rare success on top of rewards that differ is not recognised: it looks like a hack.

    Args:
        scores: [B].

    Returns:
        True if more than half are the median, and some are higher.
    """
    middle = scores.median()
    return bool((scores == middle).double().mean() > 0.5 and scores.max() > middle)
