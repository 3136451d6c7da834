"""Numbers as tables have them, and tables between the markers of a page."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gaard.lab.measures import OF_RUN

NOTHING = "–"
BETWEEN = re.compile(r"(<!-- table: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
Table = Callable[[], str]


def said(interval: Mapping[str, Any] | None, measure: str, *, signed: bool = False, ends: bool = True) -> str:
    """A mean and its interval; shares in per cent, their differences in points.

    Args:
        interval: As a frame of :mod:`gaard.lab.analysis` holds it.
        measure: What it is of.
        signed: Whether it is a difference.
        ends: Whether to give the interval beside the mean.
    """
    if interval is None:
        return NOTHING
    share, digits = OF_RUN[measure].bounds == (0.0, 1.0), OF_RUN[measure].digits
    factor, digits = (100.0, digits - 2) if share else (1.0, digits)
    unit = ("" if signed else "%") if share else ""
    number = f"{'+' if signed else ''}.{digits}f"
    text = f"{factor * interval['mean']:{number}}{unit}{' points' if signed and share else ''}"
    if ends and interval["low"] is not None:
        text += f" [{factor * interval['low']:{number}}{unit}, {factor * interval['high']:{number}}{unit}]"
    return text


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; minus signs in its numbers."""
    lines = [head, ["---"] * len(head), *rows]
    text = "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"
    return re.sub(r"(?<![\w`-])-(?=\d)", "−", text)


def filled(page: str, tables: Mapping[str, Table]) -> str:
    """A page with every table between its markers made anew.

    Args:
        page: Markdown, with ``<!-- table: NAME -->`` and ``<!-- end -->`` around each table.
        tables: Name → what makes it.

    Raises:
        KeyError: For a name that no table has.
    """
    return BETWEEN.sub(lambda found: f"{found[1]}{tables[found[2]]()}{found[3]}", page)
