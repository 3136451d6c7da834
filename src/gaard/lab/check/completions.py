"""Completions of the untrained model, sampled as training samples them, and what a reward pays for them."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import TrainerState

from gaard.errors import ConfigError, GaardError
from gaard.messages import shortened
from gaard.method.groups import numbered
from gaard.methods import Observation
from gaard.rewards import RewardFunction, ask
from gaard.rewards.combination import CombinedReward
from gaard.rewards.in_run import offering
from gaard.training.collect import Clock
from gaard.training.progress import StepBar
from gaard.training.prompts import PromptBatch
from gaard.training.reward_log import RewardLog, run_keywords
from gaard.training.scoring import Scorer, Scores
from gaard.training.trainer import GAATrainer

T = TypeVar("T")

REPEATS = 8  # completions a prompt: enough to see whether a reward tells the completions of one prompt apart


@dataclass(frozen=True)
class Completions:
    """n completions.

    Attributes:
        batches: The rollouts they came in, each as reward functions are called with it: ``prompts``, ``completions``,
            ``completion_ids`` and ``columns``.
        ended: bool [n], whether a completion came to an end by itself.
        seconds: Of sampling, for each rollout.
    """

    batches: list[dict[str, Any]]
    ended: NDArray[np.bool_]
    seconds: list[float]

    @property
    def texts(self) -> list[str]:
        """The n texts."""
        return [text for batch in self.batches for text in batch["completions"]]

    @property
    def tokens(self) -> NDArray[np.int64]:
        """The n lengths in tokens."""
        return np.array([len(ids) for batch in self.batches for ids in batch["completion_ids"]], dtype=np.int64)

    @property
    def groups(self) -> NDArray[np.int64]:
        """For each completion the number of its row of the dataset, from 0; rows that are alike are one."""
        return np.array(numbered(key for batch in self.batches for key in _rows(batch)), dtype=np.int64)


def _rows(batch: dict[str, Any]) -> Iterator[str]:
    """What tells the row of the dataset of each completion."""
    for index, prompt in enumerate(batch["prompts"]):
        yield repr((prompt, [column[index] for column in batch["columns"].values()]))


@dataclass(frozen=True)
class Pay:
    """What n completions are paid.

    Attributes:
        rewards: float64 [n], the weighted sum; NaN where training would have stopped.
        unscored: For each reward function, by name, how many completions it leaves out (None).
        failures: What training would have stopped with, one a completion that has no reward.
    """

    rewards: NDArray[np.float64]
    unscored: dict[str, int]
    failures: list[str]


class Listener(Scorer):
    """Takes down what it is asked about and scores nothing, so that one sampling serves several rewards."""

    def __init__(self) -> None:
        self.batches: list[dict[str, Any]] = []
        self.logged = RewardLog()

    def score(self, completions: list[str], **batch: Any) -> Scores:
        """NaN for every completion."""
        self.batches.append({**batch, "completions": completions})
        unknown = torch.full((len(completions),), torch.nan)
        return Scores(unknown, unknown[:, None], unknown, unknown, unknown)


def sample(trainer: GAATrainer, count: int) -> Completions:
    """Sample from the policy as it is now; nothing of the training's state is touched.

    Args:
        trainer: Whose sampling, prompts and settings.
        count: At least this many completions, in whole batches, eight a prompt.

    Returns:
        The completions.

    Raises:
        ConfigError: If a rollout does not fit on the accelerator.
    """
    listener, ended, seconds = Listener(), [], []
    collector = replace(trainer.collector, scorer=listener)
    generator = torch.Generator().manual_seed(trainer.args.seed)
    for batch in _shown(list(_batches(trainer, count, generator)), "sampling", trainer.args.progress):
        clock = Clock()
        try:
            rollout = collector.collect(batch, generator, clock, Observation())
        except torch.OutOfMemoryError:
            raise ConfigError(
                f"a rollout of batch_size={len(batch.texts)} with max_completion_length="
                f"{trainer.args.max_completion_length} does not fit into memory: make one of them smaller"
            ) from None
        last = rollout.completion_ids.gather(1, rollout.completion_mask.sum(-1, keepdim=True) - 1)
        ended += [token in collector.eos_token_ids for token in last.flatten().tolist()]
        seconds.append(clock.seconds)
    return Completions(listener.batches, np.array(ended), seconds)


def _batches(trainer: GAATrainer, count: int, generator: torch.Generator) -> Iterator[PromptBatch]:
    """Rollouts of prompts that come several times each."""
    size = trainer.args.batch_size
    total = math.ceil(count / size) * size
    drawn = trainer.prompts.fresh().draw(math.ceil(total / REPEATS), generator)
    rows = [index // REPEATS for index in range(total)]
    for start in range(0, total, size):
        yield drawn.chosen(rows[start : start + size]).unpadded()


def _shown(batches: Sequence[T], label: str, progress: bool) -> Iterator[T]:
    """Batches behind a progress bar."""
    with StepBar(len(batches), label, progress) as bar:
        bar.move(0)
        for done, batch in enumerate(batches, start=1):
            yield batch
            bar.move(done)


def pay(reward: CombinedReward, completions: Completions, progress: bool = False) -> Pay:
    """Ask every reward function, and go on where training would stop.

    Args:
        reward: The reward that trains.
        completions: The completions.
        progress: Whether to show progress.

    Returns:
        What they are paid.
    """
    batches = completions.batches
    with offering(lambda: run_keywords(TrainerState())):
        asked = [_Answers.of(function, _shown(batches, "scoring", progress)) for function in reward.functions]
    texts, prompts = completions.texts, [prompt for batch in completions.batches for prompt in batch["prompts"]]
    rewards, failures = [], []
    for index, (prompt, text) in enumerate(zip(prompts, texts, strict=True)):
        try:
            if failed := next((one.failures[index] for one in asked if index in one.failures), None):
                raise failed
            rewards += reward.total([[one.values[index]] for one in asked], [prompt], [text])
        except GaardError as error:
            rewards.append(math.nan)
            failures.append(str(error))
    unscored = {
        name: sum(value is None for value in one.values) - len(one.failures)
        for name, one in zip(reward.parts, asked, strict=True)
    }
    return Pay(np.array(rewards), unscored, failures)


@dataclass
class _Answers:
    """One reward function's answers, and its errors by the number of the completion; None stands where it failed."""

    values: list[float | None] = field(default_factory=list)
    failures: dict[int, GaardError] = field(default_factory=dict)

    @classmethod
    def of(cls, function: RewardFunction, batches: Iterable[dict[str, Any]]) -> "_Answers":
        """Ask batch by batch."""
        answers = cls()
        for batch in batches:
            answers.add(function, batch)
        return answers

    def add(self, function: RewardFunction, batch: dict[str, Any]) -> None:
        """Ask of a batch; where that fails, of each completion alone, to count those that fail."""
        size, start = len(batch["completions"]), len(self.values)
        try:
            self.values += ask(function, **batch)
            return
        except GaardError as error:
            whole = error
        for index in range(size):
            try:
                self.values += ask(function, **_alone(batch, index))
            except GaardError as error:
                self.values.append(None)
                self.failures[start + index] = error
        if not any(index >= start for index in self.failures):  # it fails on a batch only
            self.failures |= dict.fromkeys(range(start, start + size), whole)
            self.values[start:] = [None] * size


def _alone(batch: dict[str, Any], index: int) -> dict[str, Any]:
    """One completion of a batch as a batch."""
    columns = {key: values[index : index + 1] for key, values in batch["columns"].items()}
    texts = {key: batch[key][index : index + 1] for key in ("prompts", "completions", "completion_ids")}
    return {**texts, "columns": columns}


def example(text: str) -> str:
    """A completion as a finding shows it."""
    return shortened(text.strip(), 60)
