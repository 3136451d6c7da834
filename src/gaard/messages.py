"""Parts of error messages: a text cut to a readable length, an exception in one line."""

import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gaard.errors import GaardWarning


@contextmanager
def warnings_in_one_line() -> Iterator[None]:
    """Print gaard's warnings as its errors are printed: without a file and a line of gaard's code."""
    others = warnings.showwarning
    print_warnings_in_one_line()
    try:
        yield
    finally:
        warnings.showwarning = others


def print_warnings_in_one_line() -> None:
    """The same for as long as the process lives, such as one that carries out runs of a study."""
    others = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if issubclass(category, GaardWarning):
            print(f"gaard: warning: {message}", file=sys.stderr)
        else:
            others(message, category, *place, **more)

    warnings.showwarning = show


def shortened(text: object, width: int = 90) -> str:
    """The repr of `text` on one line, its middle cut out where it is longer than `width` characters."""
    try:
        line = repr(text)
    except Exception:  # Python writes no int of thousands of digits, and a user's own __repr__ may fail
        long = isinstance(text, int)
        return f"an int of more than {sys.get_int_max_str_digits()} digits" if long else f"a {type(text).__name__}"
    if len(line) <= width:
        return line
    # The end stays: a prompt's last words and the stop of a completion are what a reader recognises it by.
    head = (width - 3) * 2 // 3
    return f"{line[:head]}...{line[-(width - 3 - head) :]}"


def one_line(error: BaseException) -> str:
    """Type, message and place of `error`, in one line: `ZeroDivisionError: division by zero (rewards.py, line 3)`."""
    message = " ".join(str(error).split())
    if len(message) > 300:
        message = message[:297] + "..."
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}{': ' if message else ''}{message}{place}"
