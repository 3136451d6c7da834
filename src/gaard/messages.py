"""Warnings in one line, and parts of error messages: a text cut to a readable length, an exception in one line."""

import sys
import traceback
import warnings
from pathlib import Path

from gaard.disclosure import redacted, visible
from gaard.errors import GaardWarning


def warn(sentence: str) -> None:
    """Warn as errors are printed: one line, without a file and a line of gaard's code.

    It can be caught, silenced or made an error as any other warning, and others look as they did.

    Args:
        sentence: What to say.
    """
    usual = warnings.formatwarning
    warnings.formatwarning = _in_one_line
    try:
        warnings.warn(sentence, GaardWarning, stacklevel=2)
    finally:
        warnings.formatwarning = usual


def _in_one_line(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    return f"gaard: warning: {visible(redacted(str(message)))}\n"


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


def one_line(error: BaseException, file: Path | None = None) -> str:
    """Type, message and place of `error`, in one line: `ZeroDivisionError: division by zero (rewards.py, line 3)`.

    Args:
        error: What was raised.
        file: Whose line is the place; by default that of the file which raised it.

    Returns:
        The line.
    """
    message = redacted(" ".join(str(error).split()))
    if len(message) > 300:
        message = message[:297] + "..."
    trace = traceback.extract_tb(error.__traceback__)
    frames = [frame for frame in trace if file is None or Path(frame.filename) == file]
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}{': ' if message else ''}{message}{place}"
