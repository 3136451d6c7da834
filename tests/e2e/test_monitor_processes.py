"""The monitor in two processes of one training: each is told of the whole batch, and one of them warns."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from launching import launched
from tiny import tiny_lm, word_tokenizer

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).with_name("run_monitored.py")


def test_both_see_the_whole_batch_and_one_warns(tmp_path):
    tiny_lm().save_pretrained(tmp_path / "tiny")
    word_tokenizer([f"w{number}" for number in range(33)]).save_pretrained(tmp_path / "tiny")
    command = [sys.executable, *launched(2), str(SCRIPT), str(tmp_path)]
    done = subprocess.run(
        command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = (json.loads((tmp_path / f"told-{rank}.json").read_text()) for rank in (0, 1))
    assert one["figures"] == two["figures"]
    assert [figures["texts"] for figures in one["figures"]] == [32] * 4
    assert [figures["reward"] for figures in one["figures"]] == pytest.approx(one["rewards"])
    assert one["alarms"] == two["alarms"] == ["words"]
    assert done.stderr.count("gaard: warning: step") == 1
