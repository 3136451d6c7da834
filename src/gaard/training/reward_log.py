"""What reward functions log: numbers for ``metrics.jsonl`` and columns for ``samples.jsonl``."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from transformers import TrainerState

from gaard.errors import RewardError
from gaard.messages import shortened
from gaard.rewards.in_run import forget
from gaard.training.config import GAAConfig
from gaard.training.state import TrainingState


@dataclass
class RewardLog:
    """What the reward functions of a run have logged of one batch.

    Attributes:
        size: How many completions they were asked about.
        metrics: Every number that was logged under a name.
        columns: One value a completion; of those that several functions log under one name, the last.
    """

    size: int = 0
    metrics: dict[str, list[float]] = field(default_factory=dict)
    columns: dict[str, list[Any]] = field(default_factory=dict)

    def metric(self, name: str, value: float) -> None:
        """TRL's ``log_metric``.

        Args:
            name: Of the metric.
            value: Of this batch; one that is not finite is not known, and left out.

        Raises:
            RewardError: For what is not a number.
        """
        try:
            number = float(value)
        except (TypeError, ValueError, RuntimeError):
            raise RewardError(f"log_metric({name!r}, {shortened(value)}): give one number") from None
        if math.isfinite(number):
            self.metrics.setdefault(str(name), []).append(number)

    def extra(self, column: str, values: Sequence[Any]) -> None:
        """TRL's ``log_extra``.

        Args:
            column: Its name.
            values: One a completion of the batch.

        Raises:
            RewardError: For another number of values.
        """
        found = list(values)
        if len(found) != self.size:
            raise RewardError(
                f"log_extra({column!r}, …) got {len(found)} values for {self.size} completions: give one a completion"
            )
        self.columns[str(column)] = [_plain(value) for value in found]

    def gathered(self, accelerator: Accelerator) -> "RewardLog":
        """What all processes have logged, the same on each, in the order of the global batch.

        Args:
            accelerator: Tells the processes.

        Returns:
            Metrics and columns sorted by name; where a process has not logged a column, None stands for its values.
        """
        logs: list[RewardLog] = gather_object([self]) if accelerator.num_processes > 1 else [self]
        whole = RewardLog(sum(log.size for log in logs))
        for name in sorted({name for log in logs for name in log.metrics}):
            whole.metrics[name] = [x for log in logs for x in log.metrics.get(name, [])]
        for name in sorted({name for log in logs for name in log.columns}):
            whole.columns[name] = [x for log in logs for x in log.columns.get(name, [None] * log.size)]
        return whole

    def means(self, taken: Mapping[str, Any]) -> dict[str, float]:
        """Each metric's mean over its numbers, whatever the order in which they came.

        Args:
            taken: Names that gaard gives itself: one that is logged too is numbered, ``NAME-2``.

        Returns:
            Name → number.
        """
        return {
            f"{name}-2" if name in taken else name: math.fsum(numbers) / len(numbers)
            for name, numbers in self.metrics.items()
        }

    def row(self, index: int) -> dict[str, Any]:
        """The values of one completion, by column."""
        return {name: values[index] for name, values in self.columns.items()}


def trainer_state(state: TrainingState, config: GAAConfig, accelerator: Accelerator) -> TrainerState:
    """Where a run is, as reward functions read it in TRL.

    Args:
        state: What training changes.
        config: The run's settings.
        accelerator: Tells this process.

    Returns:
        Its ``global_step`` is the steps done, each a rollout with its updates, and ``epoch`` how often the dataset has
        been gone through; the ``log_history`` is empty.
    """
    prompts = config.batch_size / config.num_generations
    epochs = prompts / len(state.prompts.texts)  # a step
    return TrainerState(
        epoch=state.step * epochs,
        global_step=state.step,
        max_steps=config.max_steps,
        logging_steps=1,
        save_steps=config.save_steps,
        num_train_epochs=math.ceil(config.max_steps * epochs),
        is_local_process_zero=accelerator.is_local_main_process,
        is_world_process_zero=accelerator.is_main_process,
    )


def run_keywords(state: TrainerState, log: RewardLog | None = None) -> dict[str, Any]:
    """The three keywords that TRL's trainers add.

    Args:
        state: Where the run is.
        log: Takes what is logged; None forgets it.

    Returns:
        Keyword → value.
    """
    return {
        "trainer_state": state,
        "log_metric": forget if log is None else log.metric,
        "log_extra": forget if log is None else log.extra,
    }


def _plain(value: Any) -> Any:
    """A value as JSON: arrays and tensors as lists, what JSON does not know as text, what is not finite as None."""
    if isinstance(value, (torch.Tensor, np.ndarray, np.generic)):
        value = value.tolist()
    if isinstance(value, str):
        return value.encode(errors="replace").decode()  # half of a pair in UTF-16 cannot be written
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return str(value)
