"""How commands show a table."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

WIDE = 200  # columns


def show(table: "Table", wide: int = WIDE) -> None:
    """Print a table; into a file or a pipe of so many columns, where 80 would cut its numbers off."""
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else wide).print(table)
