"""What an estimator of advantages is: what the loop asks of it, without a critic unless it says otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from gaard.settings import Options

if TYPE_CHECKING:  # help should not wait for torch
    from torch import Tensor


@dataclass(frozen=True)
class Estimator(Options):
    """Where advantages come from.

    A subclass is a frozen dataclass: its fields are its options. Name it in a run by its ``name``, or a file of your
    own by its path.
    """

    kind: ClassVar[str] = "advantages"

    @property
    def num_generations(self) -> int:
        """How many completions of one prompt stand beside each other in a rollout."""
        return 1

    @property
    def standardizes(self) -> bool:
        """Whether rewards and advantages are standardised over a rollout where the run does not say."""
        return True

    @property
    def has_critic(self) -> bool:
        """Whether there is a value head that learns."""
        return self.critic_learning_rate > 0

    @property
    def centred(self) -> bool:
        """Whether an advantage is a fixed multiple of a completion's reward less its group's mean."""
        return False

    @property
    def critic_learning_rate(self) -> float:
        """Learning rate of the value head; 0 where there is no critic."""
        return 0.0

    @property
    def critic_coef(self) -> float:
        """Weight of the critic's loss; 0 where there is none."""
        return 0.0

    def advantages(self, values: Tensor, rewards: Tensor, mask: Tensor) -> Tensor:
        """A(x_t) of every sampled token.

        Args:
            values: [B, T], V(x_<t); zeros where there is no critic.
            rewards: [B, T], of every token; a completion's score stands at its last token.
            mask: bool [B, T].

        Returns:
            [B, T].

        Raises:
            NotImplementedError: By this base; every estimator has its own.
        """
        raise NotImplementedError(f"the estimator {self.name!r} has no method advantages")

    def heights(self, advantages: Tensor, rewards: Tensor, mask: Tensor) -> Tensor:
        """How far each advantage stands out of the batch, in robust standard deviations: what ``fold`` looks at.

        Args:
            advantages: [B, T], those that train.
            rewards: [B, T], of every token, without a KL penalty.
            mask: bool [B, T].

        Returns:
            [B, T].
        """
        from gaard.method.advantages import heights

        return heights(advantages, mask)

    def one_step(self, values: Tensor, next_values: Tensor, rewards: Tensor, mask: Tensor) -> Tensor:
        """G3 and G5: the advantage of one token by the values before and after it.

        Args:
            values: [B, T], V(x_<t).
            next_values: [B, T], V behind the token in question.
            rewards: [B, T], of the texts that have it.
            mask: bool [B, T].

        Returns:
            [B, T]; zeros where there is no critic.
        """
        import torch

        return torch.zeros_like(values)

    def critic_loss(self, values: Tensor, old_values: Tensor, returns: Tensor) -> Tensor:
        """The error of the value head at each token.

        Args:
            values: [b, T], with gradients.
            old_values: [b, T], at the rollout.
            returns: [b, T], the targets: the advantages plus ``old_values``.

        Returns:
            [b, T]; zeros where there is no critic.
        """
        import torch

        return torch.zeros_like(values)
