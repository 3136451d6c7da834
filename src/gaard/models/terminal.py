"""What the user sees meanwhile."""

import contextlib
import os
import sys
from collections.abc import Iterator

from rich.console import Console
from transformers.utils import logging as transformers_logging


@contextlib.contextmanager
def hidden_bars() -> Iterator[None]:
    """Keep the progress bars of transformers and the hub client off the terminal: they break a status line."""
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()


def console(quiet: bool) -> Console:
    """Standard error, so that standard output stays free for results; silent in all processes of a launch but one."""
    # The stream itself, as `load_gguf` covers sys.stderr while the status line turns.
    return Console(file=sys.stderr, quiet=quiet or os.environ.get("LOCAL_RANK", "0") != "0")
