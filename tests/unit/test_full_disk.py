"""A disk that is full costs no earlier checkpoint, and a run goes on once there is room."""

import errno
import os
import subprocess
from pathlib import Path

import pytest
from test_checkpoint import continued, network, same_run
from test_checkpoint import undisturbed as undisturbed

from gaard.errors import CheckpointError
from gaard.training import checkpoint
from gaard.training.checkpoint import checkpoints, load_checkpoint, save_checkpoint, write_file


def full(*args, **kwargs):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def full_in_safetensors(*args, **kwargs):
    raise checkpoint.SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")


POINTS = {
    "making the folder": (Path, "mkdir", full),
    "weights": (checkpoint, "save_weights", full_in_safetensors),
    "weights, as the system says it": (checkpoint, "save_weights", full),
    "optimizer": (checkpoint, "save_file", full_in_safetensors),
    "state": (Path, "open", full),
    "sync": (checkpoint.os, "fsync", full),
    "rename": (checkpoint.os, "replace", full),
}


@pytest.mark.parametrize("point", POINTS)
def test_a_full_disk_is_named_and_costs_no_earlier_checkpoint(point, tmp_path, monkeypatch):
    net, optimizer = network(0, steps=1)
    save_checkpoint(tmp_path, net, optimizer, {"step": 1}, keep=1)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with monkeypatch.context() as patched:
        patched.setattr(*POINTS[point])
        with pytest.raises(CheckpointError) as caught:
            save_checkpoint(tmp_path, net, optimizer, {"step": 2}, keep=1)
    message = str(caught.value)
    assert "step-000002" in message
    assert "No space left on device" in message
    assert "intact: free some space or choose another output_dir" in message
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before  # no half folder
    assert load_checkpoint(tmp_path, net, optimizer)["step"] == 1


def test_a_file_that_cannot_be_written_stays_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "config.json"
    write_file(path, "old")
    monkeypatch.setattr(checkpoint.os, "fsync", full)
    with pytest.raises(CheckpointError, match=r"config\.json could not be written: No space left"):
        write_file(path, "new")
    assert [p.name for p in tmp_path.iterdir()] == ["config.json"]
    assert path.read_text() == "old"


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MB, which holds two checkpoints of the tiny model but not the last, and how to let it grow."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=980k", "tmpfs", str(disk)]
    try:
        mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        pytest.skip("cannot mount a file system here")
    try:
        yield disk, lambda: subprocess.run(["mount", "-o", "remount,size=20m", str(disk)], check=True)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_disk_that_fills_during_training_ends_it_clearly_and_it_goes_on_later(small_disk, undisturbed):
    disk, grow = small_disk
    with pytest.raises(CheckpointError, match=r"could not be written: .*No space left"):
        continued(disk)
    found = [path.name for path in checkpoints(disk / "checkpoints")]
    assert found
    assert "step-000006" not in found
    assert sorted(path.name for path in (disk / "checkpoints").iterdir()) == sorted(found)
    grow()
    trainer = continued(disk)
    same_run(disk, trainer, undisturbed)
