"""Several rewards for one thing as one: conservative where they differ (Coste et al., arXiv 2310.02743)."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args

from gaard.errors import ConfigError, did_you_mean
from gaard.messages import shortened
from gaard.reward_names import Objective
from gaard.rewards.combination import checked_number
from gaard.rewards.protocol import RewardFunction, ask_all, check_reward_function, reward_name

OBJECTIVES: Mapping[str, Callable[[list[float], float], float]] = {
    "uncertainty-weighted": lambda scores, coef: statistics.fmean(scores) - coef * statistics.variance(scores),
    "worst-case": lambda scores, _: min(scores),
    "mean": lambda scores, _: statistics.fmean(scores),
}


class EnsembleReward:
    """The mean of several rewards less λ times their variance (UWO), the least of them (WCO), or their mean.

    Rewards that were learned differ where each has seen little; what all of them have wrong, such as a mistake in the
    code that they share, no ensemble finds. The variance has K − 1 in its denominator, as that of the authors' code for
    PPO (``src/reward_modeling/scoring/ppo_reward_functions.py``); their code for best-of-n has K.

    Args:
        members: K rewards for one thing, on one scale, at least two.
        objective: `"uncertainty-weighted"`, `"worst-case"` or `"mean"`.
        coef: λ, of uncertainty-weighted alone.

    Attributes:
        functions: The members.
        objective: As given.
        coef: As given.
        name: In words.

    Raises:
        ConfigError: Fewer than two members, one that is no reward function, an unknown objective, or a coefficient that
            is not a finite number.
    """

    def __init__(
        self,
        members: Sequence[RewardFunction],
        *,
        objective: Objective = "uncertainty-weighted",
        coef: float = 0.1,
    ) -> None:
        self.functions = tuple(members)
        if len(self.functions) < 2:
            raise ConfigError(f"an ensemble has {len(self.functions)} member(s): give two rewards or more")
        for index, member in enumerate(self.functions):
            check_reward_function(member, f"members[{index}]")
        known = get_args(Objective)
        if objective not in known:
            raise ConfigError(
                f"objective is {shortened(objective)}: choose {', '.join(map(repr, known))}."
                f"{did_you_mean(objective, known)}"
            )
        self.objective, self.coef = objective, checked_number(coef, "coef")
        weight = f", λ = {self.coef:.12g}" if objective == "uncertainty-weighted" else ""
        self.name = f"{objective}({', '.join(map(reward_name, self.functions))}{weight})"

    def __call__(
        self,
        *,
        prompts: Sequence[str],
        completions: Sequence[str],
        completion_ids: Sequence[Sequence[int]],
        **columns: Sequence[Any],
    ) -> list[float | None]:
        """Score N completions; None where a member does not score.

        Raises:
            RewardError: One of the members failed.
        """
        texts = {"prompts": prompts, "completions": completions}
        answers = ask_all(self.functions, **texts, completion_ids=completion_ids, columns=columns)
        return [self.of(scores) for scores in zip(*answers, strict=True)]

    def of(self, scores: Sequence[float | None]) -> float | None:
        """The reward of one completion.

        Args:
            scores: Of each member.

        Returns:
            What the objective makes of them; None if one is None.
        """
        known = [score for score in scores if score is not None]
        return OBJECTIVES[self.objective](known, self.coef) if len(known) == len(scores) else None

    def __repr__(self) -> str:
        return f"EnsembleReward({self.name})"
