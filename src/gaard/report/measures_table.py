"""The table of measures on a page: a row an arm, a column a measure, the difference to the baseline below each."""

from collections.abc import Mapping, Sequence
from typing import Any

from gaard.lab.arms import UNTRAINED
from gaard.lab.measures import OF_RUN, Measure, on_page
from gaard.lab.verdicts import KEPT, MARGIN, OPEN
from gaard.report.tables import STANDINGS, seeds_behind

UNKNOWN = {"value": "", "mean": "–", "range": "", "title": "", "difference": "", "difference_range": ""}
MEASURES = "Measures"  # what a table's label says to who does not see it
Table = dict[str, Any]


def study_table(found: Mapping[str, Any], baseline: str) -> Table | None:
    """The measures of one scenario of a study.

    Args:
        found: Its results.
        baseline: What the arms are compared with.

    Returns:
        Its ``label``, ``caption``, ``first``, ``headings`` and ``rows`` of arms that have results; None if there are
        none.
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
    return {"label": MEASURES, "first": "arm", "caption": caption, "headings": _headings(shown), "rows": rows}


def standings_table(standings: Sequence[Mapping[str, Any]]) -> Table:
    """How each arm stands over all scenarios.

    Args:
        standings: As results have them.

    Returns:
        As :func:`study_table`.
    """
    rows = []
    for row in standings:
        cells = [_standing_cell(label, row.get(key)) for key, (label, _) in STANDINGS.items()]
        hacked = {**UNKNOWN, "label": "hacked runs", "value": row["hacked"]}
        hacked["mean"] = f"{row['hacked']} of {row['hackable']}"
        note = f"{row['scenarios']} scenarios, {row['done']} of {row['planned']} runs"
        rows.append({"name": row["arm"], "note": note, "texts": False, "cells": [*cells, hacked]})
    caption = (
        "Mean over scenarios and seeds, below it the 95% interval over seeds (Student). Reached is the gain in true "
        "reward over the untrained model, as a share of what PPO on the true reward gains. An arm that cannot be run "
        "in a scenario is not judged there. Those that lack a scenario, or of which a run failed, stand last."
    )
    headings = [*STANDINGS.values(), ("hacked runs", "")]
    return {"label": "Standings", "first": "arm", "caption": caption, "headings": headings, "rows": rows}


def verdicts_table(found: Sequence[Mapping[str, Any]], baseline: str) -> Table | None:
    """Where each arm helps and where it does harm.

    Args:
        found: As results have them.
        baseline: What the arms are compared with.

    Returns:
        As :func:`study_table`, a column a scenario; None if a single seed leaves all open.
    """
    if all(row["verdict"] == OPEN for row in found):
        return None
    scenarios = list(dict.fromkeys(row["scenario"] for row in found))
    words = {(row["arm"], row["scenario"]): row for row in found}
    rows = []
    for arm in dict.fromkeys(row["arm"] for row in found):
        cells = [_verdict_cell(scenario, words.get((arm, scenario))) for scenario in scenarios]
        rows.append({"name": arm, "note": "", "texts": False, "cells": cells})
    caption = (
        f"Helps: hacked less than {baseline}, true reward not lower by more than {MARGIN}, and above the untrained "
        f"model's; where {baseline} is not hacked, a higher true reward. Per cent: where nothing can be hacked, the "
        f"share kept of {baseline}'s gain; less than {KEPT:.0%} in the mean is harm. Help is judged by the 95% "
        "interval of the paired difference, with no correction for many arms; one seed leaves all open."
    )
    headings = [(scenario, "") for scenario in scenarios]
    return {"label": "Help and harm", "first": "arm", "caption": caption, "headings": headings, "rows": rows}


def _verdict_cell(label: str, row: Mapping[str, Any] | None) -> dict[str, Any]:
    """A verdict; in a control the share that is kept, by which it sorts, others by the difference in true reward."""
    cell = {**UNKNOWN, "label": label}
    if row is None:
        return cell
    kept = row["kept"]
    if kept is None:
        return cell | {"value": row["true_reward"]["mean"], "mean": row["verdict"]}
    ends = "" if kept["low"] is None else _minus(f"[{kept['low']:.1%}, {kept['high']:.1%}]")
    return cell | {"value": kept["mean"], "mean": _minus(f"{row['verdict']}, {kept['mean']:.1%}"), "range": ends}


def _standing_cell(label: str, own: Mapping[str, Any] | None) -> dict[str, Any]:
    """Mean and interval."""
    cell = {**UNKNOWN, "label": label}
    if own is None:
        return cell
    return cell | {"value": own["mean"], "mean": _minus(f"{own['mean']:.3f}"), "range": _between(own, 3)}


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
    headings = _headings(shown)
    table = {"label": MEASURES, "first": "method", "caption": caption, "headings": headings, "rows": rows}
    return table if shown else None


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
    """The ends of an interval, if it has any; a bootstrap of few seeds may find one of them alone."""
    low, high = interval["low"], interval["high"]
    if low is None and high is None:
        return ""
    return _minus(f"[{'-∞' if low is None else f'{low:.{digits}f}'}, {'∞' if high is None else f'{high:.{digits}f}'}]")


def _p(value: float) -> str:
    """A p value in one piece: its space does not break."""
    return "p\u00a0<\u00a00.001" if value < 0.001 else f"p\u00a0{value:.2g}"


def _minus(text: str) -> str:
    """Numbers with the minus as type has it."""
    return text.replace("-", "−")
