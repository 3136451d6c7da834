"""The last TRL that had a PPO trainer, in an environment of its own."""

import subprocess
import sys

from benchmarks.measuring import ROOT, in_process

TRL = "trl==1.12.0"
ENVIRONMENT = ROOT / ".cache" / "benchmarks" / "trl"


def trl_python() -> str:
    """The environment's interpreter; made when first asked for, with the versions of constraints.txt."""
    python = ENVIRONMENT / "bin" / "python"
    ready = ENVIRONMENT / ".ready"
    if not ready.exists():
        subprocess.run([sys.executable, "-m", "venv", str(ENVIRONMENT)], check=True)
        packages = [TRL, "torch", "transformers", "accelerate", "psutil"]
        options = ["--quiet", "--constraint", str(ROOT / "constraints.txt")]
        subprocess.run([str(python), "-m", "pip", "install", *options, *packages], check=True)
        ready.touch()
    return str(python)


def trl_step(folder: str) -> dict[str, float]:
    """Seconds and peak memory of a PPO step of TRL's.

    Args:
        folder: A saved model with its tokenizer.

    Returns:
        As ``benchmarks.one_step`` writes it.
    """
    # No gaard on its path: what is asked of this package needs PyTorch alone.
    settings = {"PYTHONPATH": "", "TRL_EXPERIMENTAL_SILENCE": "1"}
    return in_process("benchmarks.trl_step", folder, python=trl_python(), **settings)
