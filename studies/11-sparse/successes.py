"""Rewards of 0 and 1, success or not, with nothing to exploit."""

from collections.abc import Sequence
from dataclasses import replace

from gaard.lab.scenarios import SCENARIOS, Scenario
from gaard.rewards import HumanReward


def _success(name: str, threshold: float, share: str) -> Scenario:
    """`clean` with 1 for a rating from the threshold on, which that share of the untrained texts reach, and 0 below."""
    rating = HumanReward()

    def success(*, prompts: Sequence[str], completions: Sequence[str], **_: object) -> list[float]:
        return [float(one >= threshold) for one in rating(prompts=prompts, completions=completions)]

    summary = f"1 for a human rating of {threshold} or more, else 0; {share} of the untrained model's texts have it"
    return replace(SCENARIOS["clean"](), name=name, summary=summary, proxy=success, true_reward=success, reach=None)


rare = _success("rare", 0.75, "11%")
half = _success("half", 0.55, "52%")
