"""What commands take of the processor, and how that compares with the machine that the bars are for."""

import functools
import os
import resource
import subprocess
import sys
from collections.abc import Container


def cpu_seconds(*arguments: str, statuses: Container[int] = (0,)) -> float:
    """What Python with these arguments and its children computed; it must end with one of the statuses."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, *arguments], capture_output=True, env=environment, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode in statuses, done.stderr
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@functools.cache
def slowness() -> float:
    """How much slower than the machine that the bars are for: there torch is imported in 1.3 seconds."""
    command = [sys.executable, "-c", "import time, torch; print(time.process_time())"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    runs = [subprocess.run(command, capture_output=True, env=environment, check=True) for _ in range(2)]
    return max(1.0, min(float(done.stdout) for done in runs) / 1.3)
