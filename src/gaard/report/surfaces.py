"""The surfaces a(σ, η) and b(σ, η) of G7 and G8, alone and with the way of each arm over them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
import torch
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from gaard.lab.frontier import running_mean
from gaard.lab.measures import OF_STEP
from gaard.method.coefficients import gaa_coefficients
from gaard.report.charts import Steps, band
from gaard.report.look import MOST_POINTS, Look, laid_out
from gaard.report.thinning import evenly

Path2D = tuple[NDArray[np.float64], NDArray[np.float64]]

SIGMA_SCALE = 0.5  # at which the surfaces are drawn: σ/2 as in Johnson's text
DOWN, SAME, UP = "#2b6cb0", "#b9c4cf", "#d06220"  # what a coefficient does to a token
TITLES = ("a(σ, η), weight of the sampled token", "b(σ, η), of the greedy token")
SIGMA, ETA = "σ (standard deviations)", "η = π(x*)"
# Name, least, most, colours.
SCALES = (("a", 0.0, 2.0, [[0.0, DOWN], [0.5, SAME], [1.0, UP]]), ("b", -1.0, 0.0, [[0.0, DOWN], [1.0, SAME]]))
CASES = ((0.0, 0.0), (0.0, 1.0), (2.0, 0.0), (2.0, 1.0))  # σ and η of the four that Johnson's text works out


def _surfaces(points: int) -> tuple[NDArray[np.float64], NDArray[np.float64], list[NDArray[np.float64]]]:
    """σ, η, and a and b over both."""
    sigma, eta = np.linspace(0.0, 2.0, points), np.linspace(0.0, 1.0, points)
    found = gaa_coefficients(torch.from_numpy(eta)[:, None], torch.from_numpy(sigma), sigma_scale=SIGMA_SCALE)
    return sigma, eta, [surface.numpy().round(4) for surface in found]


def coefficient_surfaces() -> go.Figure:
    """Both surfaces, in three dimensions and from above, with the four cases of Johnson's text.

    Returns:
        The figure.
    """
    sigma, eta, surfaces = _surfaces(81)
    kinds = [[{"type": "scene"}, {"type": "scene"}], [{"type": "xy"}, {"type": "xy"}]]
    figure = make_subplots(2, 2, specs=kinds, subplot_titles=TITLES, vertical_spacing=0.08, row_heights=[0.58, 0.42])
    for column, (surface, (name, low, high, tones)) in enumerate(zip(surfaces, SCALES, strict=True), 1):
        text = f"σ %{{x:.2f}}, η %{{y:.2f}}: {name} = %{{z:.2f}}<extra></extra>"
        look = {"colorscale": tones, "hovertemplate": text}
        solid = go.Surface(x=sigma, y=eta, z=surface, cmin=low, cmax=high, showscale=False, **look)
        figure.add_trace(solid, row=1, col=column)
        figure.add_trace(_contour(sigma, eta, surface, column, 0.4 if column == 1 else 1.0), row=2, col=column)
        figure.add_trace(_cases(), row=2, col=column)
        axes = {"xaxis_title": "σ", "yaxis_title": "η", "zaxis_title": name, "zaxis_range": [low, high]}
        figure.update_scenes(**axes, camera_eye={"x": -1.6, "y": -1.6, "z": 0.8}, row=1, col=column)
    figure.update_xaxes(title_text=SIGMA)
    figure.update_yaxes(title_text=ETA, range=[-0.02, 1.02])
    return _side_by_side(laid_out(figure, 960))


def _cases() -> go.Scatter:
    """The four cases as numbered marks."""
    places = ["top right", "bottom right", "top left", "bottom left"]
    return go.Scatter(
        x=[sigma for sigma, _ in CASES],
        y=[eta for _, eta in CASES],
        text=[f"case {number}" for number in range(1, len(CASES) + 1)],
        mode="markers+text",
        textposition=places,
        marker={"size": 9, "color": "#111111"},
        cliponaxis=False,
        showlegend=False,
        hoverinfo="skip",
    )


def _contour(
    sigma: NDArray[np.float64], eta: NDArray[np.float64], surface: NDArray[np.float64], column: int, x: float
) -> go.Contour:
    """One surface from above, its colour bar at ``x``."""
    name, low, high, tones = SCALES[column - 1]
    contour = go.Contour(x=sigma, y=eta, z=surface, zmin=low, zmax=high, colorscale=tones, opacity=0.75)
    contour.update(colorbar={"title": name, "x": x, "thickness": 12})
    contour.update(contours={"start": low, "end": high, "size": 0.1})
    contour.update(hovertemplate=f"σ %{{x:.2f}}, η %{{y:.2f}}: {name} = %{{z:.2f}}<extra></extra>")
    return contour


def _side_by_side(figure: go.Figure) -> go.Figure:
    """Two panels with room for a colour bar after each."""
    figure.update_xaxes(domain=[0.0, 0.4], col=1)
    figure.update_xaxes(domain=[0.56, 0.96], col=2)
    for title, middle in zip(figure.layout.annotations, (0.2, 0.76), strict=True):
        title.x = middle
    return figure


def path_over_surfaces(runs: Sequence[Steps], method: Mapping[str, Any]) -> Path2D | None:
    """Means over seeds of max(σ, 0) and η at each step, times a method's scales over those of the surfaces.

    Args:
        runs: The steps of each.
        method: Its options, as a run's record has them.

    Returns:
        σ and η, [n] each; None for a method that takes its coefficients from elsewhere.
    """
    looking = [run for run in runs if run and "sigma_positive" in run[0]]
    if not looking or not {"sigma_scale", "eta_scale"} <= method.keys():
        return None
    scales = {"sigma_positive": method["sigma_scale"] / SIGMA_SCALE, "eta": method["eta_scale"]}
    sigma, eta = (
        scale * band([running_mean([row[key] for row in run]) for run in looking])[0] for key, scale in scales.items()
    )
    return sigma, eta


def coefficients_charts(paths: Mapping[str, Path2D], look: Look) -> dict[str, go.Figure]:
    """Both surfaces from above, and the way of each arm over them: mean of η and of max(σ, 0), over tokens and seeds.

    σ and η are drawn as the coefficients take them, at the scales of the arm.

    Args:
        paths: Arm → what :func:`path_over_surfaces` gives.
        look: Of the arms.

    Returns:
        Title → figure, a surface each; empty if there is no path.
    """
    if not paths:
        return {}
    sigma, eta, surfaces = _surfaces(41)
    farthest = max(float(across.max()) for across, _ in paths.values())
    charts = {}
    for column, (title, surface) in enumerate(zip(TITLES, surfaces, strict=True), 1):
        walks = [_walk(arm, *path, look) for arm, path in paths.items()]
        figure = go.Figure([_contour(sigma, eta, surface, column, 1.02), *walks])
        figure.update_xaxes(title_text=SIGMA, range=[0, min(2.0, max(0.5, 1.2 * farthest))])
        figure.update_yaxes(title_text=OF_STEP["eta"].label, range=[0, 1])
        charts[title] = laid_out(figure, 360)
    return charts


def _walk(arm: str, sigma: NDArray[np.float64], eta: NDArray[np.float64], look: Look) -> go.Scatter:
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
        meta={"arm": arm},
        visible=look.visible(arm),
        customdata=chosen + 1,
        hovertemplate=f"{arm}, step %{{customdata}}: σ %{{x:.3f}}, η %{{y:.3f}}<extra></extra>",
    )
