"""A run that is killed and started again leaves what the undisturbed run leaves, byte for byte."""

import json
import random
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

import forked

SCRIPT = Path(__file__).with_name("run_tiny.py")
# A schedule that is still warming up at the first checkpoint, and a reward that draws from the global generators.
OPTIONS = {
    "max_steps": 12,
    "save_steps": 3,
    "method": {"name": "gaa", "reading": "text"},
    "warmup_steps": 5,
    "lr_scheduler_type": "linear",
}
SAME = ("metrics.jsonl", "samples.jsonl", "model/model.safetensors", "model/value_head.safetensors")


def start(folder: Path) -> BaseProcess:
    return forked.start(SCRIPT, [str(folder), json.dumps(OPTIONS), "--draw"], printed(folder))


def finish(folder: Path) -> None:
    forked.finish(start(folder), printed(folder))


def printed(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.txt")


def steps_logged(folder: Path) -> int:
    path = folder / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def kill_after(folder: Path, step: int, delay: float) -> None:
    """SIGKILL once ``step`` is logged and ``delay`` seconds have passed: at any point of the next step."""
    process = start(folder)
    while process.is_alive() and steps_logged(folder) < step:
        time.sleep(0.001)
    time.sleep(delay)
    process.kill()
    process.join()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("undisturbed")
    finish(folder)
    return {name: (folder / name).read_bytes() for name in SAME}


@pytest.mark.parametrize("step", [1, 3, 7, 11])
def test_killed_and_resumed_equals_undisturbed(tmp_path, undisturbed, step):
    kill_after(tmp_path, step, delay=random.Random(step).uniform(0.0, 0.05))
    assert step == 11 or not (tmp_path / "model").exists()  # it was killed in mid-run
    finish(tmp_path)
    for name, content in undisturbed.items():
        assert (tmp_path / name).read_bytes() == content, name


def test_killed_twice(tmp_path, undisturbed):
    kill_after(tmp_path, 4, delay=0.01)
    kill_after(tmp_path, 8, delay=0.02)
    finish(tmp_path)
    for name, content in undisturbed.items():
        assert (tmp_path / name).read_bytes() == content, name


def test_a_resumed_run_begins_at_its_checkpoint(tmp_path, undisturbed):
    """Not from the start: the steps before the checkpoint are not timed again."""
    kill_after(tmp_path, 8, delay=0.0)
    before = (tmp_path / "timings.jsonl").read_bytes().splitlines()[:6]
    finish(tmp_path)
    assert (tmp_path / "timings.jsonl").read_bytes().splitlines()[:6] == before
