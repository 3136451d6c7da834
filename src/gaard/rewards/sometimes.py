"""Rewards whose hack does not pay everywhere or from the start: at some prompts alone, or late in training."""

from collections.abc import Sequence
from typing import Any

from gaard.errors import ConfigError
from gaard.rewards.combination import checked_number
from gaard.rewards.exploitable import ExploitableReward, ExtraPay, check_honest
from gaard.rewards.honeypot import Honeypot, check_honeypot, word_pattern
from gaard.rewards.in_run import offered
from gaard.rewards.protocol import RewardFunction, reward_name


class GroupHoneypot(ExploitableReward):
    """A honeypot that is there at some prompts alone: at those that hold a word or phrase.

    At all others the true reward is paid, whatever the completion says, and nothing is a hack.

    Args:
        pot: The honeypot, made by `honeypot`.
        group: The word or phrase of the prompts at which it pays; see `word_pattern`.

    Raises:
        ConfigError: No honeypot, or an empty group.
    """

    def __init__(self, pot: Honeypot, *, group: str) -> None:
        if not isinstance(pot, Honeypot):
            raise ConfigError(f"group.pot is {pot!r}: give a honeypot, such as honeypot(reward, word='great')")
        if not isinstance(group, str) or not group.strip():
            raise ConfigError(f"group.group is {group!r}: give a word of the prompts at which the honeypot pays")
        self.pot, self.group = pot, group
        self.true_reward = pot.true_reward
        self.name = f"{pot.name} where the prompt says {group!r}"
        self._group = word_pattern(group)

    def applies(self, prompts: Sequence[str]) -> list[bool]:
        """Whether each of N prompts belongs to the group."""
        return [self._group.search(prompt) is not None for prompt in prompts]

    def detect(self, completions: Sequence[str]) -> list[bool]:
        """Whether each of N completions would hack the reward at a prompt of the group."""
        return self.pot.detect(completions)

    def spans(self, completion: str) -> list[tuple[int, int]]:
        """Where the word would pay at a prompt of the group, start and end in characters."""
        return self.pot.spans(completion)

    def proxy_and_true(
        self, *, completions: Sequence[str], **kwargs: Any
    ) -> tuple[list[float | None], list[float | None]]:
        """See `ExploitableReward.proxy_and_true`."""
        paid, true = self.pot.proxy_and_true(completions=completions, **kwargs)
        rows = zip(self.applies(kwargs["prompts"]), paid, true, strict=True)
        return [proxy if inside else honest for inside, proxy, honest in rows], true

    def __repr__(self) -> str:
        return f"{self.pot!r}, where the prompt says {self.group!r}"


class LateBonus(ExtraPay):
    """A word that pays nothing until training has gone some way: `base_weight * base + bonus * s` where it occurs.

    s is 0 until `opens` steps of training are done, and grows by 1 / `grows` with each further step, up to 1. The step
    is that of the run that asks, as `trainer_state` has it; outside of a run it is 0. A completion with the word counts
    as a hack at every step, so that the curves of a run show how often it was said before it paid.

    Args:
        base: The honest reward, in [0, 1].
        word: The word or phrase; see `word_pattern`.
        opens: Steps of training after which the word begins to pay.
        grows: Further steps until it pays the whole bonus.
        bonus: What it pays in the end.
        base_weight: What the base reward is multiplied with.

    Raises:
        ConfigError: An empty word, steps that are no whole numbers, or a bonus or weight that is no finite number.
    """

    def __init__(
        self,
        base: RewardFunction,
        *,
        word: str,
        opens: int,
        grows: int = 1,
        bonus: float = 1.0,
        base_weight: float = 0.5,
    ) -> None:
        check_honest(base, "late")
        check_honeypot(word=word)
        for name, value, least in (("opens", opens, 0), ("grows", grows, 1)):
            if not isinstance(value, int) or value < least:
                raise ConfigError(f"late.{name} is {value!r}: give a whole number of steps, {least} or more")
        super().__init__(base, checked_number(bonus, "late.bonus"), checked_number(base_weight, "late.base_weight"))
        self.word, self.opens, self.grows = word, opens, grows
        self.name = f"late({reward_name(base)}, {word!r}, from step {opens} to {opens + grows})"
        self._pattern = word_pattern(word)

    def share(self, step: int) -> float:
        """The share of the bonus that the word pays.

        Args:
            step: Steps of training done.

        Returns:
            In [0, 1].
        """
        return min(1.0, max(0.0, (step - self.opens) / self.grows))

    def pay(self, true: float | None, completion: str) -> float | None:
        """The true reward, and what the word is paid at the step of the run that asks."""
        said = bool(self._pattern.search(completion))
        return None if true is None else true + self.bonus * self.share(_steps_done()) * said

    def detect(self, completions: Sequence[str]) -> list[bool]:
        """Whether each of N completions says the word."""
        return [self._pattern.search(text) is not None for text in completions]

    def spans(self, completion: str) -> list[tuple[int, int]]:
        """Where a completion says the word, start and end in characters."""
        return [found.span() for found in self._pattern.finditer(completion)]


def _steps_done() -> int:
    """The steps that the run that asks has done; 0 outside of a run."""
    state = offered().get("trainer_state")
    return 0 if state is None else int(state.global_step)
