"""How commands show a table."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

WIDE = 200  # columns


def show(table: "Table") -> None:
    """Print a table; into a file or a pipe as wide as it is, where 80 columns would cut its numbers off."""
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else WIDE).print(table)
