"""``python -m benchmarks [row,…]``: run rows, print the table, write ``benchmarks/results.json``."""

import json
import sys
from datetime import date
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.measuring import DEVICE, Figure, machine
from benchmarks.rows import ROWS

RESULTS = Path(__file__).parent / "results.json"


def main() -> None:
    """Run what is asked for."""
    wanted = [name for argument in sys.argv[1:] for name in argument.split(",") if name] or list(ROWS)
    unknown = [name for name in wanted if name not in ROWS]
    if unknown:
        raise SystemExit(f"no row is called {unknown[0]!r}: there are {', '.join(ROWS)}")
    console = Console()
    with console.status("") as status:
        for number, name in enumerate(wanted, 1):
            status.update(f"{name}, row {number} of {len(wanted)}, on {DEVICE}")
            figures = list(ROWS[name]())
            write(name, figures)
            console.print(table(name, figures))


def write(row: str, figures: list[Figure]) -> None:
    """Put a row's figures in the place of those it had; other rows stay."""
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    kept = [figure for figure in kept if figure["name"].split(",")[0] != row]
    where = {"date": date.today().isoformat(), "machine": machine()}
    RESULTS.write_text(json.dumps(kept + [figure.as_dict() | where for figure in figures], indent=2) + "\n")


def table(row: str, figures: list[Figure]) -> Table:
    """What was measured, the bar, and whether it holds."""
    rendered = Table(title=f"{row}: {ROWS[row].__doc__.splitlines()[0]}", title_justify="left")
    for heading in ("figure", "model"):
        rendered.add_column(heading)
    for heading in ("value", "bar", "holds"):
        rendered.add_column(heading, justify="right")
    for figure in figures:
        bar = "" if figure.bar is None else f"{'≥' if figure.larger_is_better else '≤'} {figure.bar:.3g}"
        holds = {None: "", True: "yes", False: "[bold red]no[/]"}[figure.holds]
        rendered.add_row(figure.name, figure.model, f"{figure.value:.3g}", bar, holds)
    return rendered


if __name__ == "__main__":
    main()
