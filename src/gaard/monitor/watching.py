"""The monitor: it is told of each step's batch, keeps what it must, and says what stands out. It changes nothing."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from gaard.errors import ConfigError
from gaard.messages import shortened
from gaard.monitor.figures import figures_of
from gaard.monitor.rules import RULES
from gaard.monitor.words import LastTexts, PaidWord

Numbers = Sequence[float | None] | np.ndarray | torch.Tensor
FIGURE = {"true_rewards": "true_reward", "hacked": "hack_rate", "lengths": "length"}  # what a column's mean is called


@dataclass(frozen=True)
class Alarm:
    """A rule that holds for the first time.

    Attributes:
        rule: Its name in ``RULES``.
        step: In whose batch it was seen.
        reason: One sentence.
    """

    rule: str
    step: int
    reason: str


@dataclass(frozen=True)
class Report:
    """What a monitor says of a step.

    Attributes:
        step: Its number.
        figures: Name → number (docs/monitor.md); what is not known is not there.
        alarms: Those raised at this step.
    """

    step: int
    figures: Mapping[str, float]
    alarms: tuple[Alarm, ...]


class Monitor:
    """What is watched of one training.

    Args:
        rules: Names of those that may raise an alarm; by default all of ``RULES``.

    Attributes:
        figures: Name → number of each step so far, in their order.
        words: The words that the last texts are paid for, the one that stands out most first.
        alarms: Each rule's first, in the order in which they were raised.

    Raises:
        ConfigError: For a rule that is not known.
    """

    def __init__(self, rules: Iterable[str] | None = None):
        self.rules = tuple(RULES if rules is None else rules)
        for rule in self.rules:
            if rule not in RULES:
                raise ConfigError(f"rules has {rule!r}: choose from {', '.join(RULES)}")
        self.figures: list[dict[str, float]] = []
        self.words: list[PaidWord] = []
        self.alarms: list[Alarm] = []
        self._texts = LastTexts()
        self._extremes = np.inf, -np.inf  # the least and the most that was paid

    def update(
        self,
        step: int,
        rewards: Numbers,
        *,
        true_rewards: Numbers | None = None,
        hacked: Numbers | None = None,
        completions: Sequence[str] | None = None,
        lengths: Numbers | None = None,
        groups: Iterable[Hashable] | None = None,
        entropy: float | None = None,
        kl: float | None = None,
        truncated: float | None = None,
    ) -> Report:
        """Take in a step's batch of B completions, of all processes.

        Args:
            step: Its number.
            rewards: [B], what trains; None, NaN or infinite where nothing was paid: such are left out.
            true_rewards: [B], what was meant, on the scale of ``rewards``.
            hacked: bool [B], what a detector says.
            completions: B texts.
            lengths: [B], in tokens; by default that of the texts, in words.
            groups: B names, such as prompts; texts of one name are compared alone. None: each text has its own.
            entropy: Of the policy, in nats a token.
            kl: From the reference, in nats.
            truncated: Share of the completions that were cut off.

        Returns:
            What is to be said of it.

        Raises:
            ConfigError: For columns of another length than ``rewards``, or numbers, texts or names that are none.
        """
        paid = _column("rewards", rewards)
        columns = {"true_rewards": true_rewards, "hacked": hacked, "lengths": lengths}
        numbers = {field: _column(field, given) for field, given in columns.items() if given is not None}
        names = None if groups is None else _names(groups)
        _check_sizes({**numbers, "completions": completions, "groups": names}, len(paid))
        if completions is not None:
            _check_texts(completions)
            self._texts.add(completions, paid, names)
            self.words = self._texts.paid()
        means = {FIGURE[field]: column for field, column in numbers.items()}
        figures = figures_of(paid, means, completions, names, self._extremes)
        self._extremes = np.fmin.reduce([*paid, self._extremes[0]]), np.fmax.reduce([*paid, self._extremes[1]])
        if completions is not None:
            figures["word_paid"] = self.words[0].at_least if self.words else 0.0
        logged = {"entropy": entropy, "kl": kl, "truncated": truncated}
        return self.note(step, {**figures, **{name: x for name, x in logged.items() if x is not None}})

    def note(self, step: int, figures: Mapping[str, float]) -> Report:
        """Take in figures of a step whose texts and rewards are not known, such as a trainer's logs.

        Args:
            step: Its number.
            figures: Name → number, by the monitor's names.

        Returns:
            What is to be said of it; rules that need texts say nothing.
        """
        self.figures.append({name: float(x) for name, x in figures.items()})
        said = {alarm.rule for alarm in self.alarms}
        reasons = {rule: RULES[rule](self) for rule in self.rules if rule not in said}
        raised = [Alarm(rule, step, reason) for rule, reason in reasons.items() if reason]
        self.alarms += raised
        return Report(step, self.figures[-1], tuple(raised))

    def path(self, name: str) -> list[float]:
        """A figure over the steps in which it was known.

        Args:
            name: A key of ``figures``.

        Returns:
            As many numbers.
        """
        return self.paths(name)[0]

    def paths(self, *names: str) -> list[list[float]]:
        """Several figures over the steps in which all of them were known.

        Args:
            names: Keys of ``figures``.

        Returns:
            Of each, as many numbers.
        """
        known = [figures for figures in self.figures if figures.keys() >= set(names)]
        return [[figures[name] for figures in known] for name in names]


def _names(groups: Any) -> list[Hashable]:
    """The values of a tensor or an array, which Python would else tell apart by where they are in memory."""
    values = groups.tolist() if isinstance(groups, (np.ndarray, torch.Tensor)) else groups
    if not isinstance(values, Iterable):
        raise ConfigError(f"groups is {shortened(values)}: give a name a completion")
    names = list(values)
    for index, name in enumerate(names):
        if not isinstance(name, Hashable):
            raise ConfigError(f"groups[{index}] is {shortened(name)}: give texts or numbers, such as str(prompt)")
    return names


def _check_texts(completions: Sequence[Any]) -> None:
    for index, text in enumerate(completions):
        if not isinstance(text, str):
            raise ConfigError(f"completions[{index}] is {shortened(text)}: give a text, of messages their contents")


def _check_sizes(columns: Mapping[str, Any], size: int) -> None:
    for field, given in columns.items():
        if given is not None and len(given) != size:
            raise ConfigError(f"{field} has {len(given)} entries for {size} rewards: give one a completion")


def _column(field: str, given: Any) -> np.ndarray:
    """Numbers as float64, NaN for None and for what is not finite: a monitor must not end a training."""
    values = given.tolist() if isinstance(given, (np.ndarray, torch.Tensor)) else given
    try:
        numbers = np.array([np.nan if value is None else float(value) for value in values])
    except (TypeError, ValueError, OverflowError):
        raise ConfigError(f"{field} is {shortened(values)}: give a number a completion") from None
    if not len(numbers):
        raise ConfigError(f"{field} is empty: give a number a completion")
    return np.where(np.isfinite(numbers), numbers, np.nan)
