"""A detector of hacks that errs at stated rates, and what training does with what it flags."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from gaard.regularizers.base import Regularizer, with_scores
from gaard.settings import Fraction, NotNegative, Whole

if TYPE_CHECKING:  # help should not wait for torch
    from torch import Generator, Tensor

    from gaard.methods.experience import Rollout

Action = Literal["penalty", "screening"]


@dataclass(frozen=True)
class ImperfectDetector(Regularizer):
    """What is flagged is paid less, or is not learned from: a monitor with penalty, or with screening.

    As in Wong, Engels and Nanda's "Steering RL Training" (2025; code: ariahw/rl-rewardhacking), whose monitor with a
    stated accuracy α has the rates α and 1 − α. A verdict on a completion is drawn once and for all from its tokens
    (their code draws anew each time), so that the policy may find the hacks that are missed.

    Attributes:
        action: penalty, which subtracts from the reward of what is flagged; or screening, which leaves it out of the
            update and out of the scaling of rewards.
        true_positive_rate: The share of hacks that is flagged.
        false_positive_rate: The share of other completions that is flagged; what it costs where there is no hack.
        penalty: What is subtracted, in units of the reward. Theirs is what a solved task pays; a honeypot pays 1.
        detector_seed: Another one errs on other completions.
    """

    name = "imperfect-detector"
    needs_detector = True

    action: Action = "penalty"
    true_positive_rate: Fraction = 0.9
    false_positive_rate: Fraction = 0.1
    penalty: NotNegative = 1.0
    detector_seed: Whole = 0

    @property
    def leaves_out(self) -> bool:
        """Where it screens."""
        return self.action == "screening"

    def shape(self, rollout: Rollout, generator: Generator) -> Rollout:
        """See :meth:`Regularizer.shape`; a text that ends on the greedy token has the verdict on the sampled one."""
        flagged = self.flagged(rollout)
        if self.action == "screening":
            return replace(rollout, kept=rollout.kept & ~flagged)
        less = self.penalty * flagged.to(rollout.trained_scores.dtype)
        return with_scores(rollout, lambda scores: scores - less)

    def flagged(self, rollout: Rollout) -> Tensor:
        """Which completions the detector flags; bool [B]."""
        import torch

        rows = zip(rollout.completion_ids.cpu(), rollout.completion_mask.cpu(), strict=True)
        chances = torch.tensor([chance(ids[valid].tolist(), self.detector_seed) for ids, valid in rows])
        rates = torch.where(rollout.hacked.cpu() == 1, self.true_positive_rate, self.false_positive_rate)
        return (chances < rates).to(rollout.hacked.device)


def chance(ids: list[int], seed: int) -> float:
    """A number that a completion always has, as if drawn from [0, 1).

    Args:
        ids: Its tokens.
        seed: Another gives other numbers.

    Returns:
        The first 48 bits of a SHA-256, as a fraction.
    """
    digest = hashlib.sha256(repr((seed, ids)).encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48
