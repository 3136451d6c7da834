"""The wheel in clean environments, one for each Python: `make wheel-test`, or `python scripts/wheel_test.py 3.11 3.12`.

The core alone is installed first, then everything. Needs the package index; each Python takes a minute or two, and more
where torch has to be downloaded.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from uv import find_uv_bin

ROOT = Path(__file__).resolve().parents[1]
# What stands in an environment that has nothing but `pip install gaard`.
CORE = """
import numpy as np
from gaard.advantages import grpo
from gaard.rewards import HumanReward
rewards = np.linspace(0.0, 1.0, 64)
rewards[3] = 20.0
assert grpo(rewards, 8)[3] > 0 > grpo(rewards, 8, fold=3.0)[3]
assert HumanReward().ratings(["a great film"])[0] > 0
"""
TRAIN = ["train", "--scenario", "capped", "--max_steps", "1", "--output_dir", "run", "--eval_completions", "32"]


def main(versions: list[str]) -> int:
    """Try the wheel with each Python.

    Args:
        versions: Such as ``3.12``, or paths of interpreters.

    Returns:
        Exit status: 1 if one failed, or if none was there.
    """
    outcomes = {}
    with tempfile.TemporaryDirectory(prefix="gaard-wheel-") as folder:
        wheel = build(Path(folder))
        for version in versions:
            outcomes[version] = one(version, wheel, Path(folder) / Path(version).name)
            print(f"Python {version}: {outcomes[version]}", flush=True)
    passed = [outcome == "passed" for outcome in outcomes.values()]
    failed = [outcome.startswith("failed") for outcome in outcomes.values()]
    return 0 if any(passed) and not any(failed) else 1


def build(folder: Path) -> Path:
    """The wheel, made from the sdist, as the one is that is published."""
    command = ["build", "--quiet", "--no-build-isolation", "--python", sys.executable, "--out-dir", str(folder)]
    run([find_uv_bin(), *command, str(ROOT)])
    return next(folder.glob("gaard-*.whl"))


def one(version: str, wheel: Path, folder: Path) -> str:
    """Install and try the wheel in an environment of its own: passed, skipped or failed, with the reason."""
    made = subprocess.run(
        [find_uv_bin(), "venv", "--quiet", "--python", version, folder], capture_output=True, text=True, check=False
    )
    if made.returncode:
        return f"skipped, uv finds no such Python: {made.stderr.strip()}"
    try:
        install(folder, str(wheel))
        core(folder)
        install(folder, f"gaard[all] @ {wheel.as_uri()}")
        everything(folder)
    except RuntimeError as error:
        return f"failed: {error}"
    return "passed"


def install(environment: Path, what: str) -> None:
    """With the versions that gaard was tested with."""
    constraints = ["--constraint", str(ROOT / "constraints.txt")]
    run([find_uv_bin(), "pip", "install", "--quiet", "--python", str(environment), *constraints, what])


def core(environment: Path) -> None:
    """The core folds, and every command says which extra it needs."""
    run([str(environment / "bin" / "python"), "-I", "-c", CORE], environment)
    told = run([str(environment / "bin" / "gaard"), "--help"], environment)
    expect("every command needs packages that are not installed: pip install 'gaard[lab]'" in told, told)
    for command, extra in (("train", "train"), ("report", "lab")):
        told = run([str(environment / "bin" / "gaard"), command, "--help"], environment, status=2)
        expect(f"pip install 'gaard[{extra}]'" in told, told)


def everything(environment: Path) -> None:
    """A step of training on the model of the wheel, its measures, and its page."""
    for words in (["--help"], TRAIN, ["report", "run"]):
        told = run([str(environment / "bin" / "gaard"), *words], environment)
        expect("not installed" not in told, told)
    for name in ("metrics.jsonl", "evaluation.json", "report.html"):
        expect((environment / "run" / name).is_file(), f"no {name}")


def run(command: list[str], folder: Path | None = None, status: int = 0) -> str:
    """What a command prints, once it has ended as it should."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    expect(done.returncode == status, f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def expect(holds: bool, otherwise: str) -> None:
    """Stop with what was seen instead."""
    if not holds:
        raise RuntimeError(otherwise)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or ["3.11", "3.12", "3.13"]))
