"""Charts of a study or a run, from data to a Plotly figure: no file is read or written here."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from scipy import stats

from gaard.lab.frontier import knows_hacks, running_mean
from gaard.lab.measures import OF_RUN, OF_STEP, Measure
from gaard.lab.statistics import CONFIDENCE
from gaard.report.look import MOST_POINTS, PALETTE, Look, laid_out
from gaard.report.thinning import evenly

Steps = Sequence[Mapping[str, float]]  # of one run: its metrics.jsonl
BySeed = Mapping[int, Steps]  # of one arm
PANEL = 230  # height in pixels
DIGITS = 5
SIDES = ("middle right", "middle left", "top center", "bottom center")
OF_STANDINGS = "%{fullData.name}<br>hack rate %{x:.3f}<br>true reward reached %{y:.3f}<extra></extra>"
SEED_DIGITS = 4  # of single seeds' curves, of which there are many


def band(curves: Sequence[NDArray[np.float64]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean over seeds at each step and half the width of its 95% interval (Student), over those that got there.

    Args:
        curves: One a seed, of any lengths.

    Returns:
        ``(mean, half)``, as long as the longest; NaN in ``half`` where there is one seed.
    """
    longest = max(map(len, curves))
    table = np.full((len(curves), longest), np.nan)
    for row, curve in zip(table, curves, strict=True):
        row[: len(curve)] = curve
    count = np.sum(~np.isnan(table), axis=0)
    mean = np.nanmean(table, axis=0)
    spread = np.sqrt(np.nansum((table - mean) ** 2, axis=0) / np.maximum(count - 1, 1))
    quantile = stats.t.ppf(0.5 + CONFIDENCE / 2, np.maximum(count - 1, 1))
    return mean, np.where(count > 1, quantile * spread / np.sqrt(count), np.nan)


def smoothed(run: Steps, measure: str) -> NDArray[np.float64]:
    """The running mean of a measure over a run.

    Args:
        run: Its steps.
        measure: Its key.

    Returns:
        As long as the run has steps with the measure; empty where it has none, such as the judge's where there is none.
    """
    return running_mean([row[measure] for row in run if measure in row])


def curves_panel(arms: Mapping[str, BySeed], look: Look, measure: Measure, most: int = MOST_POINTS) -> go.Figure | None:
    """One measure over the training, mean and band of each arm.

    Args:
        arms: Arm → seed → steps.
        look: Of the arms.
        measure: Of steps.
        most: Points of a curve.

    Returns:
        The figure; None if no run has the measure.
    """
    figure, means = go.Figure(), []
    for arm, runs in arms.items():
        curves = [curve for run in runs.values() if len(curve := smoothed(run, measure.name))]
        if curves:
            mean, half = band(curves)
            if look.visible(arm) is True:
                means.append(mean)
            figure.add_traces(_arm_curve(arm, mean, half, [len(curve) for curve in curves], look, measure, most))
    if not figure.data:
        return None
    figure.update_xaxes(title_text=OF_STEP["step"].title)
    figure.update_yaxes(range=_reach(np.concatenate(means) if means else np.array([]), measure))
    return laid_out(figure, PANEL)


def seed_curves(arms: Mapping[str, BySeed], measure: Measure, most: int) -> list[dict[str, Any]]:
    """The curves behind the means: running means of each run.

    Args:
        arms: Arm → seed → steps.
        measure: Of steps.
        most: Points of a curve.

    Returns:
        ``arm``, ``seed``, ``length`` and ``y`` each, at the places that :func:`gaard.report.thinning.evenly` chooses of
        such a length.
    """
    curves = []
    for arm, runs in arms.items():
        for seed, run in runs.items():
            y = smoothed(run, measure.name)
            if len(y):
                kept = y[evenly(len(y), most)].round(SEED_DIGITS).tolist()
                curves.append({"arm": arm, "seed": seed, "length": len(y), "y": kept})
    return curves


def _reach(shown: NDArray[np.float64], measure: Measure) -> list[float] | None:
    """What an axis shows: the means and as much again, lest the band of two seeds flatten them all."""
    if measure.name == "hack_rate":
        return [-0.03, 1.03]
    shown = shown[np.isfinite(shown)]
    if not len(shown):
        return None
    low, high = float(shown.min()), float(shown.max())
    margin = max(0.5 * (high - low), 0.05)
    return [max(low - margin, measure.low), min(high + margin, measure.high)]


def _arm_curve(
    arm: str,
    mean: NDArray[np.float64],
    half: NDArray[np.float64],
    lengths: Sequence[int],
    look: Look,
    measure: Measure,
    most: int,
) -> list[go.Scatter]:
    """Band and mean of one arm, whose seeds got so far."""
    chosen = evenly(len(mean), most)
    steps, mean, half = chosen + 1, mean[chosen], half[chosen]
    low, high = ((mean + side * half).clip(*measure.bounds).round(DIGITS) for side in (-1, 1))
    common = {"legendgroup": arm, "visible": look.visible(arm)}
    traces = []
    wide = ~np.isnan(half)
    if wide.any():
        edge = np.concatenate([high[wide], low[wide][::-1]])
        around = np.concatenate([steps[wide], steps[wide][::-1]])
        fill = {"fill": "toself", "fillcolor": look.faint(arm), "line": {"width": 0}, "hoverinfo": "skip"}
        traces.append(go.Scatter(x=around.tolist(), y=edge.tolist(), mode="lines", **fill, **common))
    seeds = [sum(length >= step for length in lengths) for step in steps]
    between = [[n, *ends] for n, *ends in zip(seeds, *(_known(end) for end in (low, high)), strict=True)]
    hover = "%{fullData.name}, step %{x}: %{y:.3f}, seeds: %{customdata[0]}<br>click: its texts<extra></extra>"
    text = {"name": arm, "hovertemplate": hover, "customdata": between, "meta": {"arm": arm}}
    line = {**look.line(arm), "width": 2}
    return [
        *traces,
        go.Scatter(x=steps.tolist(), y=_known(mean.round(DIGITS)), mode="lines", line=line, **text, **common),
    ]


def _known(values: NDArray[np.float64]) -> list[float | None]:
    """Numbers as JSON has them: None for what is none."""
    return [x if np.isfinite(x) else None for x in values.tolist()]


def run_panel(steps: Steps, measure: Measure) -> go.Figure | None:
    """One measure of one run: what each step gave, faint, and the running mean.

    Args:
        steps: Of the run.
        measure: Of steps.

    Returns:
        The figure; None if the run does not have the measure.
    """
    rows = [row for row in steps if measure.name in row]
    if not rows:
        return None
    at = np.array([row["step"] for row in rows])
    raw, mean = np.array([row[measure.name] for row in rows], dtype=float), smoothed(rows, measure.name)
    chosen = evenly(len(at), MOST_POINTS)
    hover = "step %{x}: %{y:.3f}<br>click: its texts<extra></extra>"
    figure = go.Figure()
    for name, values, look in (("a step", raw, {"width": 1}), ("running mean", mean, {"width": 2.5})):
        opacity = 0.4 if name == "a step" else 1.0
        x, y = at[chosen].tolist(), _known(values[chosen].round(DIGITS))
        line = {
            "line": {"color": PALETTE[1], **look},
            "opacity": opacity,
            "mode": "lines+markers" if len(x) == 1 else "lines",
        }
        figure.add_trace(go.Scatter(x=x, y=y, hovertemplate=f"{name}, {hover}", meta={"kind": name}, **line))
    figure.update_xaxes(title_text=OF_STEP["step"].title)
    figure.update_yaxes(range=_reach(mean, measure))
    return laid_out(figure, PANEL)


def frontier_places(found: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Where the arms of a scenario can be compared: at the end of training, and at equal KL.

    Args:
        found: One scenario's results.

    Returns:
        The place in words → what :func:`frontier_chart` takes; none where hacks or the true reward are not known.
    """
    places = {"at the end of training": found["arms"]}
    for level, arms in found["frontier"].items():
        places[f"where the KL first reaches {level} nats a token"] = arms
    return {place: arms for place, arms in places.items() if any(map(knows_hacks, arms.values()))}


def frontier_chart(arms: Mapping[str, Mapping[str, Any]], look: Look) -> go.Figure:
    """Hack rate against true reward.

    Args:
        arms: Arm → measure → interval, and perhaps ``runs``, how many runs the arm has in all; an arm without both
            measures is left out.
        look: Of the arms.

    Returns:
        The figure.
    """
    figure = go.Figure([_point(arm, arms[arm], look) for arm in look.arms if knows_hacks(arms.get(arm, {}))])
    figure.update_xaxes(title_text=OF_RUN["hack_rate"].title, range=[-0.03, 1.03])
    figure.update_yaxes(title_text=OF_RUN["true_reward"].label)
    return laid_out(figure, 420)


def standings_chart(standings: Iterable[Mapping[str, Any]], look: Look) -> go.Figure:
    """Hack rate against the true reward reached, over all scenarios.

    Args:
        standings: As ``results.json`` has them; an arm without both is left out.
        look: Of the arms.

    Returns:
        The figure.
    """
    arms = {
        row["arm"]: {"hack_rate": row["hack_rate"], "true_reward": row["reached"]}
        for row in standings
        if row["hack_rate"] and row["reached"]
    }
    figure = frontier_chart(arms, look)
    figure.update_yaxes(title_text="true reward reached (1: as honest training)")
    from_left = sorted(figure.data, key=lambda trace: (trace.x[0], trace.y[0]))
    for trace, side in zip(from_left, cycle(SIDES), strict=False):  # names of neighbours do not overlap
        trace.update(text=[trace.name], mode="markers+text", textposition=side, textfont={"size": 11})
        trace.update(hovertemplate=OF_STANDINGS, meta=None, visible=True)
    figure.update_layout(height=560)
    return figure


def run_points(runs: Iterable[Mapping[str, Any]], look: Look) -> list[dict[str, Any]]:
    """The single runs behind the frontier at the end of training.

    Args:
        runs: Of one scenario, as ``results.json`` has them.
        look: Of the arms.

    Returns:
        ``arm``, ``seed``, ``x`` and ``y`` each, of runs of an arm with both measures.
    """
    trained = (run for run in runs if run["arm"] in look.arms)
    found = [(run, run["measures"]) for run in trained if knows_hacks(run["measures"])]
    return [
        {"arm": run["arm"], "seed": run["seed"], "x": [measures["hack_rate"]], "y": [measures["true_reward"]]}
        for run, measures in found
    ]


def _point(arm: str, measures: Mapping[str, Any], look: Look) -> go.Scatter:
    """One arm with its intervals, and how many of its runs they are of."""
    x, y = measures["hack_rate"], measures["true_reward"]
    runs = f"{x['n']} of {measures['runs']} runs" if "runs" in measures else f"{x['n']} runs"
    hover = f"{arm}, {runs}<br>hack rate %{{x:.3f}}<br>true reward %{{y:.3f}}<br>click: its texts<extra></extra>"
    return go.Scatter(
        x=[x["mean"]],
        y=[y["mean"]],
        error_x=_error(x, look.colour(arm)),
        error_y=_error(y, look.colour(arm)),
        name=arm,
        mode="markers",
        marker=look.mark(arm),
        visible=look.visible(arm),
        hovertemplate=hover,
        meta={"arm": arm},
    )


def _error(interval: Mapping[str, Any], colour: str) -> dict[str, Any]:
    """The bars of an interval, none of a single seed."""
    if interval["low"] is None:
        return {"visible": False}
    above, below = interval["high"] - interval["mean"], interval["mean"] - interval["low"]
    return {"type": "data", "array": [above], "arrayminus": [below], "color": colour, "thickness": 1, "width": 3}
