"""Proxies that are wrong: one beside its truth, such as a learned one, and one that likes length, made by hand.

What a policy finds there has no name beforehand, such as a word. A hack is a text that the proxy has reason to like,
and that the truth finds worse than usual.
"""

from collections.abc import Sequence
from typing import Any

from gaard.errors import ConfigError
from gaard.rewards.combination import checked_number
from gaard.rewards.exploitable import ExploitableReward, check_honest
from gaard.rewards.protocol import RewardFunction, ask, reward_name
from gaard.rewards.shaping import words


class ImperfectReward(ExploitableReward):
    """A proxy beside the truth that it stands for; a hack is a text that only the proxy likes.

    A completion is a hack where the proxy is at least ``liked`` and the truth is below ``usual``. Both must rate the
    completion alone, as `HumanReward` does with ``include_prompt=False``: a detector sees no prompt.

    Args:
        proxy: What trains.
        truth: What was meant.
        liked: Proxy reward from which on a text is among the best: of the scenarios, the 90th percentile of the
            untrained model's completions.
        usual: True reward of a usual text: of the scenarios, the median of the untrained model's completions.

    Raises:
        ConfigError: One of the two is no reward function or can be hacked in a known way, or a bound is no number.
    """

    def __init__(self, proxy: RewardFunction, truth: RewardFunction, *, liked: float, usual: float) -> None:
        for part in (proxy, truth):
            check_honest(part, "an imperfect reward")
        checked_number(liked, "imperfect.liked")
        checked_number(usual, "imperfect.usual")
        self.proxy, self.true_reward = proxy, truth
        self.liked, self.usual = liked, usual
        self.name = f"imperfect({reward_name(proxy)} for {reward_name(truth)})"

    def detect(self, completions: Sequence[str]) -> list[bool]:
        """Whether the proxy likes each of N completions, and the truth finds it worse than usual."""
        proxy, true = (_alone(one, completions) for one in (self.proxy, self.true_reward))
        return [self._hack(one, other) for one, other in zip(proxy, true, strict=True)]

    def _hack(self, proxy: float | None, true: float | None) -> bool:
        return proxy is not None and true is not None and proxy >= self.liked and true < self.usual

    def proxy_and_true(
        self, *, completions: Sequence[str], **kwargs: Any
    ) -> tuple[list[float | None], list[float | None]]:
        """See `ExploitableReward.proxy_and_true`."""
        proxy, true = (_of_batch(one, completions, kwargs) for one in (self.proxy, self.true_reward))
        return proxy, true

    def __repr__(self) -> str:
        bounds = f"liked {self.liked:.12g}, usual {self.usual:.12g}"
        return f"ImperfectReward({self.proxy!r}, {self.true_reward!r}, {bounds})"


class LengthBias(ExploitableReward):
    """A judge that likes length: the truth, and so much for every word, without a limit.

    It is made by hand; no fit was made. It is what a linear fit with the number of words among its features, undamped,
    would give if ratings rose by ``per_word`` a word: such a fit is linear in what it is fitted to. A hack is a long
    text that the truth finds worse than usual.

    Args:
        truth: What was meant.
        per_word: What each word adds, in units of the truth.
        long: Words from which on a text is long.
        usual: As of `ImperfectReward`.

    Raises:
        ConfigError: The truth is no reward function or can be hacked in a known way, or a number is none.
    """

    def __init__(self, truth: RewardFunction, *, per_word: float, long: int, usual: float) -> None:
        check_honest(truth, "a length bias")
        checked_number(per_word, "length bias.per_word")
        checked_number(usual, "length bias.usual")
        if not isinstance(long, int) or long < 1:
            raise ConfigError(f"length bias.long is {long!r}: give a whole number of words, 1 or more")
        self.true_reward, self.per_word, self.long, self.usual = truth, per_word, long, usual
        self.name = f"length bias({reward_name(truth)}, {per_word:.12g} a word)"

    def detect(self, completions: Sequence[str]) -> list[bool]:
        """Whether each of N completions is long, and the truth finds it worse than usual."""
        true = _alone(self.true_reward, completions)
        return [
            len(words(text)) >= self.long and one is not None and one < self.usual
            for text, one in zip(completions, true, strict=True)
        ]

    def proxy_and_true(
        self, *, completions: Sequence[str], **kwargs: Any
    ) -> tuple[list[float | None], list[float | None]]:
        """See `ExploitableReward.proxy_and_true`."""
        true = _of_batch(self.true_reward, completions, kwargs)
        pay = [self.per_word * len(words(text)) for text in completions]
        return [None if one is None else one + more for one, more in zip(true, pay, strict=True)], true

    def __repr__(self) -> str:
        bounds = f"per_word {self.per_word:.12g}, long {self.long}, usual {self.usual:.12g}"
        return f"LengthBias({self.true_reward!r}, {bounds})"


def _alone(reward: RewardFunction, completions: Sequence[str]) -> list[float | None]:
    """The reward of completions without their prompts, which a detector does not see."""
    return _of_batch(
        reward, completions, {"prompts": [""] * len(completions), "completion_ids": [[]] * len(completions)}
    )


def _of_batch(reward: RewardFunction, completions: Sequence[str], kwargs: dict[str, Any]) -> list[float | None]:
    """A checked answer, a number or None for each completion."""
    columns = {name: column for name, column in kwargs.items() if name not in ("prompts", "completion_ids")}
    batch = {"prompts": kwargs["prompts"], "completion_ids": kwargs["completion_ids"], "columns": columns}
    return ask(reward, completions=list(completions), **batch)
