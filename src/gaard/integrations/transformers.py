"""The monitor as a callback of TRL's trainers, of gaard's own, and of transformers' Trainer (docs/monitor.md)."""

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from transformers import TrainerCallback

from gaard.errors import ConfigError
from gaard.messages import shortened, warn
from gaard.monitor import Alarm, Monitor
from gaard.rewards.protocol import score

PREFIX = "gaard/"  # of the monitor's figures among the trainer's own
# TRL's name, or gaard's → the monitor's
LOGGED = {"entropy": "entropy", "kl": "kl", "kl_ref": "kl", "completions/clipped_ratio": "truncated"}
MEANS = {"reward": "reward", "completions/mean_length": "length", **LOGGED}  # what a log alone says


@dataclass
class Batch:
    """What one process has seen of one batch.

    Attributes:
        rows: Of each completion: text, prompt, length in tokens, true reward, whether it is a hack.
        paid: Number of a watched function → what it paid.
    """

    rows: list[tuple[str, str, int, float | None, bool | None]]
    paid: dict[int, list[float | None]] = field(default_factory=dict)


class GaardMonitor(TrainerCallback):
    """Watches a trainer's rewards and logs, and warns. It changes nothing: rewards and gradients stay as they are.

    Args:
        detector: Texts → whether each is a hack, if you know what one is; by default, in gaard's own trainer, that of
            the run.
        true_reward: What was meant, on the scale of the reward; called as the watched functions are, once a batch. Not
            async. By default, in gaard's own trainer, that of the run.
        rules: Names of those that may raise an alarm; by default all.

    Attributes:
        monitor: The :class:`gaard.monitor.Monitor` that is told.

    Raises:
        ConfigError: For a true reward that is async, or a rule that is not known; in training, for a true reward or a
            detector that does not answer once a completion.
    """

    def __init__(
        self,
        *,
        detector: Callable[[list[str]], Sequence[bool]] | None = None,
        true_reward: Callable[..., Sequence[float | None]] | None = None,
        rules: Iterable[str] | None = None,
    ):
        if true_reward is not None and _is_async(true_reward):
            raise ConfigError("true_reward is asynchronous: give a function that answers at once")
        self.monitor = Monitor(rules)
        self.detector, self.true_reward = detector, true_reward
        self._weights: list[float] = []
        self._batches: list[Batch] = []
        self._logged: dict[str, float] = {}
        self._model: Any = None
        self._shown_samples = False

    @property
    def alarms(self) -> list[Alarm]:
        """Each rule's first, in the order in which they were raised."""
        return self.monitor.alarms

    def watch(self, reward_func: Callable[..., Any], weight: float = 1.0) -> Callable[..., Any]:
        """A reward function that is called and answers as the given one does, and is seen.

        Args:
            reward_func: A function, or an object that is called like one; may be async.
            weight: Of its reward in the sum that trains, as in TRL's ``reward_weights``.

        Returns:
            What to give the trainer in its place. It has the same name.

        Raises:
            ConfigError: For a model or its name: TRL calls these itself.
        """
        if not callable(reward_func) or hasattr(reward_func, "forward"):
            raise ConfigError(f"watch({shortened(reward_func)}): give a reward function; a model cannot be watched")
        number = len(self._weights)
        self._weights.append(weight)

        @functools.wraps(reward_func)
        def watched(*args: Any, **kwargs: Any) -> Any:
            answer = reward_func(*args, **kwargs)
            answer = answer if isinstance(answer, Sized) else list(answer)
            self._see(number, kwargs, answer)
            return answer

        @functools.wraps(reward_func)
        async def watched_async(*args: Any, **kwargs: Any) -> Any:
            answer = await reward_func(*args, **kwargs)
            self._see(number, kwargs, answer)
            return answer

        wrapper = watched_async if _is_async(reward_func) else watched
        wrapper.__name__ = _name(reward_func)
        return wrapper

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        """Keep the model, which knows whether it is being trained or evaluated."""
        self._model = model

    def on_step_end(self, args: Any, state: Any, control: Any, samples: Any = None, **_: Any) -> None:
        """Tell the monitor of the step's batch, that of all processes, and warn of what is new.

        gaard's own trainer shows ``samples``, those of all processes; elsewhere there are those of watched functions.
        """
        from accelerate.utils import gather_object

        if samples is not None:
            self._take(samples, state)
            return
        rows = gather_object([row for batch in self._batches for row in self._summed(batch)])
        self._batches.clear()
        if rows:
            texts, prompts, lengths, truths, hacks, paid = zip(*rows, strict=True)
            self._tell(
                state,
                paid,
                true_rewards=None if self.true_reward is None else truths,
                hacked=None if self.detector is None else hacks,
                completions=texts,
                lengths=lengths,
                groups=prompts,
            )

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, Any] | None = None, **_: Any) -> None:
        """Keep what the trainer says of entropy and KL; where no function is watched, its means are all there is."""
        logs = {key: value for key, value in (logs or {}).items() if isinstance(value, float)}
        self._logged |= {name: logs[key] for key, name in LOGGED.items() if key in logs}
        means = {name: logs[key] for key, name in MEANS.items() if key in logs}
        if means and not self._weights and not self._shown_samples:
            self._warn(self.monitor.note(state.global_step, means).alarms, state)

    def _take(self, samples: Any, state: Any) -> None:
        """Tell the monitor of a batch of gaard's own trainer, and of what that knows itself."""
        self._shown_samples = True
        texts, truths, hacks = samples.completions, samples.true_rewards, samples.hacked
        if self.true_reward is not None:
            batch = {"prompts": samples.prompts, "completion_ids": samples.completion_ids}
            truths = score(self.true_reward, completions=texts, columns=samples.columns, **batch)
        self._tell(
            state,
            samples.rewards,
            true_rewards=truths,
            hacked=hacks if self.detector is None else list(self.detector(texts)),
            completions=texts,
            lengths=[len(ids) for ids in samples.completion_ids],
            groups=samples.prompts,
        )

    def _tell(self, state: Any, rewards: Any, **columns: Any) -> None:
        """Tell the monitor of a step's batch and of what was logged since the last, and warn of what is new."""
        report = self.monitor.update(state.global_step, rewards, **(columns | self._logged))
        self._logged.clear()
        self._warn(report.alarms, state)

    def _see(self, number: int, kwargs: Mapping[str, Any], answer: Any) -> None:
        """Keep what one function paid for a batch of training; evaluations are not watched."""
        if self._model is None or not self._model.training:
            return
        if not self._batches or number in self._batches[-1].paid:
            self._batches.append(self._begun(kwargs))
        values = answer.tolist() if hasattr(answer, "tolist") else list(answer)
        self._batches[-1].paid[number] = values

    def _begun(self, kwargs: Mapping[str, Any]) -> Batch:
        """A batch that nothing was paid for yet; the trainer's logs get the figures of the step before."""
        log_metric = kwargs.get("log_metric")
        if log_metric is not None and self.monitor.figures:
            for name, value in self.monitor.figures[-1].items():
                if np.isfinite(value):
                    log_metric(PREFIX + name, value)
        texts = [text_of(completion) for completion in kwargs["completions"]]
        truths = hacks = [None] * len(texts)
        if self.true_reward is not None:
            truths = _one_each("true_reward", self.true_reward(**kwargs), texts, "one number a completion")
        if self.detector is not None:
            hacks = _one_each("detector", self.detector(texts), texts, "True or False for each text")
        ids = kwargs.get("completion_ids") or [text.split() for text in texts]
        prompts = [str(prompt) for prompt in kwargs["prompts"]]
        return Batch(list(zip(texts, prompts, [len(one) for one in ids], truths, hacks, strict=True)))

    def _summed(self, batch: Batch) -> list[tuple[Any, ...]]:
        """The rows of a batch, each with the weighted sum of what was paid; NaN where no function scored."""
        weights = np.array([self._weights[number] for number in batch.paid])
        paid = np.array([[np.nan if x is None else float(x) for x in column] for column in batch.paid.values()])
        total = np.where(np.isnan(paid).all(0), np.nan, np.nansum(weights[:, None] * paid, 0))
        return [(*row, float(x)) for row, x in zip(batch.rows, total, strict=True)]

    def _warn(self, alarms: Iterable[Alarm], state: Any) -> None:
        """Say each alarm once, on one process."""
        if state.is_world_process_zero:
            for alarm in alarms:
                warn(f"step {alarm.step}: {alarm.reason}")


def text_of(completion: str | Sequence[Mapping[str, Any]]) -> str:
    """The words of a completion.

    Args:
        completion: A text, or a list of messages as TRL gives them.

    Returns:
        One text; what is no text, such as an image or a call of a tool, is left out.
    """
    if isinstance(completion, str):
        return completion
    contents = [message.get("content") for message in completion]
    parts = [part for content in contents for part in ([content] if isinstance(content, str) else content or [])]
    return " ".join(part if isinstance(part, str) else part.get("text") or "" for part in parts)


def _one_each(field: str, answer: Iterable[Any], texts: Sequence[str], wanted: str) -> list[Any]:
    answers = list(answer)
    if len(answers) != len(texts):
        raise ConfigError(f"{field} answered for {len(answers)} of {len(texts)} completions: give {wanted}")
    return answers


def _inner(reward_func: Any) -> Any:
    """The function inside of partial ones."""
    while isinstance(reward_func, functools.partial):
        reward_func = reward_func.func
    return reward_func


def _name(reward_func: Any) -> str:
    """The name that TRL gives the function in its logs."""
    reward_func = _inner(reward_func)
    return getattr(reward_func, "__name__", type(reward_func).__name__)


def _is_async(reward_func: Any) -> bool:
    reward_func = _inner(reward_func)
    return inspect.iscoroutinefunction(reward_func) or inspect.iscoroutinefunction(type(reward_func).__call__)
