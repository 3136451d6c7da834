"""What reading a file ends on that is damaged, or that another program wrote."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from gaard.errors import CheckpointError

# RecursionError, of JSON that is nested without end, is a RuntimeError.
DAMAGE = (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, RuntimeError, OverflowError)


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
