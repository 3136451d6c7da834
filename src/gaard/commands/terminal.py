"""What commands share: the folder that they are asked about, and how they show a table."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from gaard.errors import ConfigError

if TYPE_CHECKING:
    from rich.table import Table

WIDE = 200  # columns


def existing_folder(given: str) -> Path:
    """A folder that is there, before anything slow is imported to read it.

    Args:
        given: As it stands on the command line.

    Returns:
        Its path.

    Raises:
        ConfigError: If there is none.
    """
    folder = Path(given).expanduser()
    if not folder.is_dir():
        raise ConfigError(f"{folder} is no folder: name that of a run, its output_dir, or of a study, its --out")
    return folder


def show(table: "Table", wide: int = WIDE) -> None:
    """Print a table; into a file or a pipe of so many columns, where 80 would cut its numbers off."""
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else wide).print(table)
