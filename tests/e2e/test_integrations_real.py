"""gaard inside the real code of verl, SkyRL, OpenRLHF and slime, each in an environment of its own.

torch is not installed again: an environment finds that of the tests, after its own packages. run_integrations.py says
what is asserted. slime is not on the package index; its source is fetched from GitHub.
"""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from uv import find_uv_bin

from pages import ROOT

pytestmark = [pytest.mark.network, pytest.mark.trainers]

SCRIPT = Path(__file__).with_name("run_integrations.py")
VERL = ["verl[verl-core]==0.9.1"]
SKYRL = ["skyrl==0.3.0", "skyrl-gym==0.4.0", "jaxtyping", "loguru", "omegaconf", "ray", "tensordict", "torchdata"]
# OpenRLHF itself without what it asks for, which is flash-attn and deepspeed among others.
OPENRLHF = ["einops", "numpy", "peft", "pylatexenc", "ray==2.55.0", "sympy", "tqdm", "transformers==5.15.0"]
SLIME = ["httpx", "numpy", "ray", "transformers"]
NO_NETWORK = ("dns error", "error sending request", "Could not resolve host", "Failed to connect", "timed out")


def fetched(command: list[object]) -> None:
    """Run a command that needs the network; without one, skip and say so."""
    done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode and any(sign in done.stderr for sign in NO_NETWORK):
        pytest.skip(f"no network: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr[-3000:]


def environment(folder: Path, requirements: list[str], alone: str | None = None) -> Path:
    """A Python that has gaard as it would be installed, the requirements, and `alone` without its requirements."""
    python = folder / "env" / "bin" / "python"
    uv = find_uv_bin()
    fetched([uv, "venv", "--quiet", "--python", sys.executable, folder / "env"])
    fetched([uv, "build", "--quiet", "--wheel", "--out-dir", folder, ROOT])
    (folder / "no-torch.txt").write_text("torch ; sys_platform == 'never'\n", encoding="utf-8")
    install = [uv, "pip", "install", "--quiet", "--python", python]
    fetched([*install, "--overrides", folder / "no-torch.txt", *requirements])
    fetched([*install, "--no-deps", *folder.glob("gaard-*.whl"), *([alone] if alone else [])])
    site = subprocess.run(
        [python, "-c", "import site; print(site.getsitepackages()[0])"], capture_output=True, text=True
    )
    last = Path(site.stdout.strip()) / "zz-torch-of-the-tests.pth"
    last.write_text(sysconfig.get_paths()["purelib"] + "\n", encoding="utf-8")
    return python


def started(python: Path, folder: Path, *words: str, path: tuple[Path, ...] = (), **variables: str) -> subprocess.Popen:
    variables |= {"PYTHONPATH": os.pathsep.join(map(str, (*path, ROOT / "tests"))), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [python, "-W", "ignore", SCRIPT, *words],
        env=os.environ | variables,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def passes(process: subprocess.Popen) -> None:
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said[-3000:]
    assert said.endswith("passed\n")


def test_verl(tmp_path):
    python = environment(tmp_path, VERL)
    passes(started(python, tmp_path, "verl"))
    passes(started(python, tmp_path, "verl_gae", GAARD_FOLD_GAE="3"))


def test_skyrl(tmp_path):
    passes(started(environment(tmp_path, SKYRL), tmp_path, "skyrl"))


def test_openrlhf(tmp_path):
    passes(started(environment(tmp_path, OPENRLHF, alone="openrlhf==0.11.2"), tmp_path, "openrlhf"))


def test_slime(tmp_path):
    source = tmp_path / "slime"
    fetched(["git", "clone", "-q", "--depth", "1", "--branch", "v0.3.1", "https://github.com/THUDM/slime", source])
    python = environment(tmp_path, SLIME)
    meeting = str(tmp_path / "meeting")
    pair = [started(python, tmp_path, "slime", str(rank), meeting, path=(source,)) for rank in range(2)]
    for process in pair:
        passes(process)
