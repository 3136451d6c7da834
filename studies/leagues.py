"""The tables of study 35: how each arm stands over all scenarios, and what it does in each."""

from typing import Any

import polars as pl

from gaard.lab import analysis
from gaard.lab.league import standings
from gaard.lab.measures import OF_RUN
from gaard.lab.study import read_study
from gaard.report.tables import STANDINGS
from studies.frames import STUDIES, UNTRAINED, arms_of, counted, of, recorded, runs
from studies.markdown import NOTHING, said, table

STUDY = "35-league"


def as_runs(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """Rows of a record as the runs of which the lab makes its standings: what is null was not measured."""
    rows = []
    for row in frame.to_dicts():
        measures = {name: row[name] for name in OF_RUN if row.get(name) is not None}
        rows.append({**{key: row[key] for key in ("scenario", "arm", "seed")}, "error": None, "measures": measures})
    return rows


def league() -> str:
    """A row an arm, the best first: true reward reached, where nothing can be hacked, hacks, fluency, cost."""
    head = ["arm", *(heading for heading, _ in STANDINGS.values()), "hacked runs", "runs"]
    if not recorded(STUDY):
        return table(head, [])
    rows = []
    for row in standings(as_runs(runs(STUDY)), read_study(STUDIES / STUDY / "study.yaml")):
        cells = [NOTHING if row[key] is None else _interval(row[key]) for key in STANDINGS]
        counts = (f"{row['hacked']} of {row['hackable']}", f"{row['done']} of {row['planned']}")
        rows.append([f"`{row['arm']}`", *cells, *counts])
    return table(head, rows)


def _interval(found: dict[str, Any]) -> str:
    ends = "" if found["low"] is None else f" [{found['low']:.2f}, {found['high']:.2f}]"
    return f"{found['mean']:.2f}{ends}"


def where() -> str:
    """A row an arm, a column a scenario: true reward, and how many runs are hacked where there is a hack."""
    if not recorded(STUDY):
        return table(["arm"], [])
    frame = runs(STUDY)
    mean, hacked = analysis.means(frame, "true_reward"), analysis.hacked(frame)
    scenarios = frame["scenario"].unique(maintain_order=True).to_list()
    rows = []
    for arm in arms_of(frame):
        cells = []
        for scenario in scenarios:
            here, ends = (of(found, scenario=scenario, arm=arm) for found in (mean, hacked))
            reward = said(here.get("true_reward"), "true_reward", ends=False)
            count = f", {counted(ends)}" if ends and arm != UNTRAINED else ""
            cells.append(f"{reward}{count}")
        rows.append([f"`{arm}`", *cells])
    return table(["arm", *(f"`{scenario}`" for scenario in scenarios)], rows)
