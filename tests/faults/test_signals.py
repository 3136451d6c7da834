"""SIGTERM and Ctrl-C: the step is finished and saved, the status is the conventional one, the second stops at once."""

import json
import os
import signal
import sys
import time

import pytest
import torch
from killing import FORKS, REWARD, study_files
from small import done, made

from gaard.cli import main
from gaard.errors import Terminated
from gaard.lab import engine
from gaard.training import checkpoint
from gaard.training.checkpoint import newest_step
from gaard.training.lock import LOCK

ENDS = {signal.SIGTERM: Terminated, signal.SIGINT: KeyboardInterrupt}


@pytest.fixture(autouse=True)
def _as_python_begins():
    """Handlers as in a process of its own, whatever began these tests."""
    before = {number: signal.getsignal(number) for number in ENDS}
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def steps(folder):
    return [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("number", ENDS)
def test_the_step_is_finished_and_saved(number, tmp_path, undisturbed):
    """At step 3, where no checkpoint is due."""
    trainer = made(tmp_path, 3, lambda completions: os.kill(os.getpid(), number), save_steps=10)
    with pytest.raises(ENDS[number]) as ended:
        trainer.train()
    assert number == signal.SIGINT or ended.value.code == 143
    assert steps(tmp_path) == [1, 2, 3]
    assert newest_step(tmp_path / "checkpoints") == 3
    assert not (tmp_path / LOCK).exists()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert done(tmp_path) == undisturbed


@pytest.mark.parametrize("number", ENDS)
def test_the_second_stops_at_once(number, tmp_path, undisturbed):
    """In the middle of a step, which is then made again."""

    def twice(completions):
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)
        raise AssertionError("went on")

    trainer = made(tmp_path, 3, twice, save_steps=10)
    with pytest.raises(ENDS[number]):
        trainer.train()
    assert steps(tmp_path) == [1, 2]
    assert newest_step(tmp_path / "checkpoints") == 2
    assert not (tmp_path / LOCK).exists()
    assert done(tmp_path) == undisturbed


def test_the_second_while_it_is_saved_leaves_no_half_checkpoint(tmp_path, undisturbed, monkeypatch):
    plain = checkpoint.save_weights

    def interrupted(model, path, *given):
        plain(model, path, *given)
        if "step-000003" in str(path):
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    trainer = made(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "save_weights", interrupted)
        with pytest.raises(KeyboardInterrupt):
            trainer.train()
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == {"step-000001", "step-000002"}
    assert done(tmp_path) == undisturbed


def test_a_handler_of_ones_own_is_left_alone(tmp_path):
    heard = []
    signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    made(tmp_path, 2, lambda completions: os.kill(os.getpid(), signal.SIGTERM)).train()
    assert heard == [signal.SIGTERM]
    assert steps(tmp_path) == [1, 2, 3, 4]


# The command line -----------------------------------------------------------------------------------------------------


def command(words, output):
    """The command in a process of its own."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(file, 2)
    torch.set_num_threads(1)
    sys.exit(main(words))


def start(words, output):
    process = FORKS.Process(target=command, args=(words, output))
    process.start()
    return process


def within(seconds, condition):
    end = time.monotonic() + seconds
    while time.monotonic() < end and not condition():
        time.sleep(0.02)
    assert condition()


@pytest.fixture
def settings(tmp_path):
    """Of a run by the command line whose reward waits while there is a file ``wait``."""
    found = study_files(tmp_path)
    waiting = "import time\nfrom pathlib import Path\nWAIT = Path(__file__).with_name('wait')\n"
    body = "    while WAIT.exists():\n        time.sleep(0.01)\n"
    (tmp_path / "reward.py").write_text(waiting + REWARD.replace("    return", f"{body}    return"))
    return found


@pytest.mark.parametrize(("number", "status", "word"), [(15, 143, "terminated"), (2, 130, "interrupted")])
def test_gaard_train_ends_with_the_conventional_status(number, status, word, settings, tmp_path):
    run = tmp_path / "run"
    settings |= {"output_dir": str(run), "max_steps": 100_000}
    (tmp_path / "run.yaml").write_text(json.dumps(settings))
    process = start(["train", "--config", str(tmp_path / "run.yaml")], tmp_path / "told.txt")
    within(60, lambda: (run / "metrics.jsonl").exists() and steps_so_far(run) >= 2)
    os.kill(process.pid, number)
    process.join(60)
    assert process.exitcode == status
    told = (tmp_path / "told.txt").read_text()
    assert "finishing this step and saving it" in told
    assert f"gaard: {word}; without --overwrite the same command goes on from the last checkpoint" in told
    assert newest_step(run / "checkpoints") == steps(run)[-1]
    assert not (run / LOCK).exists()


def steps_so_far(run):
    return (run / "metrics.jsonl").read_bytes().count(b"\n")


def test_a_study_with_several_jobs_saves_the_steps_that_go_on(settings, tmp_path):
    """Each job finishes its step, however long that takes."""
    (tmp_path / "own.yaml").write_text(json.dumps({**settings, "max_steps": 100_000}))
    words = ["compare", "--config", str(tmp_path / "own.yaml"), "--arms", "ppo,fold", "--seeds", "1", "--jobs", "2"]
    process = start([*words, "--out", str(tmp_path / "out")], tmp_path / "told.txt")
    runs = [tmp_path / "out" / "custom" / f"{arm}-seed0" for arm in ("ppo", "fold")]
    try:
        within(120, lambda: all((run / "metrics.jsonl").exists() and steps_so_far(run) for run in runs))
        (tmp_path / "wait").touch()
        time.sleep(0.5)
        os.kill(process.pid, signal.SIGTERM)
        time.sleep(0.5)
        assert process.is_alive()
        (tmp_path / "wait").unlink()
        process.join(60)
        assert process.exitcode == 143, (tmp_path / "told.txt").read_text()
    finally:
        process.kill()
    for run in runs:
        assert newest_step(run / "checkpoints") == steps(run)[-1]
    assert not list((tmp_path / "out").rglob(LOCK))


def test_a_second_signal_ends_the_jobs_at_once():
    heard = []

    class Job:
        def terminate(self):
            heard.append("terminate")

        def kill(self):
            heard.append("kill")

        def join(self):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engine._end([Job(), Job()])
    assert heard == ["terminate", "terminate", "kill", "kill"]
