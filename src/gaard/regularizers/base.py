"""What a regulariser is: the places of the loop that it can change, none by default."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from gaard.settings import Options

if TYPE_CHECKING:  # help should not wait for torch
    from torch import Generator, Tensor

    from gaard.methods.experience import Rollout


@dataclass(frozen=True)
class Regularizer(Options):
    """Something that holds training back, whatever the method.

    Attributes:
        moves_reference: Whether the run needs a reference that can move.
        needs_float32: Whether its small steps would be lost in bfloat16.
        second_gradient: Whether it takes one elsewhere, in the place of the first: two that do cannot be together.
        penalizes: Whether it adds a term to the loss, by :meth:`costs` and :meth:`cost_penalty`.
        controls_kl: Whether it sets the KL coefficient, by :meth:`control`; one alone can.
        needs_kl: Whether it can do nothing with a run's kl_coef of 0.
        needs_detector: Whether it has to know which completions are hacks.
        trains_on_ensemble: Whether an ensemble of rewards trains in the place of the proxy.
    """

    kind: ClassVar[str] = "regularizer"
    moves_reference: ClassVar[bool] = False
    needs_float32: ClassVar[bool] = False
    second_gradient: ClassVar[bool] = False
    penalizes: ClassVar[bool] = False
    controls_kl: ClassVar[bool] = False
    needs_kl: ClassVar[bool] = False
    needs_detector: ClassVar[bool] = False
    trains_on_ensemble: ClassVar[bool] = False

    @property
    def leaves_out(self) -> bool:
        """Whether it leaves completions out of the update."""
        return False

    @property
    def changes_rewards(self) -> bool:
        """Whether it changes the rewards that train, or which completions are learned from: whether it says how."""
        own = type(self)
        return own.shape is not Regularizer.shape or own.shape_scores is not Regularizer.shape_scores

    @property
    def baseline_completions(self) -> int:
        """How many completions of the untrained model it wants scored beside each prompt."""
        return 0

    @property
    def num_generations(self) -> int:
        """How many completions of one prompt it wants beside each other in a rollout."""
        return 1

    def shape(self, rollout: Rollout, generator: Generator) -> Rollout:
        """The rewards that train, and which completions are learned from.

        Args:
            rollout: The whole batch, as those before it have shaped it.
            generator: The run's, on the CPU.

        Returns:
            The rollout with other ``trained_scores``, ``greedy_scores`` or ``kept``; by default with both scores as
            :meth:`shape_scores` has them.
        """
        return with_scores(rollout, lambda scores: self.shape_scores(scores, rollout.baseline_scores))

    def shape_scores(self, scores: Tensor, baseline_scores: Tensor) -> Tensor:
        """The rewards that train.

        Args:
            scores: [B].
            baseline_scores: [B, k], of completions of the untrained model to the same prompt.

        Returns:
            [B].
        """
        return scores

    def costs(self, logprobs: Tensor, ref_logprobs: Tensor, mask: Tensor) -> Tensor:
        """What is penalised, sample by sample; asked for where ``penalizes``.

        Args:
            logprobs: [b, T], log π_θ(x_t), with gradients.
            ref_logprobs: [b, T], log π_ref(x_t).
            mask: bool [b, T].

        Returns:
            [n], of any n; :meth:`cost_penalty` is told their mean over the minibatch.

        Raises:
            NotImplementedError: By this base.
        """
        raise NotImplementedError(f"the regularizer {self.name!r} penalizes and has no method costs")

    def cost_penalty(self, cost: Tensor) -> Tensor:
        """What is added to a minibatch's loss.

        Args:
            cost: Scalar, the mean of :meth:`costs` over the whole minibatch.

        Returns:
            Scalar; by default the mean itself.
        """
        return cost

    def control(self, memory: Sequence[float], kl: float) -> tuple[float, list[float]]:
        """The KL coefficient of a step; asked for where ``controls_kl``.

        Args:
            memory: What it returned at the step before; at first the run's ``kl_coef`` alone.
            kl: ``kl_ref`` of the step's rollout, nats a token.

        Returns:
            The coefficient, and numbers for the next step, which checkpoints hold.

        Raises:
            NotImplementedError: By this base.
        """
        raise NotImplementedError(f"the regularizer {self.name!r} controls the KL and has no method control")

    def change_gradient(self, policy: Sequence[Tensor], critic: Sequence[Tensor], again: Callable[[], object]) -> None:
        """Change the gradient of an update before it is clipped.

        Args:
            policy: Parameters of the language model, with gradients.
            critic: Parameters of the value head.
            again: Makes the gradients of the minibatch anew, adding to them, at the parameters as they are then.
        """

    def resets_reference(self, step: int) -> bool:
        """Whether the reference becomes the policy after this training step, counted from 1."""
        return False

    def ends(self, metrics: Mapping[str, float]) -> bool:
        """Whether training ends after a step with these metrics."""
        return False


def with_scores(rollout: Rollout, change: Callable[[Tensor], Tensor]) -> Rollout:
    """A rollout whose rewards that train are changed, of sampled and of greedy-ended texts alike.

    Args:
        rollout: The whole batch.
        change: [B] → [B].

    Returns:
        The rollout with other ``trained_scores`` and ``greedy_scores``.
    """
    changed = {name: change(getattr(rollout, name)) for name in ("trained_scores", "greedy_scores")}
    return replace(rollout, **changed)
