"""Callbacks of transformers in gaard's loop: when each is called, and what it is shown."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from transformers import EarlyStoppingCallback, PreTrainedTokenizerBase, TrainerCallback, TrainerControl
from transformers.trainer_callback import CallbackHandler, DefaultFlowCallback

from gaard.errors import ConfigError
from gaard.messages import shortened
from gaard.methods.experience import Rollout
from gaard.training import runlog
from gaard.training.config import GAAConfig
from gaard.training.prompts import PromptBatch
from gaard.training.reward_log import trainer_state
from gaard.training.scoring import decode
from gaard.training.state import TrainingState


@dataclass(frozen=True)
class Samples:
    """What a step has sampled, of all processes: B completions, as ``on_step_end`` is shown them.

    Attributes:
        prompts: B texts, as the model is given them.
        completions: B texts.
        completion_ids: Of each, its token ids.
        columns: Further columns of the dataset, B entries each.
        rewards: What trains, before it is shaped.
        true_rewards: What was meant; None where no truth was declared.
        hacked: Whether each is a hack; None where nothing tells.
    """

    prompts: list[str]
    completions: list[str]
    completion_ids: list[list[int]]
    columns: dict[str, list[Any]]
    rewards: list[float]
    true_rewards: list[float] | None
    hacked: list[bool] | None


class Flow(DefaultFlowCallback):
    """In the place of transformers' own, and called first: a checkpoint every ``save_steps``, the end at the last."""

    def on_step_end(self, args: Any, state: Any, control: Any, **shown: Any) -> None:
        """Say whether the step is saved, and the last."""
        control.should_save = state.global_step % args.save_steps == 0
        control.should_training_stop |= state.global_step >= state.max_steps

    def on_epoch_end(self, args: Any, state: Any, control: Any, **shown: Any) -> None:
        """Nothing: steps are counted here, not epochs."""


class Callbacks:
    """Those of a trainer, told of its run.

    Args:
        given: Objects, or classes that are made without arguments; called in their order.
        state: What training changes.
        args: The run's settings, which callbacks get as theirs.
        accelerator: Tells the processes; each calls its own callbacks.
        tokenizer: The policy's.
        optimizer: As training steps it; shown to the callbacks.

    Attributes:
        given: The callbacks, as objects.

    Raises:
        ConfigError: For something that is no callback, or one that waits for what never comes.
    """

    def __init__(
        self,
        given: Sequence[Any],
        state: TrainingState,
        args: GAAConfig,
        accelerator: Accelerator,
        tokenizer: PreTrainedTokenizerBase,
        optimizer: Any,
    ):
        self.given = _checked(given)
        self._state, self._args, self._accelerator, self._tokenizer = state, args, accelerator, tokenizer
        parts = state.policy.lm, tokenizer, optimizer, state.scheduler
        self._handler = CallbackHandler([Flow(), *self.given], *parts)
        self._control = TrainerControl()
        self._shown = trainer_state(state, args, accelerator)
        self.call("on_init_end")

    @property
    def stop(self) -> bool:
        """Whether one has asked for the end of training; the next ``on_train_begin`` takes that back."""
        return self._control.should_training_stop

    @property
    def save(self) -> bool:
        """Whether a checkpoint is to be written now: it is time, one asks for it, or training stops here."""
        return self._control.should_save or self.stop

    def call(self, event: str, **shown: Any) -> None:
        """Call one event of all callbacks.

        Args:
            event: Its name, such as ``on_save``.
            **shown: Keywords beside those that every event has.
        """
        now = trainer_state(self._state, self._args, self._accelerator)
        self._shown.global_step, self._shown.epoch = now.global_step, now.epoch
        self._control = getattr(self._handler, event)(self._args, self._shown, self._control, **shown)

    def catch_up(self, log: runlog.RunLog) -> None:
        """Make ``log_history`` what was logged of the steps so far, where other objects or processes made them.

        Args:
            log: Of the run; read on the main process.
        """
        history = self._shown.log_history
        if not self.given or (history[-1]["step"] if history else 0) == self._state.step:
            return
        history[:] = log.read(runlog.METRICS) if self._accelerator.is_main_process else []
        if self._accelerator.num_processes > 1:
            history[:] = broadcast_object_list([history])[0]

    def step_done(self, metrics: dict[str, float], batch: PromptBatch, rollout: Rollout) -> None:
        """``on_step_end``, which is shown the samples, and ``on_log``, which is shown the metrics.

        Args:
            metrics: Of the step.
            batch: Its prompts.
            rollout: What was sampled.
        """
        self.call("on_step_end", **({"samples": self._samples(batch, rollout)} if self.given else {}))
        if self.given:
            self._shown.log_history.append(dict(metrics))
        self.call("on_log", logs=dict(metrics))

    def _samples(self, batch: PromptBatch, rollout: Rollout) -> Samples:
        texts, ids = decode(self._tokenizer, rollout.completion_ids, rollout.completion_mask)
        true = self._args.trained_reward == "true"
        return Samples(
            prompts=list(batch.texts),
            completions=texts,
            completion_ids=ids,
            columns=dict(batch.columns),
            rewards=(rollout.true_scores if true else rollout.scores).tolist(),
            true_rewards=None if rollout.true_scores.isnan().all() else rollout.true_scores.tolist(),
            hacked=None if rollout.hacked.isnan().all() else rollout.hacked.bool().tolist(),
        )


def _checked(given: Any) -> list[TrainerCallback]:
    """Objects, each a callback that can work here."""
    if not isinstance(given, (list, tuple)):
        raise ConfigError(f"callbacks={shortened(given)} must be a list of callbacks, such as [GaardMonitor()]")
    callbacks = [one() if isinstance(one, type) else one for one in given]
    for index, one in enumerate(callbacks):
        if not isinstance(one, TrainerCallback):
            raise ConfigError(
                f"callbacks[{index}]={shortened(one)} is no callback: give an object of a subclass of transformers' "
                "TrainerCallback"
            )
        if isinstance(one, EarlyStoppingCallback):
            raise ConfigError(
                f"callbacks[{index}] is transformers' EarlyStoppingCallback, which goes by evaluations, and here there "
                "are none on the way: write a callback whose on_log sets control.should_training_stop "
                "(docs/tools.md)"
            )
    return callbacks
