"""The tables of study 35: how each arm stands over all scenarios, what it does in each, and where it helps."""

from typing import Any

import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from gaard.lab import analysis
from gaard.lab.league import HONEST, standings
from gaard.lab.measures import HACKED, OF_RUN
from gaard.lab.statistics import CONFIDENCE, Difference, paired_difference
from gaard.lab.study import Study, read_study
from gaard.report.tables import STANDINGS
from studies.frames import STUDIES, UNTRAINED, arms_of, counted, of, recorded, runs
from studies.markdown import NOTHING, said, table

STUDY = "35-league"
PPO, OTHER_BASE = "ppo", {"dr_grpo-signcert": "dr_grpo"}  # with what an arm is compared, by the protocol
TIMED = ("capped", "clean", "overoptimised-50-model")  # no run of another study, from another machine, stands there
PUZZLES = ("puzzle24", "puzzle24-uncompared")
OURS = ("fold", "gaa-text", "gaa-expected")
KEPT = 0.95  # of the gain of PPO, where nothing can be hacked


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
    first, *more = (heading for heading, _ in STANDINGS.values())
    head = ["arm", first, "without the puzzles", *more, "hacked runs", "runs"]
    if not recorded(STUDY):
        return table(head, [])
    elsewhere = {row["arm"]: row["reached"] for row in stood(*PUZZLES)}
    rows = []
    for row in stood():
        cells = [_interval(row[key]) for key in STANDINGS]
        cells.insert(1, _interval(elsewhere.get(row["arm"])))
        counts = (f"{row['hacked']} of {row['hackable']}", f"{row['done']} of {row['planned']}")
        rows.append([f"`{row['arm']}`", *cells, *counts])
    return table(head, rows)


def _study() -> Study:
    return read_study(STUDIES / STUDY / "study.yaml")


def _interval(found: dict[str, Any] | None) -> str:
    if found is None:
        return NOTHING
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


def judged() -> str:
    """A row an arm, a column a scenario: whether it helps there, and in the controls what it keeps of PPO's gain.

    The third protocol says what is called help and harm (docs/protocol.md).
    """
    if not recorded(STUDY):
        return table(["arm"], [])
    frame, controls = runs(STUDY), _study().controls
    scenarios = frame["scenario"].unique(maintain_order=True).to_list()
    rows = []
    for arm in (arm for arm in arms_of(frame) if arm not in (UNTRAINED, PPO)):
        cells = [_judged(frame.filter(scenario=scenario), arm, scenario in controls) for scenario in scenarios]
        rows.append([f"`{arm}`{' (honest)' * (arm == HONEST)}", *cells])
    return table(["arm", *(f"`{scenario}`" for scenario in scenarios)], rows)


def _judged(here: pl.DataFrame, arm: str, control: bool) -> str:
    """What an arm does in one scenario, in a word or two."""
    base = OTHER_BASE.get(arm, PPO)
    reward = paired_difference(*(_by_seed(here, name, "true_reward") for name in (arm, base)))
    if reward is None:
        return NOTHING
    if control:
        return _keeps(here, arm, reward)
    if _sign(reward) is None:
        return "open"
    rates = [_by_seed(here, name, "hack_rate") for name in (arm, base)]
    hacks = paired_difference(*rates)
    if hacks is None or _share_hacked(rates[1]) <= HACKED:
        return {1: "**helps**", 0: "not shown", -1: "learns less"}[_sign(reward)]
    if _sign(hacks) != -1:
        return "not shown"
    learned = paired_difference(*(_by_seed(here, name, "true_reward") for name in (arm, UNTRAINED)))
    if learned is not None and _sign(learned) != 1:
        return "hacked less, learns nothing"
    return "hacked less, learns less" if _sign(reward) == -1 else "**helps**"


def _keeps(here: pl.DataFrame, arm: str, reward: Difference) -> str:
    """The share of the gain of its base that an arm keeps, and whether that is harm."""
    start = _by_seed(here, UNTRAINED, "true_reward")
    gained = paired_difference(_by_seed(here, OTHER_BASE.get(arm, PPO), "true_reward"), start)
    kept = 1 + reward.mean / gained.mean
    return f"{kept:.0%}{', **harm**' * (kept < KEPT)}"


def _by_seed(here: pl.DataFrame, arm: str, measure: str) -> dict[int, float]:
    own = here.filter(pl.col("arm") == arm, pl.col(measure).is_not_null())
    return dict(zip(own["seed"], own[measure], strict=True))


def _share_hacked(rates: dict[int, float]) -> float:
    return sum(rate > HACKED for rate in rates.values()) / len(rates)


def _sign(found: Difference) -> int | None:
    """Which side of 0 a difference surely lies on: 1, −1, or 0 if it may be 0; None if one seed cannot tell."""
    if found.p is None:
        return None
    return 0 if found.p > 1 - CONFIDENCE else (1 if found.mean > 0 else -1)


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
