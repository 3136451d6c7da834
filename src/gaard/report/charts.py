"""Charts of a comparison, from data to a Plotly figure: no file is read or written here."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots
from scipy import stats

from gaard.lab.frontier import running_mean
from gaard.lab.measures import OF_RUN, OF_STEP, Measure, on_page
from gaard.lab.statistics import CONFIDENCE
from gaard.report.look import MOST_POINTS, Look, laid_out
from gaard.report.thinning import evenly

Steps = Sequence[Mapping[str, float]]  # of one run: its metrics.jsonl
COLUMNS = 3  # of panels, at most
PANEL = 276  # height in pixels


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


def curves_chart(
    steps: Mapping[str, Sequence[Steps]], look: Look, measures: Sequence[Measure] | None = None
) -> go.Figure:
    """Measures over the training, mean and band of each arm.

    Args:
        steps: Arm → the steps of each of its runs.
        look: Of the arms.
        measures: Of steps, a panel each; by default those that the page shows.

    Returns:
        The figure.
    """
    measures = on_page(OF_STEP) if measures is None else measures
    columns = min(COLUMNS, len(measures))
    rows = -(-len(measures) // columns)
    titles, gap = [measure.title for measure in measures], {"vertical_spacing": 0.14, "horizontal_spacing": 0.06}
    figure = make_subplots(rows, columns, subplot_titles=titles, **gap)
    for number, measure in enumerate(measures):
        where = {"row": number // columns + 1, "col": number % columns + 1}
        means = []
        for arm, runs in steps.items():
            # A measure that a run does not have, such as an independent judge's, is no reason to lose the chart.
            curves = [running_mean([row[measure.name] for row in run if measure.name in row]) for run in runs]
            curves = [curve for curve in curves if len(curve)]
            if curves:
                mean, half = band(curves)
                if look.visible(arm) is True:
                    means.append(mean)
                for trace in _arm_curve(arm, mean, half, [len(curve) for curve in curves], look, measure, number == 0):
                    figure.add_trace(trace, **where)
        if means:
            figure.update_yaxes(range=_reach(np.concatenate(means), measure), **where)
    figure.update_xaxes(title_text=OF_STEP["step"].title, row=rows)
    return laid_out(figure, 68 + PANEL * rows, len(steps))


def _reach(means: NDArray[np.float64], measure: Measure) -> list[float]:
    """What an axis shows: the means and as much again, lest the band of two seeds flatten them all."""
    if measure.name == "hack_rate":
        return [-0.03, 1.03]
    low, high = float(means.min()), float(means.max())
    margin = max(0.5 * (high - low), 0.05)
    return [max(low - margin, measure.low), min(high + margin, measure.high)]


def _arm_curve(
    arm: str,
    mean: NDArray[np.float64],
    half: NDArray[np.float64],
    lengths: Sequence[int],
    look: Look,
    measure: Measure,
    named: bool,
) -> list[go.Scatter]:
    """Band and mean of one arm, whose seeds got so far."""
    chosen = evenly(len(mean), MOST_POINTS)
    steps, mean, half = chosen + 1, mean[chosen], half[chosen]
    common = {"legendgroup": arm, "visible": look.visible(arm)}
    traces = []
    wide = ~np.isnan(half)
    if wide.any():
        edge = np.concatenate([(mean + half)[wide], (mean - half)[wide][::-1]]).clip(*measure.bounds)
        around = np.concatenate([steps[wide], steps[wide][::-1]])
        fill = {"fill": "toself", "fillcolor": look.faint(arm), "line": {"width": 0}, "hoverinfo": "skip"}
        traces.append(go.Scatter(x=around, y=edge.round(5), showlegend=False, mode="lines", **fill, **common))
    line = {**look.line(arm), "width": 2}
    seeds = [sum(length >= step for length in lengths) for step in steps]
    hover = "%{fullData.name}, step %{x}: %{y:.3f}, seeds: %{customdata}<extra></extra>"
    text = {"name": arm, "showlegend": named, "hovertemplate": hover, "customdata": seeds}
    return [*traces, go.Scatter(x=steps, y=mean.round(5), mode="lines", line=line, **text, **common)]


def frontier_places(found: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Where the arms of a scenario can be compared: at the end of training, and at equal KL.

    Args:
        found: One scenario's results.

    Returns:
        The place in words → what :func:`frontier_chart` takes.
    """
    places = {"at the end of training": found["arms"]}
    for level, arms in found["frontier"].items():
        places[f"where the KL first reaches {level} nats a token"] = arms
    return places


def frontier_chart(arms: Mapping[str, Mapping[str, Any]], look: Look) -> go.Figure:
    """Hack rate against true reward.

    Args:
        arms: Arm → measure → interval, and perhaps ``runs``, how many runs the arm has in all; empty where it has no
            measures.
        look: Of the arms.

    Returns:
        The figure.
    """
    figure = go.Figure([_point(arm, arms[arm], look) for arm in look.arms if arms.get(arm)])
    figure.update_xaxes(title_text=OF_RUN["hack_rate"].title, range=[-0.03, 1.03])
    figure.update_yaxes(title_text=OF_RUN["true_reward"].label)
    figure.add_annotation(
        text="honest and good", xref="paper", yref="paper", x=0.01, y=0.98, showarrow=False, opacity=0.6
    )
    return laid_out(figure, 440, len(look.arms))


def _point(arm: str, measures: Mapping[str, Any], look: Look) -> go.Scatter:
    """One arm with its intervals, and how many of its runs they are of."""
    x, y = measures["hack_rate"], measures["true_reward"]
    runs = f"{x['n']} of {measures['runs']} runs" if "runs" in measures else f"{x['n']} runs"
    hover = f"{arm}, {runs}<br>hack rate %{{x:.3f}}<br>true reward %{{y:.3f}}<extra></extra>"
    named = look.visible(arm) is True
    return go.Scatter(
        x=[x["mean"]],
        y=[y["mean"]],
        error_x=_error(x, look.colour(arm)),
        error_y=_error(y, look.colour(arm)),
        name=arm,
        text=[f"{arm} ({runs})" if measures.get("runs", x["n"]) != x["n"] else arm],
        mode="markers+text" if named else "markers",
        textposition="top right",
        marker=look.mark(arm),
        visible=look.visible(arm),
        hovertemplate=hover,
    )


def _error(interval: Mapping[str, Any], colour: str) -> dict[str, Any]:
    """The bars of an interval, none of a single seed."""
    if interval["low"] is None:
        return {"visible": False}
    above, below = interval["high"] - interval["mean"], interval["mean"] - interval["low"]
    return {"type": "data", "array": [above], "arrayminus": [below], "color": colour, "thickness": 1, "width": 3}
