"""The monitor in two processes of one training: each is told of the whole batch, and one of them warns."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tiny import tiny_lm, word_tokenizer

SCRIPT = Path(__file__).with_name("run_monitored.py")


def test_both_see_the_whole_batch_and_one_warns(tmp_path):
    tiny_lm().save_pretrained(tmp_path / "tiny")
    word_tokenizer([f"w{number}" for number in range(33)]).save_pretrained(tmp_path / "tiny")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launch = ["-m", "accelerate.commands.launch", "--multi_gpu", "--mixed_precision", "no", "--dynamo_backend", "no"]
    launch += ["--num_machines", "1", "--num_processes", "2", "--main_process_port", str(port)]
    command = [sys.executable, *launch, str(SCRIPT), str(tmp_path)]
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
