"""What gaard's fold adds to a step of TRL's GRPO: one trainer, of whose rollouts every second is folded."""

import statistics
import time
from collections.abc import Iterator
from typing import Any

from trl import GRPOTrainer

from benchmarks import trl_grpo
from benchmarks.measuring import Figure
from benchmarks.models import POCKET, saved
from gaard.integrations.trl import safeguarded

PAIRS = 40  # of a rollout without the fold and one with it


class Alternating(safeguarded(GRPOTrainer)):
    """Folds every second rollout; notes when each began, and how long the weights took."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.began: list[float] = []
        self.folds: list[float] = []

    def _calculate_rewards(self, *arguments: Any, **inputs: Any) -> Any:
        """TRL's, or kept for the fold."""
        if self.folding:
            return super()._calculate_rewards(*arguments, **inputs)
        return GRPOTrainer._calculate_rewards(self, *arguments, **inputs)

    def _generate_and_score_completions(self, inputs: Any) -> dict[str, Any]:
        """A rollout, folded or not."""
        self.began.append(time.perf_counter())
        if self.folding:
            return super()._generate_and_score_completions(inputs)
        return GRPOTrainer._generate_and_score_completions(self, inputs)

    @property
    def folding(self) -> bool:
        """Whether the rollout that has begun is folded."""
        return len(self.began) % 2 == 0

    def _gaard_weights(self) -> Any:
        """Timed too: what the fold alone takes."""
        start = time.perf_counter()
        weights = super()._gaard_weights()
        self.folds.append(time.perf_counter() - start)
        return weights


def trl_fold() -> Iterator[Figure]:
    """Seconds of a rollout and its updates with the fold over those without: median of ratios of neighbours."""
    rollouts = 2 * PAIRS + 2  # the first is a warm-up, and the last only ends the one before it
    trainer = alternating(rollouts)
    trainer.train()
    seconds = [end - start for start, end in zip(trainer.began, trainer.began[1:], strict=False)][1:]
    folded, plain = seconds[0::2], seconds[1::2]
    ratios = [ours / theirs for ours, theirs in zip(folded, plain, strict=False)]
    yield Figure("trl_fold", POCKET, statistics.median(ratios), 1.02)
    alone = statistics.median(trainer.folds) / statistics.median(plain)
    yield Figure("trl_fold, share of a step that the weights take", POCKET, alone)


def alternating(rollouts: int) -> Alternating:
    """A trainer of the pocket model, whose step is the shortest and so the worst case."""
    return trl_grpo.trainer(Alternating, saved(POCKET), rollouts)
