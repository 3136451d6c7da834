"""What is published: the wheel, and the sdist that it can be made from again.

Built once, without a network. Installed in clean environments they are by `make wheel-test`.
"""

import configparser
import email
import importlib.metadata
import json
import subprocess
import sys
import tarfile
import zipfile
from email.message import Message
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from gaard import __version__
from pages import PROJECT, ROOT

DIST_INFO = f"gaard-{__version__}.dist-info"
ASSETS = {"figures.json", "human_reward.safetensors", "pocket/config.json", "pocket/model.safetensors"}
WHEEL_BYTES, SDIST_BYTES, LARGEST_FILE = 6_000_000, 10_000_000, 5_000_000


def build(source: Path, folder: Path, *options: str) -> Path:
    """Where the packages of a source tree lie."""
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(folder), *options]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def contents(wheel: Path) -> dict[str, int]:
    """Name → checksum of each file."""
    with zipfile.ZipFile(wheel) as archive:
        return {one.filename: one.CRC for one in archive.infolist()}


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    return build(ROOT, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def wheel(built) -> Path:
    return built / f"gaard-{__version__}-py3-none-any.whl"


@pytest.fixture(scope="module")
def sdist(built) -> Path:
    return built / f"gaard-{__version__}.tar.gz"


@pytest.fixture(scope="module")
def metadata(wheel) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        return email.message_from_bytes(archive.read(f"{DIST_INFO}/METADATA"))


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    package = [path for path in (ROOT / "src" / "gaard").rglob("*") if "__pycache__" not in path.parts]
    files = {path.relative_to(ROOT / "src").as_posix() for path in package if path.is_file()}
    about = {f"{DIST_INFO}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE")}
    assert set(contents(wheel)) == files | about


def test_the_wheel_has_the_model_the_reward_and_the_marker_of_types(wheel):
    assert set(contents(wheel)) >= {f"gaard/assets/{name}" for name in ASSETS} | {"gaard/py.typed"}
    with zipfile.ZipFile(wheel) as archive:
        figures = json.loads(archive.read("gaard/assets/figures.json"))
    assert set(contents(wheel)) >= {f"gaard/assets/{name}" for name in figures["sha256"]}


def test_neither_is_large(wheel, sdist):
    assert wheel.stat().st_size <= WHEEL_BYTES
    assert sdist.stat().st_size <= SDIST_BYTES
    with zipfile.ZipFile(wheel) as archive:
        assert max(one.file_size for one in archive.infolist()) <= LARGEST_FILE


def test_the_metadata_are_those_of_the_project(metadata):
    assert (metadata["Name"], metadata["Version"]) == ("gaard", __version__)
    assert metadata["Requires-Python"] == PROJECT["requires-python"]
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Author"] == PROJECT["authors"][0]["name"]
    assert set(metadata.get_all("Provides-Extra")) == set(PROJECT["optional-dependencies"])
    required = map(Requirement, metadata.get_all("Requires-Dist"))
    assert {one.name for one in required if one.marker is None} == {"torch", "numpy", "safetensors"}
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert metadata.get_payload().startswith("# gaard")


def test_the_pythons_that_are_named_begin_with_the_oldest_allowed(metadata):
    prefix = "Programming Language :: Python :: "
    named = [line.removeprefix(prefix) for line in metadata.get_all("Classifier") if line.startswith(f"{prefix}3.")]
    assert metadata["Requires-Python"] == f">={named[0]}"
    assert named == ["3.11", "3.12", "3.13"]


def test_every_entry_point_leads_to_something(wheel):
    with zipfile.ZipFile(wheel) as archive:
        written = archive.read(f"{DIST_INFO}/entry_points.txt").decode()
    points = configparser.ConfigParser()
    points.read_string(written)
    assert set(points) - {"DEFAULT"} == {"console_scripts", "verl.plugins"}
    assert dict(points["console_scripts"]) == {"gaard": "gaard.cli:main"}
    assert callable(importlib.metadata.EntryPoint("gaard", "gaard.cli:main", "console_scripts").load())
    for name in points["verl.plugins"].values():  # verl itself is not here
        assert f"{name.replace('.', '/')}.py" in contents(wheel)


def test_the_sdist_holds_what_a_developer_needs(sdist):
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {"Makefile", "pyproject.toml", "constraints.txt", "README.md", "LICENSE", "CITATION.cff"}
    assert names >= {*wanted, "tests/conftest.py", "docs/index.md", "src/gaard/assets/pocket/model.safetensors"}
    assert not {name for name in names if name.startswith((".venv", ".git/", "runs", "site", "dist", ".cache"))}


def test_the_sdist_makes_the_same_wheel(sdist, wheel, tmp_path):
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    again = build(tmp_path / f"gaard-{__version__}", tmp_path / "dist", "--target", "wheel") / wheel.name
    assert contents(again) == contents(wheel)
