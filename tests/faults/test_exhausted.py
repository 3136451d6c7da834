"""Memory, the disk, the folder and the clock: what runs out, goes away or jumps."""

import errno
import os
import resource
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from kinds import of
from small import done, made

from gaard import cli
from gaard.errors import CheckpointError, ConfigError, GaardError
from gaard.report.page import write_page
from gaard.training import checkpoint, outcome
from gaard.training.checkpoint import newest_step, write_file
from gaard.training.runlog import read_jsonl

# Memory ---------------------------------------------------------------------------------------------------------------


def on_the_accelerator(*_, **__):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def in_numpy(*_, **__):
    np.ones(2**50)


def on_the_cpu(*_, **__):
    torch.empty(2**58)


MEMORY = {
    "an accelerator's memory is exhausted": (on_the_accelerator, "update"),
    "memory is exhausted, as Python says it": (in_numpy, "collect"),
    "memory is exhausted, as PyTorch says it of a CPU": (on_the_cpu, "evaluate"),
}


@pytest.mark.parametrize("kind", of("faults/test_exhausted.py::test_exhausted_memory_says_what_to_lower"))
def test_exhausted_memory_says_what_to_lower(kind, tmp_path, monkeypatch, undisturbed):
    trainer = made(tmp_path)
    for _ in range(2):
        trainer.training_step()
    failure, place = MEMORY[kind]
    owner = {"update": trainer, "collect": trainer.collector, "evaluate": outcome}[place]
    with monkeypatch.context() as patched:
        patched.setattr(owner, place, failure)
        with pytest.raises(GaardError) as caught:
            trainer.train()
    message = str(caught.value)
    assert message.startswith(f"memory ran out at {'the evaluation' if owner is outcome else 'step 3'} (")
    for words in ("set gradient_checkpointing", "per_device_train_batch_size (now 4, the whole", "batch_size (now 4)"):
        assert words in message
    assert done(tmp_path) == undisturbed


FAILING = {  # of the step that fails, the checkpoint that there is then
    "memory is exhausted in the second update of a step": ("update", 2, 0),
    "memory is exhausted in the evaluation behind a step": ("evaluate", 1, 3),
}


@pytest.mark.parametrize("kind", of("faults/test_exhausted.py::test_what_is_saved_of_a_step_that_fails"))
def test_what_is_saved_of_a_step_that_fails(kind, tmp_path, monkeypatch):
    """Before its first update and behind its last all is saved; between them the last checkpoint is what there is."""
    place, call, saved = FAILING[kind]
    options = {"save_steps": 10, "num_ppo_epochs": 2}
    expected = done(tmp_path / "whole", **options)
    trainer = made(tmp_path / "run", **options)
    trainer.training_step()
    trainer.training_step()
    owner, calls = {"update": trainer, "evaluate": outcome}[place], []
    plain = getattr(owner, place)

    def failing(*given):
        calls.append(given)
        return on_the_accelerator() if len(calls) == call else plain(*given)

    with monkeypatch.context() as patched:
        patched.setattr(owner, place, failing)
        with pytest.raises(GaardError, match="memory ran out"):
            trainer.train()
    assert newest_step(tmp_path / "run" / "checkpoints") == saved
    if place == "evaluate":  # it is made up for, whatever is asked of the run first
        made(tmp_path / "run", **options).evaluated()
        assert [row["step"] for row in read_jsonl(tmp_path / "run" / "evaluations.jsonl")] == [3]
    assert done(tmp_path / "run", **options) == expected


def test_other_errors_are_left_as_they_are(tmp_path, monkeypatch):
    trainer = made(tmp_path)
    monkeypatch.setattr(trainer, "update", lambda *_: torch.zeros(2) @ torch.zeros(3))
    with pytest.raises(RuntimeError, match="size") as caught:
        trainer.train()
    assert not isinstance(caught.value, GaardError)


# The disk -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def disk(tmp_path):
    """A file system of its own, and how to mount it otherwise."""
    path = tmp_path / "disk"
    path.mkdir()
    try:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", path], capture_output=True, check=False
        )
    except OSError:
        pytest.skip("there is no mount")
    if done.returncode:
        pytest.skip("cannot mount a file system here")
    try:
        yield path, lambda how: subprocess.run(["mount", "-o", f"remount,{how}", path], check=True)
    finally:
        subprocess.run(["umount", path], check=True)


def test_a_file_system_that_becomes_read_only(disk, undisturbed):
    folder, remount = disk
    trainer = made(folder / "run")
    for _ in range(2):
        trainer.training_step()
    trainer.run.close()
    remount("ro")
    for again in (trainer, made(folder / "run")):
        with pytest.raises(CheckpointError, match=r"cannot be written: Read-only file system: check the folder"):
            again.train()
    with pytest.raises(CheckpointError, match=r"Read-only file system\. What was saved before is intact: make the"):
        write_file(folder / "run" / "run.json", "{}")
    remount("rw")
    assert done(folder / "run") == undisturbed


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"output_dir='.*run' cannot be made: Not a directory: choose a folder"):
        made(tmp_path / "file" / "run")


def test_a_folder_that_vanishes_is_named_and_may_be_put_back(tmp_path, undisturbed):
    folder, away = tmp_path / "run", tmp_path / "away"
    trainer = made(folder, 3, lambda texts: folder.rename(away) and None)
    with pytest.raises(CheckpointError, match=r"metrics\.jsonl could not be written: No such file.*Its folder is gone"):
        trainer.train()
    shutil.rmtree(folder, ignore_errors=True)
    (away / "gaard.lock").unlink(missing_ok=True)
    away.rename(folder)
    assert done(folder) == undisturbed


def test_a_limit_on_the_size_of_files(tmp_path, undisturbed):
    """As a quota has it: what is short is still written."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limited(texts):
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))

    try:
        with pytest.raises(CheckpointError, match=r"step-\d+ could not be written: .*(large|limit)"):
            made(tmp_path, 2, limited).train()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert newest_step(tmp_path / "checkpoints") == 1
    assert done(tmp_path) == undisturbed


def full(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_disk_that_is_full_at_a_metrics_line(tmp_path, undisturbed, monkeypatch):
    plain = Path.open

    def limited(path, *given, **keywords):
        return full() if path.name == "metrics.jsonl" and given[:1] == ("a",) else plain(path, *given, **keywords)

    with monkeypatch.context() as patched:
        trainer = made(tmp_path, 3, lambda texts: patched.setattr(Path, "open", limited))
        with pytest.raises(CheckpointError, match=r"metrics\.jsonl could not be written: No space.*free some space"):
            trainer.train()
    assert done(tmp_path) == undisturbed


@pytest.mark.parametrize("name", ["results.json", "runs.parquet"])
def test_a_disk_that_is_full_at_a_studys_results(name, carried_out, tmp_path, monkeypatch):
    whole, again = carried_out
    folder = tmp_path / "out"
    shutil.copytree(whole, folder)
    with monkeypatch.context() as patched:
        if name == "results.json":
            patched.setattr(checkpoint.os, "replace", full)
        else:
            patched.setattr(pq, "write_table", full)
        with pytest.raises(CheckpointError, match=r"could not be written: No space left on device.*free some space"):
            again(folder)
    assert (folder / "results.json").read_bytes() == (whole / "results.json").read_bytes()
    again(folder)
    assert pq.read_table(folder / "runs.parquet") == pq.read_table(whole / "runs.parquet")


def test_a_disk_that_is_full_at_a_page(carried_out, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "out"
    shutil.copytree(carried_out[0], folder)
    monkeypatch.setattr(checkpoint.os, "replace", full)
    with pytest.raises(ConfigError, match=r"report.html cannot be written: No space left on device\. Choose another"):
        write_page(folder)
    assert cli.main(["report", str(folder)]) == 2


# The clock ------------------------------------------------------------------------------------------------------------


def test_a_clock_that_is_set_back_changes_nothing(tmp_path, undisturbed, monkeypatch):
    """The clock of the wall: that of durations only runs forward."""
    plain = time.time

    def back(texts):
        monkeypatch.setattr(time, "time", lambda: plain() - 86_400)

    trainer = made(tmp_path, 3, back)
    for _ in range(3):
        trainer.training_step()
    trainer.run.close()
    os.utime(tmp_path / "checkpoints" / "step-000003", (1, 1))  # what is newest goes by its name
    assert all(0 <= row["seconds"] < 60 for row in read_jsonl(tmp_path / "timings.jsonl"))
    assert done(tmp_path) == undisturbed
