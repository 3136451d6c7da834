"""A run of the pocket model on a number of threads: median seconds of a step, as JSON."""

import json
import statistics
import sys
from pathlib import Path

import torch

from benchmarks.models import WAYS, check_named, greedy_looks, scratch
from gaard.lab.scenarios import with_scenario
from gaard.lab.spec import RunSpec, build_trainer

STEPS, WARM_UP = 25, 5
SETTINGS = {"max_completion_length": 16, "batch_size": 32, "num_ppo_epochs": 2, "num_mini_batches": 4}


def main(threads: str, method: str, out: str) -> None:
    """Train, and write the JSON.

    Args:
        threads: Of this process.
        method: One of ``WAYS``.
        out: Path of the JSON.
    """
    torch.set_num_threads(int(threads))
    options = {
        "scenario": "capped",
        **WAYS[method],
        "max_steps": STEPS,
        "save_steps": 10**6,
        "progress": False,
    }
    trainer = build_trainer(RunSpec(**with_scenario({**options, **SETTINGS, "output_dir": scratch()})))
    check_named(method, greedy_looks(trainer.train))
    seconds = [step["seconds"] for step in trainer.run.log.read("timings.jsonl")[WARM_UP:]]
    Path(out).write_text(json.dumps({"seconds": statistics.median(seconds)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
