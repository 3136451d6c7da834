"""What reading a file ends on that is damaged, or that another program wrote."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import torch

from gaard.errors import CheckpointError, ConfigError, GaardError

# RecursionError, of JSON that is nested without end, is a RuntimeError.
DAMAGE = (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, RuntimeError, OverflowError)


# How PyTorch's allocator for the CPU says that there is no memory, which has no error of its own.
NO_MEMORY = ("not enough memory", "can't allocate memory", "Cannot allocate memory")


def is_exhausted(error: BaseException) -> bool:
    """Whether an error says that memory did not suffice."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in NO_MEMORY)


@contextlib.contextmanager
def shown(folder: Path) -> Iterator[None]:
    """Make one error of what hinders showing a folder whose files were changed, or written by another program.

    Args:
        folder: Of a run or study.

    Raises:
        ConfigError: In the place of any of ``DAMAGE`` that is not gaard's own.
    """
    try:
        yield
    except GaardError:
        raise
    except (*DAMAGE, ArithmeticError) as error:
        if isinstance(error, OSError) and error.filename is not None:
            raise  # of a disk: the command line tells it
        what = f"{type(error).__name__}: {error}"
        raise ConfigError(
            f"the files in {folder} cannot be shown ({what}): put back a copy. If nothing but gaard has written them, "
            "that is a defect of gaard"
        ) from error


@contextlib.contextmanager
def told_of(folder: Path) -> Iterator[None]:
    """Make what is wrong with a file's content one error.

    Args:
        folder: Where the file is.

    Raises:
        CheckpointError: In the place of any of ``DAMAGE``.
    """
    try:
        yield
    except DAMAGE as error:
        what = f"{type(error).__name__}: {error}"
        raise CheckpointError(f"{folder} holds what no run wrote ({what}): put back a copy, or --overwrite") from error
