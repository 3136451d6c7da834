"""What ``gaard compare`` and ``gaard league`` share: options, and carrying a study out."""

import argparse
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gaard.commands.terminal import show
from gaard.disclosure import visible

if TYPE_CHECKING:
    from rich.table import Table

    from gaard.lab.study import Study

FAILED_RUNS = 1  # exit status


def count(text: str) -> int:
    """A whole number from 1 on.

    Args:
        text: As it stands on the command line.

    Returns:
        The number.

    Raises:
        argparse.ArgumentTypeError: For anything else.
    """
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number, 1 or more")
    return int(text)


def names(text: str | None) -> list[str] | None:
    """Names with commas between, as a list; None if nothing was given."""
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def add_engine(group: Any) -> None:
    """How many runs at once, and where."""
    group.add_argument(
        "--jobs", metavar="N", type=count, default=1, help="runs at once, each with its share of the cores"
    )
    group.add_argument("--engine", metavar="NAME", default="processes", help="where: processes (this machine), or ray")


def carry_out(
    study: "Study",
    folder: Path,
    arguments: argparse.Namespace,
    tables: Callable[[Mapping[str, Any]], list["Table"]],
) -> int:
    """Run a study, show its tables, and write its page.

    Args:
        study: The study.
        folder: Its folder.
        arguments: With ``jobs`` and ``engine``.
        tables: Of results.

    Returns:
        Exit status: 0; 1 if some runs failed.
    """
    from rich.console import Console

    from gaard.lab.compare import compare
    from gaard.lab.summary import RESULTS, is_first_process
    from gaard.report.page import write_page
    from gaard.report.verdict import warned

    log = Console(stderr=True)
    plain = partial(log.print, markup=False, highlight=False, soft_wrap=True)  # an error may hold brackets

    def say(text: str) -> None:
        plain(visible(text))

    results = compare(study, folder, jobs=arguments.jobs, engine=arguments.engine, announce=say)
    if not is_first_process():
        return 0
    for table in tables(results):
        show(table)
    for warning in warned(results):
        print(visible(warning))
    print(f"results: {folder / RESULTS}   page: {write_page(folder)}   texts: {folder}/*/*/samples.jsonl")
    return _failed(results, folder)


def _failed(results: Mapping[str, Any], folder: Path) -> int:
    """Name the runs that failed, and where the trace of a defect is."""
    from gaard.lab.compare import TRACE

    failed = [run for run in results["runs"] if run["error"]]
    for run in failed:
        trace = folder / run["folder"] / TRACE
        where = f" (more in {trace})" if trace.exists() else ""
        told = f"gaard: {run['scenario']}, {run['arm']} seed {run['seed']} failed: {run['error']}{where}"
        print(visible(told), file=sys.stderr)
    return FAILED_RUNS if failed else 0
