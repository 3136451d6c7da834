"""The page's charts, as Plotly draws them; colours of paper and ink are the page's own."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
import torch
from numpy.typing import NDArray
from plotly.subplots import make_subplots
from scipy import stats

from gaard.lab.collection import can_be
from gaard.lab.frontier import running_mean
from gaard.lab.statistics import CONFIDENCE
from gaard.method.coefficients import gaa_coefficients
from gaard.report.figures import CURVES
from gaard.report.study_files import StudyRun
from gaard.report.thinning import evenly

# At least 3 : 1 against white and against the page's dark paper.
PALETTE = ("#d9622b", "#3b82f6", "#1f9d68", "#a855f7", "#0f9aa3", "#b08504", "#e2457b", "#7a8794")
DASHES = ("solid", "dash", "dot", "dashdot")
MARKS = ("circle", "square", "diamond", "cross")
ARMS_A_ROW = 6  # of the legend, about
SHOWN_AT_FIRST = 6  # arms; the legend shows the others
SIGMA_SCALE = 0.5  # at which the surfaces are drawn: the seed's σ/2
MOST_POINTS = 200  # of a curve
DOWN, SAME, UP = "#2b6cb0", "#b9c4cf", "#d06220"  # what a coefficient does to a token


class Look:
    """Colour and dash of each arm, the same in every chart.

    Args:
        arms: In the study's order.
    """

    def __init__(self, arms: Sequence[str]):
        self.arms = list(arms)

    def line(self, arm: str) -> dict[str, str]:
        """Of its curves."""
        return {"color": self.colour(arm), "dash": DASHES[self._lap(arm) % len(DASHES)]}

    def mark(self, arm: str) -> dict[str, Any]:
        """Of its points on the frontier."""
        return {"color": self.colour(arm), "symbol": MARKS[self._lap(arm) % len(MARKS)], "size": 11}

    def colour(self, arm: str) -> str:
        """Of its points."""
        return PALETTE[self.arms.index(arm) % len(PALETTE)]

    def _lap(self, arm: str) -> int:
        """How often all colours were used up before it."""
        return self.arms.index(arm) // len(PALETTE)

    def visible(self, arm: str) -> bool | str:
        """Whether it is shown before the legend is touched."""
        return True if self.arms.index(arm) < SHOWN_AT_FIRST else "legendonly"


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


def curves_chart(trained: Mapping[str, Sequence[StudyRun]], look: Look) -> dict[str, Any]:
    """Six measures over the training, mean and band of each arm.

    Args:
        trained: Arm → runs.
        look: Of the arms.

    Returns:
        Traces and layout.
    """
    figure = make_subplots(2, 3, subplot_titles=list(CURVES.values()), vertical_spacing=0.14, horizontal_spacing=0.06)
    for number, key in enumerate(CURVES):
        means: list[NDArray[np.float64]] = []
        for arm, runs in trained.items():
            # A measure that a run does not have, such as a gold reward, is no reason to lose the chart.
            curves = [running_mean([row[key] for row in run.metrics if key in row]) for run in runs]
            curves = [curve for curve in curves if len(curve)]
            if curves:
                mean, half = band(curves)
                if look.visible(arm) is True:
                    means.append(mean)
                for trace in _arm_curve(arm, mean, half, [len(curve) for curve in curves], look, key):
                    figure.add_trace(trace, row=number // 3 + 1, col=number % 3 + 1)
        if means:
            figure.update_yaxes(range=_reach(np.concatenate(means), key), row=number // 3 + 1, col=number % 3 + 1)
    figure.update_xaxes(title_text="training step", row=2)
    return _plain(figure, 620, len(trained))


def _reach(means: NDArray[np.float64], key: str) -> list[float]:
    """What an axis shows: the means and as much again, lest the band of two seeds flatten them all."""
    if key == "hack_rate":
        return [-0.03, 1.03]
    least, most = can_be(key)
    low, high = float(means.min()), float(means.max())
    margin = max(0.5 * (high - low), 0.05)
    return [max(low - margin, least), min(high + margin, most)]


def _arm_curve(
    arm: str, mean: NDArray[np.float64], half: NDArray[np.float64], lengths: Sequence[int], look: Look, key: str
) -> list[go.Scatter]:
    """Band and mean of one arm, whose seeds got so far."""
    chosen = evenly(len(mean), MOST_POINTS)
    steps, mean, half = chosen + 1, mean[chosen], half[chosen]
    common = {"legendgroup": arm, "visible": look.visible(arm)}
    traces = []
    wide = ~np.isnan(half)
    if wide.any():
        edge = np.concatenate([(mean + half)[wide], (mean - half)[wide][::-1]]).clip(*can_be(key))
        around = np.concatenate([steps[wide], steps[wide][::-1]])
        fill = {"fill": "toself", "fillcolor": _faint(look.colour(arm)), "line": {"width": 0}, "hoverinfo": "skip"}
        traces.append(go.Scatter(x=around, y=edge.round(5), showlegend=False, mode="lines", **fill, **common))
    line = {**look.line(arm), "width": 2}
    seeds = [sum(length >= step for length in lengths) for step in steps]
    hover = "%{fullData.name}, step %{x}: %{y:.3f}, seeds: %{customdata}<extra></extra>"
    text = {"name": arm, "showlegend": key == next(iter(CURVES)), "hovertemplate": hover, "customdata": seeds}
    return [*traces, go.Scatter(x=steps, y=mean.round(5), mode="lines", line=line, **text, **common)]


def _faint(colour: str) -> str:
    """The colour of a band."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, 0.18)"


def frontier_chart(found: Mapping[str, Any], look: Look) -> dict[str, Any]:
    """Hack rate against true reward: at the end of training, and at equal KL.

    Args:
        found: One scenario's results.
        look: Of the arms.

    Returns:
        ``choices``, the traces of each, their ``names``, in ``absent`` what arms each is without, and the layout.
    """
    places = {"at the end of training": found["arms"]}
    for level, arms in found["frontier"].items():
        places[f"where the KL first reaches {level} nats a token"] = arms
    choices, absent = [], []
    for arms in places.values():
        there = [arm for arm in look.arms if arms.get(arm)]
        choices.append([_point(arm, arms[arm], look).to_plotly_json() for arm in there])
        absent.append([arm for arm in look.arms if arm not in there])
    figure = go.Figure()
    figure.update_xaxes(title_text="hack rate", range=[-0.03, 1.03])
    figure.update_yaxes(title_text="true reward")
    figure.add_annotation(
        text="honest and good", xref="paper", yref="paper", x=0.01, y=0.98, showarrow=False, opacity=0.6
    )
    return {**_plain(figure, 440, len(look.arms)), "choices": choices, "names": list(places), "absent": absent}


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


def coefficients_chart(trained: Mapping[str, Sequence[StudyRun]], look: Look) -> dict[str, Any] | None:
    """The surfaces of G7 and G8, and the way of each arm over them: mean of η and of max(σ, 0), over tokens and seeds.

    σ and η are drawn as the coefficients take them, at the scales of the arm.

    Args:
        trained: Arm → runs.
        look: Of the arms.

    Returns:
        Traces and layout; None if no arm takes its a and b from these surfaces.
    """
    paths = {arm: path for arm, runs in trained.items() if (path := _path(runs)) is not None}
    if not paths:
        return None
    figure = make_subplots(
        1, 2, subplot_titles=["a(σ, η), weight of the sampled token", "b(σ, η), of the greedy token"]
    )
    sigma, eta = np.linspace(0.0, 2.0, 41), np.linspace(0.0, 1.0, 41)
    surfaces = gaa_coefficients(torch.from_numpy(eta)[:, None], torch.from_numpy(sigma))
    scales = (("a", 0.0, 2.0, [[0.0, DOWN], [0.5, SAME], [1.0, UP]]), ("b", -1.0, 0.0, [[0.0, DOWN], [1.0, SAME]]))
    for column, (surface, (name, low, high, tones)) in enumerate(zip(surfaces, scales, strict=True), 1):
        bar = {"title": name, "x": 0.44 if column == 1 else 1.0, "thickness": 12}
        contour = go.Contour(x=sigma, y=eta, z=surface.numpy().round(4), zmin=low, zmax=high, colorscale=tones)
        contour.update(colorbar=bar, contours={"start": low, "end": high, "size": 0.1}, opacity=0.75)
        contour.update(hovertemplate=f"σ %{{x:.2f}}, η %{{y:.2f}}: {name} = %{{z:.2f}}<extra></extra>")
        figure.add_trace(contour, row=1, col=column)
        for arm, path in paths.items():
            figure.add_trace(_walk(arm, *path, look, column == 1), row=1, col=column)
    farthest = max(float(sigma.max()) for sigma, _ in paths.values())
    figure.update_xaxes(title_text="σ (standard deviations)", range=[0, min(2.0, max(0.5, 1.2 * farthest))])
    figure.update_yaxes(title_text="η", range=[0, 1])
    figure.update_xaxes(domain=[0.0, 0.42], row=1, col=1)
    figure.update_xaxes(domain=[0.56, 0.98], row=1, col=2)
    for title, middle in zip(figure.layout.annotations, (0.21, 0.77), strict=True):
        title.x = middle
    return _plain(figure, 460, len(paths))


def _path(runs: Sequence[StudyRun]) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Means over seeds of max(σ, 0) and η at each step, times an arm's scales over those of the surfaces."""
    looking = [run for run in runs if run.config.get("coefficients") == "gaa" and "sigma_positive" in run.metrics[0]]
    if not looking:
        return None
    scales = {"sigma_positive": looking[0].config["sigma_scale"] / SIGMA_SCALE, "eta": looking[0].config["eta_scale"]}
    sigma, eta = (
        scale * band([running_mean([row[key] for row in run.metrics]) for run in looking])[0]
        for key, scale in scales.items()
    )
    return sigma, eta


def _walk(arm: str, sigma: NDArray[np.float64], eta: NDArray[np.float64], look: Look, named: bool) -> go.Scatter:
    """A line from the first step to the last, which has the large mark."""
    chosen = evenly(len(eta), MOST_POINTS)
    sizes = np.where(chosen == len(eta) - 1, 12, 3)
    return go.Scatter(
        x=sigma[chosen].round(4),
        y=eta[chosen].round(4),
        mode="lines+markers",
        line={**look.line(arm), "width": 2.5},
        marker={"size": sizes, "color": look.colour(arm), "line": {"width": 1, "color": "#ffffff"}},
        name=arm,
        legendgroup=arm,
        showlegend=named,
        visible=look.visible(arm),
        customdata=chosen + 1,
        hovertemplate=f"{arm}, step %{{customdata}}: σ %{{x:.3f}}, η %{{y:.3f}}<extra></extra>",
    )


def _plain(figure: go.Figure, height: int, arms: int) -> dict[str, Any]:
    """What the page needs of a figure, without a theme of its own, and with room for the legend of so many arms."""
    rows = -(-arms // ARMS_A_ROW)
    legend = {"orientation": "h", "yanchor": "top", "y": -70 / height, "x": 0}
    margin = {"l": 56, "r": 16, "t": 36, "b": 60 + 24 * rows}
    figure.update_layout(
        template="none", height=height + 24 * rows, margin=margin, legend=legend, font={"size": 13}, autosize=True
    )
    figure.update_annotations(font={"size": 13})
    figure.update_xaxes(title_font={"size": 13}, title_standoff=4)
    figure.update_yaxes(title_font={"size": 13})
    found = figure.to_plotly_json()
    return {"traces": found["data"], "layout": found["layout"]}
