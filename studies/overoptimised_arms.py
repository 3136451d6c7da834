"""What the league's arms make of a learned proxy: where the true reward of each turns, over the distance gone."""

from functools import cache

import numpy as np
import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from studies import leagues
from studies.frames import STUDIES, steps
from studies.markdown import table
from studies.overoptimised import LABELS, REWARDS, UNBOUNDED, by_window, numbers, turned, windows

COLUMNS = 4  # of panels
FARTHEST, HIGHEST = 20.0, 2.2  # of the axes


@cache
def curves() -> pl.DataFrame:
    """Windows of every arm's runs on the reward model of 50 ratings; none before they were recorded."""
    if not (STUDIES / leagues.STUDY / "steps.parquet").exists():
        return pl.DataFrame(schema={"arm": pl.String})
    return windows(steps(leagues.STUDY).filter(scenario=UNBOUNDED))


def arms() -> list[str]:
    """The arms of two runs or more, those whose true reward ends highest first."""
    ends = {
        arm: by_window(own, "true_reward")[:, -1].mean()
        for (arm,), own in curves().group_by("arm", maintain_order=True)
        if own["seed"].n_unique() > 1
    }
    return sorted(ends, key=lambda arm: -ends[arm])


def turning() -> str:
    """A row an arm: true reward at its best and at the end, the fall, and how far from the untrained model each is."""
    head = ["arm", "runs", "highest", "at step", "at the end", "fall", "√KL at the highest", "√KL at the end"]
    rows = []
    for arm in arms():
        own = curves().filter(arm=arm)
        true, far = by_window(own, "true_reward"), by_window(own, "d").mean(0)
        distances = (f"{far[int(true.mean(0).argmax())]:.1f}", f"{far[-1]:.1f}")
        rows.append([f"`{arm}`", len(true), *turned(true), *distances])
    return table(head, rows)


def figure() -> go.Figure:
    """A panel an arm: proxy and true reward over the distance, means of the runs, and each run's true reward thin."""
    shown = arms()
    made = make_subplots(
        -(-len(shown) // COLUMNS), COLUMNS, subplot_titles=shown, shared_xaxes=True, shared_yaxes=True,
        horizontal_spacing=0.02, vertical_spacing=0.07,
    )  # fmt: skip
    for number, arm in enumerate(shown):
        own, row, column = curves().filter(arm=arm), number // COLUMNS + 1, number % COLUMNS + 1
        for _, run in own.group_by("seed", maintain_order=True):
            _line(made, run["d"].to_numpy(), run["true_reward"].to_numpy(), "true_reward", (row, column))
        for name in REWARDS:
            _line(made, by_window(own, "d").mean(0), by_window(own, name).mean(0), name, (row, column), mean=True)
    made.update_xaxes(range=[0, FARTHEST])
    made.update_xaxes(title="√KL (√nat)", row=-(-len(shown) // COLUMNS))
    return made.update_yaxes(range=[0.4, HIGHEST])


def _line(made: go.Figure, x: np.ndarray, y: np.ndarray, name: str, place: tuple[int, int], mean: bool = False) -> None:
    """One path, of a run or of the mean, which has an entry in the legend, once."""
    made.add_scatter(
        x=numbers(x), y=numbers(y), mode="lines",
        line={"color": REWARDS[name], "width": 2.5 if mean else 0.5}, opacity=1.0 if mean else 0.5, name=LABELS[name],
        legendgroup=name, showlegend=mean and place == (1, 1), row=place[0], col=place[1],
    )  # fmt: skip
