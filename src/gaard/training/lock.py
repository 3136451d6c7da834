"""One process at a time in a folder: two that write the same files would leave neither run whole."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from platform import node

import psutil
from filelock import SoftFileLock, Timeout

from gaard.errors import CheckpointError

LOCK = "gaard.lock"
PATIENCE = 0.2  # seconds in which a lock is tried again: the first try may only find that its process is gone
CLOCK = 2.0  # seconds by which a process may seem to be younger than its lock: the system tells its start in ticks


@dataclass
class _Held:
    """A lock of this process, and how many trainers of it work under that."""

    lock: SoftFileLock
    users: int = 1


_HELD: dict[Path, _Held] = {}


def lock_folder(folder: Path, option: str = "output_dir") -> None:
    """Keep other processes out until :func:`unlock_folder`; a lock whose process is gone counts for nothing.

    The file names process and machine. On another machine nobody can tell whether the process still runs.

    Args:
        folder: Is there already. The same process may lock it again.
        option: By what a user chooses another folder.

    Raises:
        CheckpointError: If another process works there, naming it and what to do.
    """
    path = folder.resolve() / LOCK
    if path in _HELD:
        _HELD[path].users += 1
        return
    lock = SoftFileLock(path)
    try:
        lock.acquire(timeout=PATIENCE, poll_interval=PATIENCE / 4)
    except Timeout:
        raise CheckpointError(_refusal(folder, path, option)) from None
    except OSError as error:
        raise CheckpointError(f"{path} cannot be written: {error.strerror}: check the folder's permissions") from error
    _HELD[path] = _Held(lock)


def unlock_folder(folder: Path) -> None:
    """Let others in, once all of this process who locked the folder have unlocked it.

    Args:
        folder: As it was locked.
    """
    path = folder.resolve() / LOCK
    held = _HELD[path]
    held.users -= 1
    if not held.users:
        del _HELD[path]
        held.lock.release()


@contextlib.contextmanager
def alone_in(folder: Path, option: str) -> Iterator[None]:
    """The folder, made if it is not there, with no other process at work in it.

    Args:
        folder: Of a study.
        option: As for :func:`lock_folder`.

    Raises:
        CheckpointError: As :func:`lock_folder`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock_folder(folder, option)
    try:
        yield
    finally:
        unlock_folder(folder)


def is_locked(folder: Path) -> bool:
    """Whether a process is at work in a folder.

    Args:
        folder: Of a run or a study.

    Returns:
        False without a lock, and where its process is gone, also if another has its number now. On another machine
        nobody can tell: True.
    """
    path = folder.resolve() / LOCK
    try:
        written = path.stat().st_mtime
        pid, host = _holder(path)
        if host != node() or not pid.isdecimal():
            return True
        return psutil.Process(int(pid)).create_time() < written + CLOCK
    except (FileNotFoundError, psutil.NoSuchProcess):
        return False


def _holder(path: Path) -> tuple[str, str]:
    """Process and machine that a lock names, each "?" where it cannot be read."""
    lines = ["?", "?"]
    with contextlib.suppress(OSError, UnicodeDecodeError):
        lines = [*path.read_text(encoding="utf-8").split(), *lines]
    return lines[0], lines[1]


def _refusal(folder: Path, path: Path, option: str) -> str:
    """Who is there, and what to do."""
    pid, host = _holder(path)
    here = host == node()
    place = f"this machine ({host})" if here else host
    gone = "" if here else f"; if that process is gone, delete {path}"
    return (
        f"another process is at work in {str(folder)!r}: process {pid} on {place}. "
        f"Wait for it, stop it, or use another {option}{gone}"
    )
