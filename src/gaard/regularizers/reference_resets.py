"""A reference that follows the policy now and then (arXiv 2602.18037)."""

from dataclasses import dataclass

from gaard.regularizers.base import Regularizer
from gaard.settings import Count


@dataclass(frozen=True)
class ReferenceResets(Regularizer):
    """The reference becomes the policy of that moment, again and again.

    Attributes:
        steps: Training steps from one reset to the next.
    """

    name = "reference-resets"
    moves_reference = True

    steps: Count = 20

    def resets_reference(self, step: int) -> bool:
        """After every so many steps."""
        return step % self.steps == 0
