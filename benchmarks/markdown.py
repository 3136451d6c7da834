"""The table of docs/performance.md from ``benchmarks/results.json``."""

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results.json"


def markdown() -> str:
    """The figures as Markdown: where they were measured, then a row each."""
    figures = json.loads(RESULTS.read_text(encoding="utf-8"))
    places = sorted({f"{figure['date']}; {figure['machine']}." for figure in figures})
    head = ["| figure | model | value | bar | holds |", "| --- | --- | --- | --- | --- |"]
    return "\n".join([*places, "", *head, *map(_row, figures)])


def _row(figure: dict[str, Any]) -> str:
    """One figure."""
    bar = "" if figure["bar"] is None else f"{'≥' if figure['larger_is_better'] else '≤'} {figure['bar']:.3g}"
    holds = {None: "", True: "yes", False: "**no**"}[figure["holds"]]
    row, _, which = figure["name"].partition(", ")
    name = f"`{row}`, {which}" if which else f"`{row}`"
    return f"| {name} | {figure['model']} | {figure['value']:.3g} | {bar} | {holds} |"
