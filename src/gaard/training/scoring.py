"""The rewards of one run: the proxy that trains, the truths that are watched, and whether the proxy was hacked."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor
from transformers import PreTrainedTokenizerBase, TrainerState

from gaard.code_identity import identity_of, is_shipped
from gaard.errors import ConfigError
from gaard.regularizers import Ensemble
from gaard.rewards import ExploitableReward, RewardFunction, combine, reward_from_name, score
from gaard.rewards.combination import CombinedReward
from gaard.rewards.exploitable import check_exploitable, proxies_and_truths
from gaard.rewards.features import check_features
from gaard.rewards.in_run import offering
from gaard.rewards.protocol import check_reward_function
from gaard.rewards.time_limit import time_limit
from gaard.training.config import GAAConfig
from gaard.training.detection import HackDetector, detected
from gaard.training.reward_log import RewardLog, run_keywords, trainer_state
from gaard.training.state import TrainingState

RewardFunctions = RewardFunction | str | Sequence[RewardFunction | str]


@dataclass(frozen=True)
class Scores:
    """What the rewards say of n completions.

    Attributes:
        proxy: float32 [n], the reward that trains.
        parts: float32 [n, k], each reward function's own, unweighted; NaN where it does not score.
        true: float32 [n]; NaN where no truth was declared.
        judge: float32 [n], an independent judge that nothing trains on; NaN where there is none.
        hacked: float32 [n], 1 for a hack, else 0; NaN where nothing was declared to be one.
    """

    proxy: Tensor
    parts: Tensor
    true: Tensor
    judge: Tensor
    hacked: Tensor


class Scorer:
    """Proxy reward, true reward, independent judge and hack detector of a run.

    Args:
        reward_funcs: The proxy: one reward function or several that are summed, or their names (``reward_from_name``).
        weights: One a function.
        true_reward_funcs: The truth; by default the proxy without its known hacks, and unknown if it has none.
        hack_detector: Completions → whether each is a hack; by default the detectors of the ``ExploitableReward``
            among ``reward_funcs``; without any, it is unknown what is a hack.
        judge_reward_funcs: An independent judge that is watched, if there is one.
        ensemble_reward_funcs: Rewards for one thing, for the regulariser that trains on an ensemble.

    Attributes:
        state: Says where the run is, for the functions that want to know; by default at its start.
        seconds: That one call of a user's function may take; None for no limit.
        logged: What the functions have logged in the last call of :meth:`score`.

    Raises:
        ConfigError: For anything that is not a reward function.
    """

    def __init__(
        self,
        reward_funcs: RewardFunctions,
        weights: Sequence[float] | None = None,
        true_reward_funcs: RewardFunctions | None = None,
        hack_detector: HackDetector | None = None,
        judge_reward_funcs: RewardFunctions | None = None,
        ensemble_reward_funcs: RewardFunctions | None = None,
    ):
        self.proxy = combine(_as_list(reward_funcs), weights)
        if hack_detector is not None and not callable(hack_detector):
            raise ConfigError(f"hack_detector={hack_detector!r} cannot be called: give a function of completions")
        self.exploitable = [part for part in self.proxy.functions if isinstance(part, ExploitableReward)]
        for reward in self.exploitable:
            check_exploitable(reward)
        self.detector = hack_detector
        self._implied = true_reward_funcs is None and bool(self.exploitable)
        self.true: CombinedReward | None = None
        if true_reward_funcs is not None:
            self.true = _combined(true_reward_funcs, "true_reward_funcs")
        elif self._implied:
            truths = [f.true_reward if isinstance(f, ExploitableReward) else f for f in self.proxy.functions]
            self.true = combine(truths, self.proxy.weights)
        self.judge = None if judge_reward_funcs is None else _combined(judge_reward_funcs, "judge_reward_funcs")
        members = None if ensemble_reward_funcs is None else _combined(ensemble_reward_funcs, "ensemble_reward_funcs")
        self.members = members
        self.state: Callable[[], TrainerState] = TrainerState
        self.seconds: float | None = None
        self.logged = RewardLog()
        self._identity = self._identified()

    def follow(self, state: TrainingState, config: GAAConfig, accelerator: Accelerator) -> None:
        """Tell the functions from now on where a run is, and give them its limit of time.

        Args:
            state: What training changes.
            config: The run's settings.
            accelerator: Tells this process.
        """
        self.state = lambda: trainer_state(state, config, accelerator)
        self.seconds = config.reward_timeout

    def score(self, completions: list[str], **batch: Any) -> Scores:
        """Proxy, truth, judge and hacks of a batch; a base reward that proxy and truth share is computed once.

        Args:
            completions: n texts.
            **batch: ``prompts``, ``completion_ids``, ``columns``.

        Returns:
            The scores.

        Raises:
            RewardError: If a reward function fails or returns what is not a number for every completion.
        """
        log = self.logged = RewardLog(len(completions))
        with offering(lambda: run_keywords(self.state(), log)), time_limit(self.seconds):
            return self._scores(completions, batch)

    def again(self, which: str | Ensemble, **batch: Any) -> Tensor:
        """What trains, where :meth:`score` has not told it already: nothing that is logged meanwhile is kept.

        Args:
            which: ``proxy``, ``true`` or what makes an ensemble.
            **batch: ``prompts``, ``completions``, ``completion_ids`` and ``columns``.

        Returns:
            float32 [n].

        Raises:
            RewardError: As :meth:`score` does.
        """
        with offering(lambda: run_keywords(self.state())), time_limit(self.seconds):
            return score(self.trained(which), **batch)

    def _scores(self, completions: list[str], batch: dict[str, Any]) -> Scores:
        proxies, truths = proxies_and_truths(self.proxy.functions, completions, batch)
        proxy = torch.tensor(self.proxy.total(proxies, batch["prompts"], completions), dtype=torch.float32)
        parts = torch.tensor([[math.nan if x is None else x for x in one] for one in proxies], dtype=torch.float32)
        unknown = torch.full_like(proxy, torch.nan)
        true = judge = hacked = unknown
        if self._implied and self.true is not None:
            true = torch.tensor(self.true.total(truths, batch["prompts"], completions), dtype=torch.float32)
        elif self.true is not None:
            true = score(self.true, completions=completions, **batch)
        if self.judge is not None:
            judge = score(self.judge, completions=completions, **batch)
        if self.knows_hacks:
            hacked = torch.tensor(self.detect(completions, batch["prompts"], batch["columns"]), dtype=torch.float32)
        return Scores(proxy, parts.T.contiguous(), true, judge, hacked)

    def trained(self, which: str | Ensemble) -> CombinedReward:
        """What trains.

        Args:
            which: ``proxy``, ``true`` or what makes an ensemble.

        Returns:
            That reward.

        Raises:
            ConfigError: If the truth is to train, and none was declared; or an ensemble, and it has no members.
        """
        if not isinstance(which, str):
            if self.members is None:
                raise ConfigError(
                    f"the regularizer {which.name!r} trains on an ensemble, and there is none: give "
                    "ensemble_reward_funcs, or a scenario that has one"
                )
            return combine([which.reward(self.members.functions)])
        found = self.true if which == "true" else self.proxy
        if found is None:
            raise ConfigError(
                "trained_reward='true', and no true reward is known: give true_reward_funcs, or train on the proxy"
            )
        return found

    def checked(self, config: GAAConfig) -> "Scorer":
        """This scorer, unless settings want a reward or a detector that is not there.

        Raises:
            ConfigError: Naming what wants it.
        """
        trained = self.trained(config.trains_on)
        if config.observes.reward_features:
            check_features(trained, config.method.name)
        asking = next((one.name for one in config.regularizers if one.needs_detector), None)
        if asking and not self.knows_hacks:
            raise ConfigError(
                f"the regularizer {asking!r} has to be told what is a hack: give hack_detector, or a reward that knows"
            )
        return self

    @property
    def knows_hacks(self) -> bool:
        """Whether anything was declared to be a hack, or declared that nothing is."""
        return self.detector is not None or bool(self.exploitable)

    def detect(
        self,
        completions: list[str],
        prompts: Sequence[str] | None = None,
        columns: Mapping[str, Sequence[Any]] | None = None,
    ) -> list[bool]:
        """Whether each completion hacks the proxy, where it is known what is a hack.

        Args:
            completions: n texts.
            prompts: Their prompts, for hacks that pay at some prompts alone; None where such a hack would pay.
            columns: The dataset's, for a detector that asks for one by name.

        Returns:
            n answers.
        """
        if self.detector is not None:
            return detected(self.detector, "hack_detector", completions, {"prompts": prompts, **(columns or {})})
        hits = [detected(reward.detect, f"{reward.name}.detect", completions) for reward in self.exploitable]
        if prompts is not None:
            pays = [reward.applies(prompts) for reward in self.exploitable]
            hits = [[a and b for a, b in zip(*both, strict=True)] for both in zip(hits, pays, strict=True)]
        return [any(column) for column in zip(*hits, strict=True)]

    def spans(self, completion: str, prompt: str) -> list[tuple[int, int]]:
        """Where in a completion a known hack stands.

        Args:
            completion: The text.
            prompt: Its prompt, at which some hacks may not pay.

        Returns:
            Start and end in characters, for each; none where a hack is nowhere in particular.
        """
        paying = [reward for reward in self.exploitable if all(reward.applies([prompt]))]
        return [span for reward in paying for span in reward.spans(completion)]

    def identity(self) -> dict[str, Any]:
        """What tells the rewards in a run's configuration.

        Taken when the scorer is made, for what an object holds may change as it scores. ``gaard.code_identity`` says
        what it cannot tell.

        Returns:
            Names of proxy, truth and judge, the known hacks, and of each function the code and what it was given;
            JSON, the same in every process and folder.
        """
        return self._identity

    def _identified(self) -> dict[str, Any]:
        roles = {"proxy": self.proxy, "true": self.true, "judge": self.judge, "detector": self.detector}
        roles |= {} if self.members is None else {"ensemble": self.members}
        return {
            "proxy": self.proxy.name,
            "true": None if self.true is None else self.true.name,
            "judge": None if self.judge is None else self.judge.name,
            "exploitable": [repr(one) if is_shipped(type(one)) else one.name for one in self.exploitable],
            "functions": identity_of(roles),
        }


def _as_list(reward_funcs: RewardFunctions) -> list[RewardFunction]:
    """Functions as a list, names looked up; what is neither is left for the check that refuses it."""
    given: Any = reward_funcs
    functions = [given] if callable(given) or isinstance(given, str) or not isinstance(given, Iterable) else given
    return [reward_from_name(function) if isinstance(function, str) else function for function in functions]


def _combined(reward_funcs: RewardFunctions, field: str) -> CombinedReward:
    """Functions that are watched, not trained on, as one."""
    functions = _as_list(reward_funcs)
    for index, function in enumerate(functions):
        check_reward_function(function, f"{field}[{index}]")
    return combine(functions)


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
