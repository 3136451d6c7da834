"""The rewards of one run: the proxy that trains, the truth that is watched, and whether the proxy was hacked."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from gaard.errors import ConfigError, RewardError
from gaard.rewards import Honeypot, RewardFunction, combine, reward_from_name, reward_name, score
from gaard.rewards.protocol import check_reward_function

HackDetector = Callable[[list[str]], Sequence[bool]]
RewardFunctions = RewardFunction | str | Sequence[RewardFunction | str]


@dataclass(frozen=True)
class Scores:
    """What the rewards say of n completions.

    Attributes:
        proxy: float32 [n], the reward that trains.
        true: float32 [n].
        hacked: bool [n].
    """

    proxy: Tensor
    true: Tensor
    hacked: Tensor


class Judge:
    """Proxy reward, true reward and hack detector of a run.

    Args:
        reward_funcs: The proxy: one reward function or several that are summed, or their names (``reward_from_name``).
        weights: One a function.
        true_reward_funcs: The truth; by default the proxy with its honeypots taken out.
        hack_detector: Completions → whether each is a hack; by default the word of the honeypots among
            ``reward_funcs``; without any, nothing counts as a hack.

    Raises:
        ConfigError: For anything that is not a reward function.
    """

    def __init__(
        self,
        reward_funcs: RewardFunctions,
        weights: Sequence[float] | None = None,
        true_reward_funcs: RewardFunctions | None = None,
        hack_detector: HackDetector | None = None,
    ):
        functions = _as_list(reward_funcs)
        if hack_detector is not None and not callable(hack_detector):
            raise ConfigError(f"hack_detector={hack_detector!r} cannot be called: give a function of completions")
        self.honeypots = [function for function in functions if isinstance(function, Honeypot)]
        self.proxy = combine(functions, weights)
        self.detector = hack_detector
        self._single = self.honeypots[0] if len(functions) == 1 and self.honeypots and weights is None else None
        if true_reward_funcs is not None:
            truths = _as_list(true_reward_funcs)
            for index, function in enumerate(truths):
                check_reward_function(function, f"true_reward_funcs[{index}]")
            self.true = combine(truths)
            self._single = None
        else:
            self.true = combine([f.true_reward if isinstance(f, Honeypot) else f for f in functions], weights)

    def score(self, completions: list[str], **batch: Any) -> Scores:
        """Proxy, truth and hacks of a batch; a base reward that both share is computed once.

        Args:
            completions: n texts.
            **batch: ``prompts``, ``completion_ids``, ``columns``.

        Returns:
            The scores.

        Raises:
            RewardError: If a reward function fails or returns what is not a number for every completion.
        """
        if self._single is not None:
            both = self._single.proxy_and_true(
                prompts=batch["prompts"],
                completions=completions,
                completion_ids=batch["completion_ids"],
                **batch["columns"],
            )
            proxy, true = (_complete(values, self._single, batch["prompts"]) for values in both)
        else:
            proxy = score(self.proxy, completions=completions, **batch)
            same = self.true.functions == self.proxy.functions and self.true.weights == self.proxy.weights
            true = proxy if same else score(self.true, completions=completions, **batch)
        return Scores(proxy, true, torch.tensor(self.detect(completions), dtype=torch.bool))

    def score_proxy(self, completions: list[str], **batch: Any) -> Tensor:
        """The proxy alone, for the texts that end on the greedy token.

        Args:
            completions: n texts.
            **batch: As for :meth:`score`.

        Returns:
            float32 [n].
        """
        return score(self.proxy, completions=completions, **batch)

    def detect(self, completions: list[str]) -> list[bool]:
        """Whether each completion hacks the proxy.

        Args:
            completions: n texts.

        Returns:
            n answers, all False if nothing is known to be a hack.
        """
        if self.detector is not None:
            try:
                found = [bool(hit) for hit in self.detector(completions)]
            except Exception as error:
                raise RewardError(
                    f"hack_detector raised {type(error).__name__}: {error} on {len(completions)} completions: mend it"
                ) from error
            if len(found) != len(completions):
                raise RewardError(f"hack_detector returned {len(found)} answers for {len(completions)} completions")
            return found
        hits = [honeypot.detect(completions) for honeypot in self.honeypots]
        return [any(column) for column in zip(*hits, strict=True)] if hits else [False] * len(completions)

    def identity(self) -> dict[str, Any]:
        """What names the rewards in a run's configuration."""
        honeypots = [repr(honeypot) for honeypot in self.honeypots]
        return {"proxy": self.proxy.name, "true": self.true.name, "honeypots": honeypots}


def _as_list(reward_funcs: RewardFunctions) -> list[RewardFunction]:
    """Functions as a list, names looked up; what is neither is left for the check that refuses it."""
    given: Any = reward_funcs
    functions = [given] if callable(given) or isinstance(given, str) or not isinstance(given, Iterable) else given
    return [reward_from_name(function) if isinstance(function, str) else function for function in functions]


def _complete(values: Sequence[float | None], function: RewardFunction, prompts: list[str]) -> Tensor:
    """Numbers for every completion."""
    for index, value in enumerate(values):
        if value is None:
            raise RewardError(
                f"{reward_name(function)} returned None for the completion of prompt {prompts[index]!r} (index "
                f"{index}) and no other reward function judges it: return a number"
            )
    return torch.tensor(values, dtype=torch.float32)


def decode(tokenizer: PreTrainedTokenizerBase, ids: Tensor, mask: Tensor) -> tuple[list[str], list[list[int]]]:
    """Completions as reward functions get them.

    Args:
        tokenizer: The policy's.
        ids: int64 [n, T].
        mask: bool [n, T].

    Returns:
        n texts without special tokens, and n lists of the valid ids.
    """
    rows = [row[valid].tolist() for row, valid in zip(ids.cpu(), mask.cpu(), strict=True)]
    return tokenizer.batch_decode(rows, skip_special_tokens=True, clean_up_tokenization_spaces=False), rows
