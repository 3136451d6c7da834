"""gaard in TRL as a user runs it: over two processes, and the example."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from run_trl import REWARDS

from launching import launched
from pages import ROOT
from tiny import tiny_lm, word_tokenizer

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).with_name("run_trl.py")


def run(command, folder):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", *command], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def shares(folder, processes):
    """What each process found, as Accelerate starts them."""
    out = folder / f"of{processes}"
    run([*launched(processes), str(SCRIPT), str(out), str(folder / "model")], folder)
    return [json.loads(Path(f"{out}-{rank}.json").read_text()) for rank in range(processes)]


def test_two_processes_fold_as_one_does(tmp_path):
    tiny_lm("gpt2").save_pretrained(tmp_path / "model")
    word_tokenizer([f"w{number}" for number in range(33)]).save_pretrained(tmp_path / "model")
    (one,), two = shares(tmp_path, 1), shares(tmp_path, 2)
    assert [share["processes"] for share in (one, *two)] == [1, 2, 2]
    for key in ("plain", "folded"):
        assert [len(share[key]) for share in two] == [8, 8]
        assert two[0][key] + two[1][key] == one[key]
    assert [share["turned"] for share in (one, *two)] == [[1 / 16]] * 3
    assert one["plain"][7] == 40.0 - sum(REWARDS[:8]) / 8
    assert one["folded"] == [-x if number == 7 else x for number, x in enumerate(one["plain"])]


def test_the_example_trains(tmp_path):
    """`python examples/trl_grpo.py`, for two rollouts."""
    printed = run([str(ROOT / "examples" / "trl_grpo.py"), "16"], tmp_path)
    last = ast.literal_eval(printed.splitlines()[-1])
    assert 0 < last["reward"] < 1
    assert 0 <= last["gaard/turned"] < 0.5
