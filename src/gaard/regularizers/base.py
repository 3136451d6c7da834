"""What a regulariser is: the places of the loop that it can change, none by default."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from gaard.settings import Options

if TYPE_CHECKING:  # help should not wait for torch
    from torch import Tensor


@dataclass(frozen=True)
class Regularizer(Options):
    """Something that holds training back, whatever the method.

    Attributes:
        moves_reference: Whether the run needs a reference that can move.
        needs_float32: Whether its small steps would be lost in bfloat16.
        second_gradient: Whether it takes one elsewhere, in the place of the first: two that do cannot be together.
    """

    kind: ClassVar[str] = "regularizer"
    moves_reference: ClassVar[bool] = False
    needs_float32: ClassVar[bool] = False
    second_gradient: ClassVar[bool] = False

    @property
    def baseline_completions(self) -> int:
        """How many completions of the untrained model it wants scored beside each prompt."""
        return 0

    def shape_scores(self, scores: Tensor, baseline_scores: Tensor) -> Tensor:
        """The rewards that train.

        Args:
            scores: [B].
            baseline_scores: [B, k], of completions of the untrained model to the same prompt.

        Returns:
            [B].
        """
        return scores

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
