"""Steps of one way in a process of its own: seconds, and peak memory above the bare interpreter with its libraries."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import torch

from benchmarks.measuring import DEVICE, ON_GPU, STATES, peak, timed
from benchmarks.models import (
    check_named,
    gpt2_shape,
    greedy_looks,
    load,
    tokens_of_smollm2,
    trainer_of,
    trivial_reward,
)
from benchmarks.plain import PlainGAA

STEPS = 2  # the faster one counts


def main(way: str, model: str, batch: str, tokens: str, vocabulary: str, out: str) -> None:
    """Measure, and write the JSON.

    Args:
        way: ``gaard-`` and one of ``models.WAYS``, ``plain-gaa`` or ``plain-ppo``.
        model: As in :mod:`benchmarks.models`.
        batch: Completions a step; of gaard's ways alone, as the next two.
        tokens: Of a completion.
        vocabulary: Tokens that a GPT-2 of random weights knows; empty for the model as it is.
        out: Path of the JSON.
    """
    bare = psutil.Process().memory_info().rss
    whose, method = way.split("-")
    if ON_GPU:
        torch.zeros(1, device=DEVICE)
        torch.cuda.reset_peak_memory_stats()
    lm, tokenizer = (gpt2_shape(int(vocabulary)), tokens_of_smollm2()) if vocabulary else load(model)
    sizes = dict(batch_size=int(batch), max_completion_length=int(tokens))
    step = gaard_step(lm, tokenizer, method, sizes) if whose == "gaard" else plain_step(lm, tokenizer, method)
    looks = greedy_looks(step) if whose == "gaard" else step()
    check_named(way, looks)
    seconds = min(timed(step) for _ in range(STEPS))
    states = STATES * sum(parameter.nbytes for parameter in lm.parameters())
    Path(out).write_text(json.dumps({"seconds": seconds, "peak": peak(bare), "states": states}))


def gaard_step(lm: Any, tokenizer: Any, method: str, sizes: dict[str, int]) -> Callable[[], Any]:
    """A step of gaard's."""
    return trainer_of(lm, tokenizer, method, **sizes).training_step


def plain_step(lm: Any, tokenizer: Any, method: str) -> Callable[[], int]:
    """A step of the plain rendering; gives how often it has looked at greedy tokens."""
    algorithm = PlainGAA(lm.to(DEVICE), tokenizer, trivial_reward, greedy=method == "gaa")

    def step() -> int:
        with torch.autocast(DEVICE, torch.bfloat16, enabled=ON_GPU):
            algorithm.step()
        return algorithm.looks

    return step


if __name__ == "__main__":
    main(*sys.argv[1:])
