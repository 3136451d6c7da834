"""A study that is killed at random moments ends with what an undisturbed one ends with."""

import json
import random
import sys
from pathlib import Path

import pytest

from forked import FORKS
from gaard.cli import main

pytestmark = pytest.mark.slow

STUDY = """
scenarios: [capped]
arms: [ppo, gaa-text]
seeds: 2
settings: {max_steps: 4, save_steps: 1, batch_size: 8, num_mini_batches: 2, eval_completions: 16, use_cpu: true}
"""
KILLS = 5


def command(*words: str) -> None:
    """The command, in a process that ends with its status: forked, so that kills fall into the study's work."""
    sys.exit(main(words))


def run(study: Path, out: Path, seconds: float | None) -> bool:
    """Whether the command came to its end before it was killed."""
    process = FORKS.Process(target=command, args=("compare", str(study), "--out", str(out)))
    process.start()
    process.join(seconds)
    if process.is_alive():
        process.kill()
        process.join()
    return process.exitcode == 0


def untimed(out: Path) -> str:
    """The results without what the clock said."""
    results = json.loads((out / "results.json").read_text())
    for found in results["scenarios"].values():
        for arm in found["arms"].values():
            arm.pop("seconds_per_step")
    for one in results["runs"]:
        one["measures"].pop("seconds_per_step", None)
    return json.dumps(results, indent=2)


def test_kills_at_any_moment_change_nothing(tmp_path):
    study = tmp_path / "study.yaml"
    study.write_text(STUDY)
    assert run(study, tmp_path / "whole", None)
    expected, moments = untimed(tmp_path / "whole"), random.Random(0)
    kills = studies = 0
    while kills < KILLS and studies < KILLS:  # a machine that is done within two seconds kills none
        out = tmp_path / f"killed-{studies}"
        if run(study, out, moments.uniform(2.0, 5.0)):
            assert untimed(out) == expected
            studies += 1
        else:
            kills += 1
    assert run(study, out, None)
    assert untimed(out) == expected
