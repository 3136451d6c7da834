"""Scripts in processes forked from one that has imported what is slow: a start takes a tenth of a second, not ten."""

import atexit
import multiprocessing
import os
import runpy
import socket
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch

FORKS = multiprocessing.get_context("forkserver")
OF_GAARD = ["gaard.commands.compare", "gaard.lab.compare", "gaard.training.trainer", "gaard.report.page"]
OF_TESTS = ["transformers.models.gpt2.modeling_gpt2", "transformers.models.auto.modeling_auto", "tokenizers"]
FORKS.set_forkserver_preload([*OF_GAARD, *OF_TESTS])


def start(script: Path, arguments: Sequence[str], output: Path, cwd: Path | None = None, **more: str) -> BaseProcess:
    """Python with a script and its arguments, one thread, and more environment; what it prints goes to a file."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **more}
    where = str(cwd or Path.cwd())
    process = FORKS.Process(target=_run, args=(str(script), list(arguments), str(output), where, environment))
    process.start()
    return process


def finish(process: BaseProcess, output: Path, seconds: float = 300) -> None:
    """Wait for a process that has to end well."""
    process.join(seconds)
    if process.is_alive():
        process.kill()
    assert process.exitcode == 0, output.read_text()[-3000:]


def run(script: Path, arguments: Sequence[str], folder: Path, processes: int = 1) -> None:
    """A script in so many processes, which find each other as torchrun's do; each must end well."""
    folder.mkdir(parents=True, exist_ok=True)
    outputs = [folder / f"output-{rank}.txt" for rank in range(processes)]
    ranks = [{}] if processes == 1 else _ranks(processes)
    started = [start(script, arguments, out, **rank) for out, rank in zip(outputs, ranks, strict=True)]
    try:
        for process, output in zip(started, outputs, strict=True):
            finish(process, output)
    finally:
        for process in started:
            process.kill()


def _ranks(processes: int) -> list[dict[str, str]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {"WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return [{**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(processes)]


def _run(script: str, arguments: list[str], output: str, cwd: str, environment: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for descriptor in (1, 2):
        os.dup2(file, descriptor)
    os.chdir(cwd)
    torch.set_num_threads(1)  # libgomp has read the variable already
    sys.argv = [script, *arguments]
    sys.path.insert(0, str(Path(script).parent))
    runpy.run_path(script, run_name="__main__")
    atexit._run_exitfuncs()  # which multiprocessing leaves out
