"""The tables of study 35: how each arm stands over all scenarios, what it does in each, and where it helps."""

from typing import Any

import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from gaard.lab import analysis
from gaard.lab.league import HONEST, standings
from gaard.lab.measures import OF_RUN
from gaard.lab.study import Study, read_study
from gaard.lab.verdicts import HARM, HELPS, NO_HARM, verdicts
from gaard.report.tables import STANDINGS
from studies.frames import STUDIES, UNTRAINED, arms_of, counted, of, recorded, runs
from studies.markdown import NOTHING, said, table

STUDY = "35-league"
PPO, OTHER_BASE = "ppo", {"dr_grpo-signcert": "dr_grpo"}  # with what an arm is compared, by the protocol
TIMED = ("capped", "clean", "overoptimised-50-model")  # no run of another study, from another machine, stands there
PUZZLES = ("puzzle24", "puzzle24-uncompared")
OURS = ("fold", "gaa-text", "gaa-expected")
TOLD = "ppo-detector-screening"  # what a hack is
IN_README = ("ppo", "fold", "gaa-expected", "ppo-gradient-norm", TOLD)  # gaard's own, and all above PPO


def as_runs(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """Rows of a record as the runs of which the lab makes its standings: what is null was not measured.

    Seconds count in :data:`TIMED` alone.
    """
    rows = []
    for row in frame.to_dicts():
        measures = {name: row[name] for name in OF_RUN if row.get(name) is not None}
        if row["scenario"] not in TIMED:
            measures.pop("seconds_per_step", None)
        rows.append({**{key: row[key] for key in ("scenario", "arm", "seed")}, "error": None, "measures": measures})
    return rows


def stood(*without: str) -> list[dict[str, Any]]:
    """The standings of the record, the best arm first, perhaps without some scenarios."""
    return standings(as_runs(runs(STUDY).filter(~pl.col("scenario").is_in(list(without)))), _study())


def league() -> str:
    """A row an arm, the best first: true reward reached, where nothing can be hacked, hacks, fluency, cost."""
    first, _, *more = (heading for heading, _ in STANDINGS.values())
    head = ["arm", first, "less `ppo`", "without the puzzles", *more, "hacked runs", "scenarios", "runs"]
    if not recorded(STUDY):
        return table(head, [])
    elsewhere = {row["arm"]: row["reached"] for row in stood(*PUZZLES)}
    scenarios = len(_study().scenarios)
    rows = []
    for row in stood():
        cells = [_interval(row[key]) for key in STANDINGS if key != "less_baseline"]
        cells[1:1] = [_difference(row["less_baseline"]), _interval(elsewhere.get(row["arm"]))]
        of = (row["hacked"], row["hackable"]), (row["scenarios"], scenarios), (row["done"], row["planned"])
        counts = (f"{some} of {all_of_them}" for some, all_of_them in of)
        rows.append([f"`{row['arm']}`", *cells, *counts])
    return table(head, rows)


def readme() -> str:
    """The README's one table: gaard's recommended arms, and those above PPO."""
    head = ["arm", "true reward reached", "without two puzzles", "where nothing can be hacked", "hacked runs", "cost"]
    if not recorded(STUDY):
        return table(head, [])
    elsewhere = {row["arm"]: row["reached"] for row in stood(*PUZZLES)}
    rows = []
    for row in (row for row in stood() if row["arm"] in IN_README):
        others = elsewhere.get(row["arm"]), row["kept"]
        means = [NOTHING if found is None else f"{found['mean']:.2f}" for found in others]
        cost = NOTHING if row["cost"] is None else f"{row['cost']['mean']:.2f}"
        arm = f"`{row['arm']}`{' (knows the hack)' * (row['arm'] == TOLD)}"
        rows.append([arm, _interval(row["reached"]), *means, f"{row['hacked']} of {row['hackable']}", cost])
    return table(head, rows)


def _study() -> Study:
    return read_study(STUDIES / STUDY / "study.yaml")


def _interval(found: dict[str, Any] | None, sign: str = "") -> str:
    if found is None:
        return NOTHING
    number = f"{sign}.2f"
    ends = "" if found["low"] is None else f" [{found['low']:{number}}, {found['high']:{number}}]"
    return f"{found['mean']:{number}}{ends}"


def _difference(found: dict[str, Any] | None) -> str:
    p = "" if found is None or found["p_holm"] is None else f", p {found['p_holm']:.2g}"
    return f"{_interval(found, '+')}{p}".replace("-", "−")


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


def judged() -> str:
    """A row an arm, a column a scenario: whether it helps there, and in the controls what it keeps of PPO's gain.

    The third protocol says what is called help and harm (docs/protocol.md).
    """
    if not recorded(STUDY):
        return table(["arm"], [])
    frame, study = runs(STUDY), _study()
    cells = {(row["arm"], row["scenario"]): _in_words(row) for row in verdicts(as_runs(frame), study, OTHER_BASE)}
    scenarios = frame["scenario"].unique(maintain_order=True).to_list()
    rows = [
        [f"`{arm}`{' (honest)' * (arm == HONEST)}", *(cells.get((arm, scenario), NOTHING) for scenario in scenarios)]
        for arm in arms_of(frame)
        if arm not in (UNTRAINED, PPO)
    ]
    return table(["arm", *(f"`{scenario}`" for scenario in scenarios)], rows)


def _in_words(row: dict[str, Any]) -> str:
    """A verdict as the table has it; in a control the share that is kept, and its interval."""
    word = f"**{row['verdict']}**" if row["verdict"] in (HELPS, HARM) else row["verdict"]
    kept = row["kept"]
    if kept is None or kept["low"] is None:
        return word
    told = f"{kept['mean']:.0%} [{kept['low']:.0%}, {kept['high']:.0%}]".replace("-", "−")
    return told if row["verdict"] == NO_HARM else f"{told}, {word}"


def figure() -> go.Figure:
    """Each arm's true reward reached, over all scenarios and where nothing can be hacked, and its hack rate."""
    rows = stood()[::-1]
    everywhere = max(row["scenarios"] for row in rows)
    few = {row["arm"]: f"{row['arm']}, {row['scenarios']} scenarios" for row in rows if row["scenarios"] < everywhere}
    panels = {"reached": "true reward reached", "kept": "where nothing can be hacked", "hack_rate": "hack rate"}
    drawn = make_subplots(1, 3, subplot_titles=[*panels.values()], shared_yaxes=True, horizontal_spacing=0.03)
    for column, key in enumerate(panels, 1):
        known = [(few.get(row["arm"], row["arm"]), row[key]) for row in rows if row[key]]
        reach = [0.0 if found["low"] is None else found["high"] - found["mean"] for _, found in known]
        less = [0.0 if found["low"] is None else found["mean"] - found["low"] for _, found in known]
        drawn.add_scatter(
            x=[round(found["mean"], 4) for _, found in known], y=[arm for arm, _ in known], mode="markers",
            marker={"size": 9, "color": ["#0369a1" if arm in OURS else "#4b5563" for arm, _ in known]},
            error_x={"array": reach, "arrayminus": less, "thickness": 1.2, "width": 0, "color": "#8b93a1"},
            showlegend=False, row=1, col=column,
        )  # fmt: skip
    drawn.update_xaxes(range=[-0.25, 1.15], dtick=0.25)
    drawn.update_xaxes(range=[-0.03, 1.03], tickformat=".0%", col=3)
    return drawn.update_yaxes(categoryorder="array", categoryarray=[few.get(row["arm"], row["arm"]) for row in rows])
