"""How the runs of a comparison are carried out on the machines of a Ray cluster."""

import contextlib
import logging
import math
import os
import re
import socket
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch

from gaard.errors import ConfigError, GaardError
from gaard.lab.engine import TICK

T = TypeVar("T")
RETRIES = 3  # of a task whose process or machine died; what a task raises is raised at once
CARRIED = ("GAARD_HOME", "HF_HOME", "HF_HUB_OFFLINE")  # where models are found; no secrets
ANSWER, CANCEL = 10.0, 10.0  # seconds for a cluster to answer, and for what goes on to end
QUIET = {"logging_level": logging.ERROR, "log_to_driver": False}


def execute_on_ray(
    tasks: Sequence[Callable[[], T]],
    jobs: int,
    tick: Callable[[], None] = lambda: None,
    begun: Callable[[int], None] = lambda index: None,
) -> Iterator[tuple[int, T]]:
    """Call every task in a process somewhere on a Ray cluster; each has its share of the cluster's cores and GPUs.

    A task whose process or machine dies is begun again, the others are not.

    Args:
        tasks: Functions without arguments, picklable; errors name one by its ``str``. What a task raises is raised
            here.
        jobs: How many go on at once over the whole cluster, if it has a core for each.
        tick: Called every second while they are waited for.
        begun: Told the index of a task that is given to the cluster.

    Yields:
        Index of a task and what it returned, as they end.

    Raises:
        ConfigError: If Ray is not installed.
        GaardError: If there is no cluster to join, a machine cannot begin a task, or a task's process died for good.
    """
    with connected(jobs) as ray:
        cores, gpus = share([node["Resources"] for node in ray.nodes() if node["Alive"]], jobs)
        begin = _remote(ray, cores, gpus)
        left, waiting = list(enumerate(tasks)), dict[Any, int]()
        try:
            while left or waiting:
                while left and len(waiting) < jobs:
                    index, task = left.pop(0)
                    begun(index)
                    waiting[begin.options(name=str(task)).remote(ray.cloudpickle.dumps(task))] = index
                done, _ = ray.wait(list(waiting), num_returns=1, timeout=TICK)
                for index, ref in [(waiting.pop(ref), ref) for ref in done]:
                    yield index, _outcome(ray, ref, str(tasks[index]), jobs)
                tick()
        finally:  # an interrupt, too; what is half done goes on from its checkpoint, so its process has to be gone
            with contextlib.suppress(ray.exceptions.RayError):
                for ref in waiting:
                    ray.cancel(ref, force=True)
                if waiting:
                    ray.wait(list(waiting), num_returns=len(waiting), timeout=CANCEL)


@contextlib.contextmanager
def connected(jobs: int) -> Iterator[Any]:
    """Join the cluster of ``RAY_ADDRESS``, else the one begun here with ``ray start``, else begin one on this machine.

    A connection that is there already is used and left as it is; one that is made here ends here, and so does a
    cluster that was begun here.

    Args:
        jobs: How many tasks are to go on at once; a cluster that is begun here has a core for each.

    Yields:
        The module ``ray``.

    Raises:
        ConfigError: If Ray is not installed.
        GaardError: If the cluster does not answer, or does not take this process.
    """
    try:
        import ray
    except ImportError:
        raise ConfigError("engine='ray' needs Ray, which is not installed: pip install 'gaard[ray]'") from None
    if ray.is_initialized():
        yield ray
        return
    address = os.environ.get("RAY_ADDRESS", "")
    try:
        _join_or_begin(ray, address, max(jobs, torch.get_num_threads()))
    except (OSError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
        raise GaardError(
            f"RAY_ADDRESS={address!r}: no Ray cluster could be joined ({str(error).partition(chr(10))[0]}): see with "
            "`ray status` whether it runs; RAY_ADDRESS=local uses this machine alone"
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _join_or_begin(ray: Any, address: str, cores: int) -> None:
    """Connect; an address that nobody answers at is told of at once, where Ray would try for minutes."""
    if place := re.fullmatch(r"(?:ray://)?\[?([^/]+?)\]?:(\d+)", address):
        socket.create_connection((place[1], int(place[2])), ANSWER).close()
    if address in ("", "local"):
        # Not address="auto", which would join what another command began for itself, and die with it.
        try:
            ray.init(num_cpus=cores, include_dashboard=False, **QUIET)
            return
        except ValueError:
            pass  # one runs here, and has counted its cores
    ray.init(**QUIET)


def share(machines: Sequence[Mapping[str, float]], jobs: int) -> tuple[int, float]:
    """What one task may use.

    Args:
        machines: What each machine has, as Ray counts it: ``CPU`` and perhaps ``GPU``.
        jobs: How many tasks are to go on at once.

    Returns:
        The most cores with which so many tasks find room, at least 1, and the GPUs, a part of one where they are
        fewer than tasks, 0 where there are none.

    Raises:
        GaardError: If no machine has a core.
    """
    cores = [int(machine.get("CPU", 0)) for machine in machines]
    gpus = [int(machine.get("GPU", 0)) for machine in machines]
    if not any(cores):
        raise GaardError("the Ray cluster has no CPUs to run anything on: add machines with `ray start --address=…`")
    a_gpu = math.ceil(jobs / sum(gpus)) if any(gpus) else 0  # tasks on each

    def room(count: int) -> int:
        by_cores = [have // count for have in cores]
        return sum(min(n, gpu * a_gpu) for n, gpu in zip(by_cores, gpus, strict=True)) if a_gpu else sum(by_cores)

    most = next((count for count in range(max(cores), 1, -1) if room(count) >= jobs), 1)
    return most, math.floor(1e4 / a_gpu) / 1e4 if a_gpu else 0.0  # Ray counts in ten-thousandths


def _remote(ray: Any, cores: int, gpus: float) -> Any:
    """The remote function that calls a pickled task as if it were called here; returns what hinders it, and its result.

    It is nested so that Ray sends its code: gaard may be on a path that a worker has yet to be told.
    """
    cwd, paths = str(Path.cwd()), _own_paths()
    environment = {name: os.environ[name] for name in CARRIED if name in os.environ}

    def call(payload: bytes) -> tuple[str, Any]:
        import os
        import pickle
        import platform
        import sys

        sys.path[:] = paths + [path for path in sys.path if path not in paths]
        os.environ.update(environment)
        try:
            os.chdir(cwd)
            import torch

            task = pickle.loads(payload)
        except (OSError, ImportError, AttributeError) as error:
            return f"{platform.node()}: {error}", None
        torch.set_num_threads(cores)
        return "", task()

    options = {"num_cpus": cores, "num_gpus": gpus, "max_retries": RETRIES, "retry_exceptions": False}
    return ray.remote(scheduling_strategy="SPREAD", **options)(call)


def _own_paths() -> list[str]:
    """Where this process finds modules, beside what came with Python or was installed, which each machine has."""
    installed = [Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    paths = [Path(entry).absolute() for entry in sys.path if Path(entry).is_dir()]
    return [str(path) for path in paths if not any(path.is_relative_to(folder) for folder in installed)]


def _outcome(ray: Any, ref: Any, name: str, jobs: int) -> Any:
    """What a task returned, or raise what it raised."""
    try:
        problem, result = ray.get(ref)
    except ray.exceptions.RayTaskError as error:
        raise (error.cause if isinstance(error.cause, Exception) else error) from error
    except ray.exceptions.RayError as error:
        raise GaardError(
            f"{name}: the process that ran it was lost ({type(error).__name__}), {RETRIES} retries included. If it was "
            f"for lack of memory, try --jobs {max(1, jobs // 2)}: the same command goes on with what is left; `ray "
            "status` tells which machines are there, Ray's logs why one died"
        ) from error
    if problem:
        raise GaardError(
            f"{problem}: a machine of a Ray cluster needs gaard, and the folder in which the command is given at the "
            "same path (docs/lab.md)"
        )
    return result
