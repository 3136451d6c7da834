"""The table of measures on a page: a row an arm, a column a measure, the difference to the baseline below each."""

from collections.abc import Mapping
from typing import Any

from gaard.lab.arms import UNTRAINED
from gaard.lab.measures import OF_RUN, Measure, on_page
from gaard.report.tables import seeds_behind

UNKNOWN = {"value": "", "mean": "–", "range": "", "title": "", "difference": "", "difference_range": ""}
Table = dict[str, Any]


def study_table(found: Mapping[str, Any], baseline: str) -> Table | None:
    """The measures of one scenario of a study.

    Args:
        found: Its results.
        baseline: What the arms are compared with.

    Returns:
        ``headings`` and ``rows`` of arms that have results; None if there are none.
    """
    arms = {arm: measures for arm, measures in {**found["arms"], UNTRAINED: found["untrained"]}.items() if measures}
    if not arms:
        return None
    shown = [one for one in on_page(OF_RUN) if any(one.name in measures for measures in arms.values())]
    rows = []
    for arm, measures in arms.items():
        differences = found["differences"].get(arm, {})
        cells = [_study_cell(one, measures.get(one.name), differences.get(one.name)) for one in shown]
        rows.append({"name": arm, "note": seeds_behind(measures), "texts": arm != UNTRAINED, "cells": cells})
    caption = (
        f"Mean over seeds, below it the 95% interval (Student). Δ is arm less {baseline} on common seeds, p adjusted "
        "over the arms (Holm). Headings sort; under the pointer, the mean of the middle half of the seeds."
    )
    return {"first": "arm", "caption": caption, "headings": _headings(shown), "rows": rows}


def run_table(measures: Mapping[str, float], name: str) -> Table | None:
    """The measures of one run.

    Args:
        measures: As ``evaluation.json`` has them.
        name: Of the run's method.

    Returns:
        As :func:`study_table`, one row; None if there are none.
    """
    shown = [one for one in on_page(OF_RUN) if one.name in measures]
    cells = [
        {**UNKNOWN, "label": one.label, "value": measures[one.name], "mean": one.text(measures[one.name])}
        for one in shown
    ]
    rows = [{"name": name, "note": "", "texts": False, "cells": cells}]
    caption = "Measured after training, on fresh completions."
    return {"first": "method", "caption": caption, "headings": _headings(shown), "rows": rows} if shown else None


def _headings(shown: list[Measure]) -> list[tuple[str, str]]:
    """What stands above the columns, and what it says under the pointer."""
    return [(one.label, _hint(one)) for one in shown]


def _hint(measure: Measure) -> str:
    """Unit, meaning, which way is better."""
    better = f"{measure.better} is better" if measure.better else ""
    return "; ".join(filter(None, [measure.unit, measure.meaning.partition(" ([")[0].replace("`", ""), better]))


def _study_cell(
    measure: Measure, own: Mapping[str, Any] | None, difference: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Mean, interval and difference; under the pointer the mean of the middle half of the seeds."""
    cell = {**UNKNOWN, "label": measure.label}
    if own is None:
        return cell
    digits, middle = measure.digits, own.get("iqm")
    cell |= {"value": own["mean"], "mean": _minus(f"{own['mean']:.{digits}f}"), "range": _between(own, digits)}
    cell["title"] = f"IQM {middle['mean']:.{digits}f} {_between(middle, digits)}" if middle else ""
    if difference is None:
        return cell
    notes = [] if difference["p_holm"] is None else [_p(difference["p_holm"])]
    notes += [f"{difference['n']} common"] if difference["n"] < own["n"] else []
    cell["difference"] = _minus(f"Δ {difference['mean']:+.{digits}f}")
    return {**cell, "difference_range": " ".join([_between(difference, digits), *notes]).strip()}


def _between(interval: Mapping[str, Any], digits: int) -> str:
    """The ends of an interval, if it has any."""
    return "" if interval["low"] is None else _minus(f"[{interval['low']:.{digits}f}, {interval['high']:.{digits}f}]")


def _p(value: float) -> str:
    """A p value in one piece: its space does not break."""
    return "p\u00a0<\u00a00.001" if value < 0.001 else f"p\u00a0{value:.2g}"


def _minus(text: str) -> str:
    """Numbers with the minus as type has it."""
    return text.replace("-", "−")
