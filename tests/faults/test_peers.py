"""One of two processes of a run: if it is killed the other ends, if it gets a signal both stop behind one step."""

import json
import signal
import time
from pathlib import Path

import forked
from gaard.training.checkpoint import newest_step

SCRIPT = Path(__file__).with_name("run_with_peer.py")


def ended(folder, what):
    """Exit statuses, and what each told."""
    folder.mkdir(parents=True, exist_ok=True)
    outputs = [folder.parent / f"told-{rank}.txt" for rank in (0, 1)]
    both = zip(outputs, forked._ranks(2), strict=True)
    processes = [forked.start(SCRIPT, [str(folder), what], output, **rank) for output, rank in both]
    began = time.monotonic()
    try:
        for process in processes:
            process.join(60)
        assert not any(process.is_alive() for process in processes), "one of them hangs"
    finally:
        for process in processes:
            process.kill()
    assert time.monotonic() - began < 60
    return [process.exitcode for process in processes], [output.read_text() for output in outputs]


def logged(folder):
    return [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_where_one_is_killed_the_other_ends_with_an_error(tmp_path):
    statuses, told = ended(tmp_path / "run", "SIGKILL")
    assert statuses[1] == -signal.SIGKILL
    assert statuses[0] not in (0, None)
    assert "another process of this run" in told[0], told[0][-2000:]
    assert logged(tmp_path / "run") == [1, 2]
    assert newest_step(tmp_path / "run" / "checkpoints") == 2
    assert not (tmp_path / "run" / "gaard.lock").exists()


def test_where_one_is_told_to_end_both_stop_behind_the_same_step(tmp_path):
    statuses, told = ended(tmp_path / "run", "SIGTERM")
    assert statuses == [143, 143], told
    assert logged(tmp_path / "run") == [1, 2, 3]
    assert newest_step(tmp_path / "run" / "checkpoints") == 3
