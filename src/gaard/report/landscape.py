"""How sharp a policy is, as a page shows it: the landscape around it, lines through it, and its curvature by block."""

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from gaard.report.document import Section, drawn
from gaard.report.look import PALETTE, laid_out
from gaard.report.measures_table import UNKNOWN, Table
from gaard.report.run_files import RunFiles

REWARDS = {"proxy": "proxy", "true": "true reward"}
# Name, label, colour, dash. Rewards and hack rate share a panel, the KL has the one below.
CURVES = (
    ("proxy", "proxy", PALETTE[0], "solid", 1),
    ("true", "true reward", PALETTE[1], "solid", 1),
    ("hack_rate", "hack rate", PALETTE[7], "dot", 1),
    ("kl", "KL to untrained", PALETTE[2], "solid", 2),
)
DIRECTIONS = {
    "gradient": "gradient",
    "eigenvector-all": "eigenvector",
    "random-0": "random",
}
CONTOURS = 14
PLANE_CAPTION = (
    "Fresh completions at every place, the same random numbers everywhere. Across: along the policy gradient; up: "
    "along the top eigenvector of −E[proxy], whose sign is arbitrary; both in Euclidean steps of weights. The cross "
    "is the policy. Where the left picture is bright and the right one dark, the proxy pays for what was not meant."
)
LINES_CAPTION = (
    "The same along the policy gradient, the top eigenvector and a random direction, which is filter-normalised: 0.1 "
    "changes each filter by a tenth of its length. Bars are standard errors."
)
TABLE_CAPTION = (
    "Second derivatives over fixed samples, by block, each block with its own eigenvectors. Positive is sharp: the "
    "functions are −E[proxy] and KL to the untrained model. ± is a residual of the eigensolver, half a 95% interval "
    "of the trace's probes, or the standard error of ε-sharpness; none of them but the last knows of sampling."
)
HEADINGS = (
    ("top", "largest eigenvalue"),
    ("bottom", "smallest eigenvalue"),
    ("trace", "sum of all eigenvalues, by Hutch++"),
    ("adaptive top", "largest eigenvalue of the adaptive Hessian, which no rescaling of whole layers changes"),
    ("filter top", "the same of the filter-normalised Hessian"),
    ("ε-sharpness", "rise of the function at 0.05 up its gradient"),
)


def landscape_section(run: RunFiles) -> Section | None:
    """What ``gaard sharpness`` has measured of a run's last policy.

    Args:
        run: The run.

    Returns:
        A section; None if there is nothing.
    """
    found = last_policy(run)
    if found is None:
        return None
    step, policy = found
    section = Section(f"Sharpness after step {step}")
    section.add_table(curvature_table(policy.get("curvature", {})))
    add_plane(section, "chart-plane", policy, "Around the policy.")
    lines = lines_figure(policy.get("lines", {}))
    if lines is not None:
        section.add_chart("chart-lines", "Along three lines through the policy.", LINES_CAPTION, drawn(lines))
    return section if section.tables or section.charts else None


def last_policy(run: RunFiles) -> tuple[int, Mapping[str, Any]] | None:
    """The latest step that was measured, and what was found there."""
    policies = run.sharpness.get("policies", {})
    steps = [int(step) for step in policies if step.isdecimal()]
    return (max(steps), policies[str(max(steps))]) if steps else None


def add_plane(section: Section, key: str, policy: Mapping[str, Any], title: str) -> None:
    """The landscape of a policy as a chart, if it was measured.

    Args:
        section: Gets the chart.
        key: Of the chart.
        policy: As ``sharpness.json`` has it.
        title: Of the chart.
    """
    if "proxy" in policy.get("plane", {}):
        section.add_chart(key, title, PLANE_CAPTION, drawn(plane_figure(policy["plane"])))


def plane_figure(plane: Mapping[str, Any]) -> go.Figure:
    """Proxy and true reward over a plane, side by side and in the same colours.

    Args:
        plane: As ``sharpness.json`` has it.

    Returns:
        The figure; the proxy alone where the truth is not known.
    """
    shown = [name for name in REWARDS if name in plane]
    numbers = [x for name in shown for row in plane[name] for x in row]
    low, high = min(numbers), max(numbers)
    figure = make_subplots(1, len(shown), subplot_titles=[REWARDS[name] for name in shown], horizontal_spacing=0.1)
    for column, name in enumerate(shown, 1):
        surface = go.Contour(
            x=_short(plane["across"]),
            y=_short(plane["up"]),
            z=[_short(row) for row in plane[name]],
            zmin=low,
            zmax=high,
            colorscale="Viridis",
            contours={"start": low, "end": high, "size": (high - low) / CONTOURS or 1.0},
            line={"width": 0.5},
            showscale=column == len(shown),
            colorbar={"title": "reward", "thickness": 12, "x": 1.01, "tickformat": ".2f"},
            hovertemplate=f"%{{x:.2f}} across, %{{y:.2f}} up: {REWARDS[name]} %{{z:.3f}}<extra></extra>",
        )
        here = go.Scatter(x=[0], y=[0], mode="markers", hoverinfo="skip")
        here.update(marker={"symbol": "cross", "size": 12, "color": "#ffffff", "line": {"width": 1.5, "color": "#111"}})
        figure.add_traces([surface, here], rows=1, cols=column)
    laid_out(figure, 400)
    figure.update_layout(margin={"t": 34, "r": 70})
    figure.update_xaxes(title_text="gradient", tickangle=0, nticks=5)
    figure.update_yaxes(title_text="top eigenvector", col=1)
    return figure


def lines_figure(lines: Mapping[str, Any]) -> go.Figure | None:
    """Rewards and hack rate, and below them the KL, along each direction.

    Args:
        lines: As ``sharpness.json`` has them.

    Returns:
        The figure; None if there are none of these.
    """
    shown = [name for name in DIRECTIONS if name in lines]
    if not shown:
        return None
    figure = make_subplots(
        2,
        len(shown),
        shared_xaxes=True,
        shared_yaxes=True,
        row_heights=[0.65, 0.35],
        horizontal_spacing=0.04,
        vertical_spacing=0.08,
        subplot_titles=[DIRECTIONS[name] for name in shown],
    )
    for column, direction in enumerate(shown, 1):
        for name, label, colour, dash, row in CURVES:
            if name in lines[direction]:
                figure.add_trace(_curve(lines[direction], name, label, colour, dash), row=row, col=column)
                figure.data[-1].showlegend = column == 1
    figure = laid_out(figure, 420)
    key = {"orientation": "h", "y": -0.16, "x": 0.5, "xanchor": "center"}
    figure.update_layout(showlegend=True, legend=key, margin={"t": 34, "b": 76})
    figure.update_yaxes(title_text="reward, hack rate", row=1, col=1)
    figure.update_yaxes(title_text="KL (nats)", rangemode="tozero", row=2, col=1)
    figure.update_xaxes(title_text="ε", nticks=5, tickangle=0, row=2)
    return figure


def _curve(line: Mapping[str, Any], name: str, label: str, colour: str, dash: str) -> go.Scatter:
    """One measure along a line, with its standard errors where it has them."""
    bars = {"type": "data", "array": _short(line[f"{name}_error"])} if f"{name}_error" in line else {"visible": False}
    return go.Scatter(
        x=_short(line["at"]),
        y=_short(line[name]),
        mode="lines+markers",
        name=label,
        legendgroup="",
        line={"color": colour, "dash": dash, "width": 2},
        marker={"size": 5},
        error_y={**bars, "thickness": 1, "width": 2, "color": colour},
        hovertemplate=f"{label} at %{{x}}: %{{y:.3f}}<extra></extra>",
    )


def _short(numbers: list[float]) -> list[float]:
    return [round(x, 4) for x in numbers]


def curvature_table(found: Mapping[str, Mapping[str, Any]]) -> Table | None:
    """A row a function and block.

    Args:
        found: Function → block → figures, as ``sharpness.json`` has them.

    Returns:
        As :func:`gaard.report.measures_table.study_table`; None if there are none.
    """
    rows = [
        {"name": f"{function}, {block}", "note": f"{figures['size']:,} weights", "texts": False, "cells": _row(figures)}
        for function, blocks in found.items()
        for block, figures in blocks.items()
    ]
    headings = list(HEADINGS)
    table = {"label": "Curvature", "first": "function, block", "caption": TABLE_CAPTION}
    return {**table, "headings": headings, "rows": rows} if rows else None


def _row(figures: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The cells of one block."""
    pairs = (
        (figures["top"][0], figures["top_residuals"][0]),
        (figures["bottom"][0], figures["bottom_residuals"][0]),
        (figures["trace"]["value"], figures["trace"]["error"]),
        (figures["adaptive_top"], figures["adaptive_residual"]),
        (figures["filter_top"], figures["filter_residual"]),
        (figures["epsilon_sharpness"], figures.get("epsilon_sharpness_error") or None),
    )
    return [
        {**UNKNOWN, "label": label, "value": number, "mean": _number(number)}
        | ({} if error is None else {"range": f"± {_number(error)}"})
        for (label, _), (number, error) in zip(HEADINGS, pairs, strict=True)
    ]


def _number(number: float) -> str:
    """Three digits, with the minus as type has it."""
    return f"{number:.3g}".replace("-", "−")
