"""The core beside the trainers that people use: whether one environment can hold both, as a resolver finds it.

Nothing is installed. uv reads what each package asks for, from the package index, and looks for versions that agree.
"""

import re
import subprocess
import sys

import pytest
from uv import find_uv_bin

from pages import ROOT

pytestmark = [pytest.mark.network, pytest.mark.slow]

# What requirements.txt of github.com/THUDM/slime asks for at v0.3.1. The `slime` of the package index is another thing,
# linear models by other people; slime itself, SGLang and Megatron-LM come with slime's container image, so that of
# those three nothing is resolved here.
SLIME = [
    *("accelerate", "anthropic", "blake3", "blobfile", "datasets", "e2b", "httpx[http2]", "mcp[cli]", "memray"),
    *("numba", "omegaconf", "openai", "openai-agents", "pillow", "pylatexenc", "pyyaml", "qwen_vl_utils"),
    *("ray[default]", "safetensors", "sglang-router>=0.3.0", "tensorboard", "transformers", "wandb", "xxhash"),
    "zstandard",
]
TRAINERS = {
    "TRL": ["trl==1.16.0"],
    "verl": ["verl==0.9.1"],
    "verl on a CPU": ["verl[cpu]==0.9.1"],
    "OpenRLHF": ["openrlhf==0.11.2"],
    "slime": SLIME,
}
# flash-attn's own metadata is made by a build that needs torch, and CUDA where it compiles: told here instead.
TOLD = """[[dependency-metadata]]
name = "flash-attn"
version = "2.8.3"
requires-dist = ["torch", "einops"]
"""


def resolved(requirements: list[str], folder) -> subprocess.CompletedProcess:
    """What would be installed, one `name==version` a line, on Linux with Python 3.12; or why nothing can be."""
    (folder / "requirements.in").write_text("\n".join(requirements), encoding="utf-8")
    (folder / "uv.toml").write_text(TOLD, encoding="utf-8")
    command = [find_uv_bin(), "pip", "compile", "--quiet", "--no-header", "--no-annotate", "requirements.in"]
    command += ["--config-file", "uv.toml", "--python", sys.executable, "--python-version", "3.12"]
    command += ["--python-platform", "x86_64-manylinux_2_28"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> str:
    """Where the wheel of this gaard lies, built once."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([find_uv_bin(), "build", "--quiet", "--wheel", "--out-dir", folder, ROOT], check=True)
    return next(folder.glob("gaard-*.whl")).as_uri()


def names(done: subprocess.CompletedProcess) -> set[str]:
    assert done.returncode == 0, done.stderr
    return set(re.findall(r"^([\w.-]+)(?:==| @ )", done.stdout, re.MULTILINE))


def test_the_core_brings_three_packages_beside_torchs_own(wheel, tmp_path):
    of_torch = names(resolved(["torch>=2.6,<3"], tmp_path))
    assert names(resolved([f"gaard @ {wheel}"], tmp_path)) - of_torch == {"gaard", "numpy", "safetensors"}


@pytest.mark.parametrize("trainer", TRAINERS)
def test_the_core_installs_beside(trainer, wheel, tmp_path):
    found = names(resolved([f"gaard @ {wheel}", *TRAINERS[trainer]], tmp_path))
    assert {"gaard", "torch", "transformers"} <= found


@pytest.mark.parametrize(("trainer", "beside"), [("TRL", True), ("slime", True), ("verl", False), ("OpenRLHF", False)])
def test_gaards_own_trainer_installs_beside_some(trainer, beside, wheel, tmp_path):
    """OpenRLHF and verl want an older transformers than gaard's trainer does, and the documentation says so."""
    done = resolved([f"gaard[train] @ {wheel}", *TRAINERS[trainer]], tmp_path)
    assert (done.returncode == 0) == beside, done.stderr
    assert beside or "transformers" in done.stderr
