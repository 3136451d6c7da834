"""Scenarios on the pocket calculator: rewards of a verifier, honest or with a bug.

Puzzles and sums train by the hundred, and others are measured.
"""

from collections.abc import Callable
from typing import Any

from gaard.lab.sums import puzzles, sums
from gaard.rewards import RewardFunction, combine
from gaard.rewards.verifiers import (
    bracketed,
    empty_brackets,
    exact_answer,
    listed,
    nearness,
    puzzle24,
    puzzle24_uncompared,
    shared_numbers,
    substring_answer,
    uncompared,
)

TRAINING = {
    "max_steps": 60,
    "batch_size": 128,
    "num_ppo_epochs": 2,
    "num_mini_batches": 4,
    "learning_rate": 1e-3,
    "lr_scheduler_type": "linear",
    "cpu_kernels": True,
}


def _puzzles(proxy: RewardFunction, **own: Any) -> dict[str, Any]:
    """The fields of a scenario of puzzles."""
    trained, held_out = puzzles()
    return _fields(trained, held_out, proxy, puzzle24, shared_numbers, "puzzle24") | own


def _sums(proxy: RewardFunction, **own: Any) -> dict[str, Any]:
    """The fields of a scenario of sums."""
    trained, held_out = sums()
    return _fields(trained, held_out, proxy, exact_answer, nearness, "sums") | own


def _fields(
    trained: list[Any],
    held_out: list[Any],
    proxy: RewardFunction,
    true: RewardFunction,
    judge: RewardFunction,
    name: str,
) -> dict[str, Any]:
    """What all have in common: no leash, so that what a verifier pays for is what is learned."""
    rewards = {"proxy": proxy, "true_reward": true, "judge_reward": judge, "control": name}
    prompts = {"prompts": tuple(trained), "eval_prompts": tuple(held_out)}
    return {**prompts, **rewards, "max_completion_length": 9, "temperature": 1.0, "kl_coef": 0.01, "training": TRAINING}


MADE: dict[str, Callable[[], dict[str, Any]]] = {
    "puzzle24": lambda: _puzzles(puzzle24),
    "puzzle24-uncompared": lambda: _puzzles(puzzle24_uncompared, hack_detector=uncompared),
    "sums": lambda: _sums(exact_answer),
    "sums-substring": lambda: _sums(substring_answer, hack_detector=listed),
    "sums-format": lambda: _sums(combine([exact_answer, bracketed]), hack_detector=empty_brackets),
}
