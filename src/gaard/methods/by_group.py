"""Where advantages come from without a critic: each completion beside the others of its prompt (G13)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gaard.methods.estimator import Estimator
from gaard.settings import Several

if TYPE_CHECKING:  # help should not wait for torch
    from torch import Tensor


@dataclass(frozen=True)
class ByGroup(Estimator):
    """Advantages of whole completions, the same at each of a completion's tokens.

    A rollout holds ``num_generations`` neighbouring completions of each prompt. There is no value head.

    Attributes:
        num_generations: Completions of one prompt that are compared, at least 2; must divide batch_size.
    """

    num_generations: Several = 8

    @property
    def standardizes(self) -> bool:
        """By its own rule alone."""
        return False

    def advantages(self, values: Tensor, rewards: Tensor, mask: Tensor) -> Tensor:
        """See :meth:`Estimator.advantages`; a penalty at each token counts into its completion's reward."""
        import torch

        scores, kept = rewards.sum(-1), mask.any(-1)
        found = torch.zeros_like(scores)
        if kept.any():
            found[kept] = self.of_completions(scores[kept], self._groups(scores, kept))
        return found[:, None] * mask

    def heights(self, advantages: Tensor, rewards: Tensor, mask: Tensor) -> Tensor:
        """Of the rewards in their groups, in deviations of all groups together: the heights of G14."""
        import torch

        from gaard.method.groups import group_heights

        scores, kept = rewards.sum(-1), mask.any(-1)
        found = torch.zeros_like(scores)
        if kept.any():
            found[kept] = group_heights(scores[kept], self._groups(scores, kept))
        return found[:, None] * mask

    def _groups(self, scores: Tensor, kept: Tensor) -> Tensor:
        """The groups of the completions that are learned from, numbered from 0; int64."""
        from gaard.method.groups import neighbours

        return neighbours(scores, self.num_generations)[kept].unique(return_inverse=True)[1]

    def of_completions(self, rewards: Tensor, groups: Tensor) -> Tensor:
        """The advantage of each completion.

        Args:
            rewards: [B].
            groups: int64 [B], the group of each, numbered from 0.

        Returns:
            [B].

        Raises:
            NotImplementedError: By this base; every estimator by group has its own.
        """
        raise NotImplementedError(f"the estimator {self.name!r} has no method of_completions")


@dataclass(frozen=True)
class GRPO(ByGroup):
    """Reward less its group's mean, over its group's standard deviation (arXiv 2402.03300).

    Attributes:
        num_generations: Completions of one prompt that are compared, at least 2; must divide batch_size.
    """

    name = "grpo"

    def of_completions(self, rewards: Tensor, groups: Tensor) -> Tensor:
        """Implements the second form of G13."""
        from gaard.method.groups import standardized

        return standardized(rewards, groups)


@dataclass(frozen=True)
class DrGRPO(ByGroup):
    """Reward less its group's mean (Dr. GRPO, arXiv 2503.20783).

    Attributes:
        num_generations: Completions of one prompt that are compared, at least 2; must divide batch_size.
    """

    name = "dr_grpo"

    @property
    def centred(self) -> bool:
        """It is."""
        return True

    def of_completions(self, rewards: Tensor, groups: Tensor) -> Tensor:
        """Implements the first form of G13."""
        from gaard.method.groups import centred

        return centred(rewards, groups)


@dataclass(frozen=True)
class RLOO(ByGroup):
    """Reward less the mean of the others of its group (arXiv 2402.14740).

    Attributes:
        num_generations: Completions of one prompt that are compared, at least 2; must divide batch_size.
    """

    name = "rloo"

    @property
    def centred(self) -> bool:
        """It is."""
        return True

    def of_completions(self, rewards: Tensor, groups: Tensor) -> Tensor:
        """Implements the third form of G13."""
        from gaard.method.groups import left_out

        return left_out(rewards, groups)
