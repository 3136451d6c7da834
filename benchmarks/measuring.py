"""How the benchmarks measure: ways that take turns, medians, peaks in processes of their own."""

import gc
import importlib.metadata
import json
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

DEVICE = os.environ.get("DEVICE", "cuda" if torch.cuda.is_available() else "cpu")
ON_GPU = DEVICE != "cpu"
ROOT = Path(__file__).resolve().parents[1]
PROMPT = "Of the existentialist philosophers"
BATCH, TOKENS, EPOCHS, MINIBATCHES, TEMPERATURE, KL = 32, 20, 2, 4, 0.8, 1.0
STATES = 5  # weights, the reference's, gradients, two moments: what every way has, whatever it does


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    Attributes:
        name: Of the row, and which of its figures, with a comma between.
        model: What it was measured on.
        value: A ratio, unless the name says otherwise.
        bar: What it is held against; None where it is only reported.
        larger_is_better: Whether the bar is the least or the most that it may be.
    """

    name: str
    model: str
    value: float
    bar: float | None = None
    larger_is_better: bool = False

    @property
    def holds(self) -> bool | None:
        """Whether the value keeps to the bar; None without one."""
        if self.bar is None:
            return None
        return self.value >= self.bar if self.larger_is_better else self.value <= self.bar

    def as_dict(self) -> dict[str, Any]:
        """As results.json has it."""
        return {key: getattr(self, key) for key in ("name", "model", "value", "bar", "larger_is_better", "holds")}


def machine() -> str:
    """What is measured on: processor or accelerator, cores, number format, versions."""
    if ON_GPU:
        name, number = torch.cuda.get_device_name(), "bfloat16"
    else:
        info = Path("/proc/cpuinfo")
        found = re.search(r"model name\s*: (.+)", info.read_text()) if info.exists() else None
        name = f"{os.cpu_count()} cores of {found[1] if found else platform.processor() or platform.machine()}"
        number = "float32"
    return f"{name}, {number}, PyTorch {torch.__version__}, transformers {importlib.metadata.version('transformers')}"


def timed(action: Callable[[], Any]) -> float:
    """Seconds of one call."""
    synchronize()
    start = time.perf_counter()
    action()
    synchronize()
    return time.perf_counter() - start


def synchronize() -> None:
    """Wait for what the accelerator was given."""
    if ON_GPU:
        torch.cuda.synchronize()


def medians(ways: Mapping[str, Callable[[], Any]], rounds: int, warm_up: int = 1) -> dict[str, float]:
    """Median seconds of each way, of as many rounds as ``turns`` takes."""
    return {name: statistics.median(seconds) for name, seconds in turns(ways, rounds, warm_up).items()}


def turns(ways: Mapping[str, Callable[[], Any]], rounds: int, warm_up: int = 1) -> dict[str, list[float]]:
    """Seconds of each way, a round each; they take turns, first to last and back, so that what drifts falls on all.

    Args:
        ways: Name → what to do.
        rounds: Calls of each that count.
        warm_up: Calls of each before those.

    Returns:
        Name → seconds of each round.
    """
    for way in list(ways.values()) * warm_up:
        way()
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    names = list(ways)
    for number in range(rounds):
        for name in names if number % 2 == 0 else reversed(names):
            gc.collect()
            seconds[name].append(timed(ways[name]))
    return seconds


def in_process(module: str, *arguments: str, python: str = sys.executable, **environment: str) -> dict[str, Any]:
    """What a module of this package, run in a process of its own, writes as JSON to the path it is given last.

    Args:
        module: Such as ``benchmarks.one_step``.
        *arguments: Of the command line.
        python: The interpreter.
        **environment: Variables beside those of this process.

    Returns:
        The JSON.
    """
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "out.json"
        command = [python, "-m", module, *arguments, str(out)]
        done = subprocess.run(command, env={**os.environ, **environment}, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
        return json.loads(out.read_text())


def peak(bare: int) -> int:
    """Bytes that this process took at most.

    Args:
        bare: What it took before anything was loaded, left out.

    Returns:
        Of the accelerator's memory, if there is one.
    """
    if ON_GPU:
        return torch.cuda.max_memory_allocated()
    status = Path("/proc/self/status")
    if status.exists():  # getrusage has the peak of the process that began this one, if that was higher
        return int(re.search(r"VmHWM:\s+(\d+) kB", status.read_text())[1]) * 1024 - bare
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - bare


@dataclass(frozen=True)
class Rates:
    """What the machine does in one large operation of the run's number format.

    Attributes:
        flops: Floating-point operations a second, of a matrix product.
        bandwidth: Bytes a second read and written, of a copy.
    """

    flops: float
    bandwidth: float


def rates() -> Rates:
    """Measured here and now, best of several, since a floor is what is asked for."""
    dtype = torch.bfloat16 if ON_GPU else torch.float32
    size = 8192 if ON_GPU else 3072
    x, y = (torch.randn(size, size, device=DEVICE).to(dtype) for _ in range(2))
    product = min(timed(lambda: x @ y) for _ in range(6))
    source = torch.empty(2**28 if ON_GPU else 2**26, device=DEVICE)
    target = torch.empty_like(source)
    copy = min(timed(lambda: target.copy_(source)) for _ in range(6))
    return Rates(2 * size**3 / product, 2 * source.nbytes / copy)
