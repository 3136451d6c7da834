"""What a method is: PPO's answers to every question, of which each method changes some."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from gaard.method.choices import GreedyClip, GreedyRatio, ScaledTerms
from gaard.methods.experience import Estimates, Experience, GreedyTokens, Observation, Rollout
from gaard.settings import Options

if TYPE_CHECKING:  # help should not wait for torch
    from torch import Tensor

    from gaard.method.token_worth import TokenMemory


@dataclass(frozen=True)
class ObjectiveForm:
    """How G9 puts its terms together.

    Attributes:
        greedy_ratio: Whether J_x* uses the greedy token's ``own`` ratio or the ``sampled`` token's.
        scaled_terms: Whether a multiplies the ``surrogate`` alone, or value loss, KL and entropy too (``objective``).
        greedy_clip: Whether b stands ``outside`` PPO's minimum, or ``inside``, folded into the advantage.
    """

    greedy_ratio: GreedyRatio = "own"
    scaled_terms: ScaledTerms = "surrogate"
    greedy_clip: GreedyClip = "outside"


@dataclass(frozen=True)
class Method(Options):
    """A method of training; what it leaves out is PPO's.

    A subclass is a frozen dataclass: its fields are its options. Name it in a run by its ``name``, or a file of your
    own by its path.
    """

    kind: ClassVar[str] = "method"

    @property
    def observes(self) -> Observation:
        """What it has to see of a rollout; by default the samples alone."""
        return Observation()

    @property
    def objective(self) -> ObjectiveForm:
        """How the objective is put together."""
        return ObjectiveForm()

    def shape(self, estimates: Estimates, mask: Tensor) -> Tensor:
        """The advantages that train.

        Args:
            estimates: Of the whole batch.
            mask: bool [B, T].

        Returns:
            [B, T]; by default as they were estimated.
        """
        return estimates.advantages

    def greedy(self, estimates: Estimates, rollout: Rollout, memory: TokenMemory) -> GreedyTokens:
        """X* of every position: which token it is, its advantage, and the gap σ (G4 to G6).

        Args:
            estimates: Of the whole batch.
            rollout: The whole batch.
            memory: What the rollouts before have said of tokens. A checkpoint holds it.

        Returns:
            The likeliest token by default, without a gap.
        """
        import torch

        none = torch.zeros_like(estimates.one_step)
        return GreedyTokens(rollout.greedy_ids, rollout.greedy_logprobs, estimates.greedy_advantages, none)

    def coefficients(self, eta: Tensor, sigma: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """The weights a and b of the two gradients (G9) over one minibatch.

        Args:
            eta: [b, T], η.
            sigma: [b, T], σ.
            mask: bool [b, T].

        Returns:
            ``(a, b)``, [b, T] each; by default PPO's, 1 and 0.
        """
        from gaard.method.coefficients import ppo_coefficients

        return ppo_coefficients(eta, sigma)

    def metrics(self, experience: Experience) -> dict[str, float]:
        """What it logs of a step beside what every run logs.

        Args:
            experience: The whole batch.

        Returns:
            Key → number; nothing by default.
        """
        return {}

    def warnings(self, rollout: Rollout) -> list[str]:
        """What its user should hear of the first rollout whose rewards differ.

        Args:
            rollout: The whole batch.

        Returns:
            One sentence each; none by default.
        """
        return []
