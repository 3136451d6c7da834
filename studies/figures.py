"""The figures of the docs, in Plotly.

Each PNG carries a hash of what it shows, and is drawn anew where that differs: browsers differ in pixels.
"""

import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from plotly.subplots import make_subplots

from gaard.lab import analysis
from gaard.method.coefficients import gaa_coefficients
from studies import expected, leagues, overoptimised, overoptimised_arms, sharp, warned
from studies.frames import CLEAN, FOLD, HONEYPOTS, NORM, STUDIES, only, recorded, steps

COLOURS = {
    "ppo": "#c2410c",
    FOLD: "#1d4ed8",
    expected.EXPECTED: "#0369a1",
    NORM: "#15803d",
    "gaa-text": "#7e22ce",
    "gaa-code": "#0f766e",
    "gaa-code-0.02": "#a16207",
}
GREY, GRID = "#8b93a1", "#e5e7eb"
HASH = "figure-sha256"  # the key of the PNG's text chunk
DIGITS = 4  # what a figure shows is rounded to, so that its hash does not depend on the machine
NUDGE = 1e-9
SCALE = 2  # pixels a point
WINDOW = 5  # steps a point, at the tokens of the hack
CROWDED = 0.37  # of true reward: below, the ends of many arms lie close together


def _layout(figure: go.Figure, width: int, height: int) -> go.Figure:
    """Dark on white, nothing that is not needed."""
    figure.update_layout(
        template="none",
        width=width,
        height=height,
        font={"family": "Liberation Sans, Arial, sans-serif", "size": 13, "color": "#1f2937"},
        margin={"l": 60, "r": 20, "t": 40, "b": 90},
        legend={"orientation": "h", "x": 0.5, "xanchor": "center", "y": -0.17, "yanchor": "top"},
        plot_bgcolor="white",
    )
    title = {"font": {"size": 13}, "standoff": 8}
    axis = {"gridcolor": GRID, "zeroline": False, "linecolor": GREY, "ticks": "outside", "tickcolor": GREY}
    figure.update_xaxes(title=title, **axis)
    figure.update_yaxes(title=title, automargin=True, **axis)
    figure.update_annotations(font={"size": 14})
    return figure


def capped() -> go.Figure:
    """PPO and GAA over the steps: hacks and true reward in a honeypot, and true reward where there is none."""
    panels = (("capped", "hack_rate", "hack rate"), ("capped", "true_reward", "true reward"))
    panels += ((CLEAN, "true_reward", "true reward, nothing planted"),)
    figure = make_subplots(1, 3, subplot_titles=[title for *_, title in panels], horizontal_spacing=0.06)
    frame = steps(expected.MAIN)
    mean = analysis.mean_path(frame, "hack_rate", "true_reward")
    curves = analysis.smoothed(frame, "hack_rate", "true_reward")
    for column, (scenario, name, _) in enumerate(panels, 1):
        for arm in ("ppo", expected.EXPECTED):
            own = curves.filter(scenario=scenario, arm=arm)
            for _, run in own.group_by("seed", maintain_order=True):
                line = {"color": COLOURS[arm], "width": 0.7}
                figure.add_scatter(
                    x=_numbers(run["step"]), y=_numbers(run[name]), mode="lines", line=line, opacity=0.3,
                    showlegend=False, row=1, col=column,
                )  # fmt: skip
            path = mean.filter(scenario=scenario, arm=arm)
            line = {"color": COLOURS[arm], "width": 3}
            figure.add_scatter(
                x=_numbers(path["step"]), y=_numbers(path[name]), mode="lines", line=line, name=arm,
                showlegend=column == 1, row=1, col=column,
            )  # fmt: skip
    figure.update_xaxes(title="training step")
    figure.update_yaxes(range=[-0.02, 1.02], tickformat=".0%", col=1)
    figure.update_yaxes(range=[0.24, 0.51], col=2)
    figure.update_yaxes(range=[0.24, 0.51], col=3)
    return _layout(figure, 1050, 400)


def ways() -> go.Figure:
    """The way of each arm through training, hack rate against true reward; the best is above at the left."""
    mean = analysis.mean_path(steps("01-main", "02-baselines"), "hack_rate", "true_reward")
    named = [arm for arm in COLOURS if arm in mean["arm"]]
    figure = make_subplots(1, 2, subplot_titles=HONEYPOTS, shared_yaxes=True, horizontal_spacing=0.03)
    for column, scenario in enumerate(HONEYPOTS, 1):
        here = mean.filter(scenario=scenario)
        others = [arm for arm in here["arm"].unique(maintain_order=True) if arm not in named]
        for arm in (*others, *named):
            _add_way(figure, here.filter(arm=arm), arm, column)
        _name_ends(figure, only(here, "arm", others), column)
    figure.update_xaxes(title="hack rate", range=[-0.03, 1.03], tickformat=".0%")
    figure.update_yaxes(title="true reward", col=1)
    figure.update_yaxes(range=[0.24, 0.51])
    return _layout(figure, 1050, 520)


def _add_way(figure: go.Figure, way: pl.DataFrame, arm: str, column: int) -> None:
    """A line, and a dot at its end."""
    x, y = _numbers(way["hack_rate"]), _numbers(way["true_reward"])
    colour, width = COLOURS.get(arm, GREY), 3 if arm in COLOURS else 1
    size = [0] * (len(x) - 1) + [9 if arm in COLOURS else 6]
    figure.add_scatter(
        x=x, y=y, mode="lines+markers", name=arm, line={"color": colour, "width": width},
        marker={"color": colour, "size": size, "opacity": 1, "line": {"width": 0}},
        showlegend=arm in COLOURS and column == 1, row=1, col=column,
    )  # fmt: skip


def _name_ends(figure: go.Figure, ways: pl.DataFrame, column: int) -> None:
    """Names of the grey lines: beside their ends, or where those lie close together below, with a line to the end."""
    ends = ways.group_by("arm", maintain_order=True).last().sort("true_reward", "arm", descending=True)
    corners = {"left": 0, "right": 0}  # names placed so far
    for arm, x, y in ends.select("arm", "hack_rate", "true_reward").rows():
        side = "left" if x < 0.35 else "right" if x > 0.85 else ""
        at = (x + 0.012, y)
        if side and y < CROWDED:
            top = {"left": 0.297, "right": 0.280}[side]
            at = ({"left": 0.30, "right": 0.84}[side], top - 0.011 * corners[side])
            corners[side] += 1
            figure.add_scatter(
                x=_numbers([x, at[0]]), y=_numbers([y, at[1]]), mode="lines", line={"color": GREY, "width": 0.5},
                showlegend=False, row=1, col=column,
            )  # fmt: skip
        figure.add_annotation(
            x=round(at[0], DIGITS), y=round(at[1], DIGITS), text=arm, showarrow=False, yanchor="middle",
            xanchor="right" if side == "right" else "left", font={"size": 11, "color": "#4b5563"},
            bgcolor="rgba(255,255,255,0.8)", row=1, col=column,
        )  # fmt: skip


def at_the_hack() -> go.Figure:
    """What Johnson's method sees and does at the tokens of the hack, step by step."""
    texts = pl.concat(
        [pl.read_parquet(STUDIES / name / "samples.parquet") for name in ("02-baselines", "06-published")]
    )
    panels = {
        "hacked": "texts that hack",
        "greedy": "tokens of the hack that are greedy",
        "sigma": "σ at the tokens of the hack",
        "a": "a, weight of the sampled token",
        "b": "b, weight of the greedy token",
    }
    lines = {
        "gaa-text": "gaa-text in capped",
        "gaa-code": "gaa-code in capped",
        "gaa-code-0.02": "gaa-code, published experiment",
    }
    return _over_steps(texts, lines, panels).update_layout(
        margin={"b": 60}, legend={"orientation": "v", "x": 0.72, "y": 0.3, "xanchor": "left", "yanchor": "middle"}
    )


def expected_at_the_hack() -> go.Figure:
    """The same in `capped` for GAA in expectation, beside Johnson's text: it acts in the first steps."""
    texts = pl.read_parquet(STUDIES / expected.MAIN / "samples.parquet").filter(scenario="capped")
    panels = {
        "hacked": "texts that hack",
        "advantage": "A(x), at the tokens of the hack",
        "greedy_advantage": "A(x*), at the tokens of the hack",
        "sigma": "σ, the gap",
        "a": "a, weight of the sampled token",
        "b": "b, weight of x*",
    }
    return _over_steps(texts, {"gaa-text": "gaa-text", expected.EXPECTED: expected.EXPECTED}, panels)


RANGES = {
    "hacked": ([-0.02, 1.02], ".0%"),
    "greedy": ([-0.02, 1.02], ".0%"),
    "sigma": ([-2.1, 2.6], ""),
    "a": ([-0.05, 2.05], ""),
    "b": ([-1.03, 0.03], ""),
}


def _over_steps(texts: pl.DataFrame, lines: Mapping[str, str], panels: Mapping[str, str]) -> go.Figure:
    """Six panels or fewer: a share of texts, or means over the tokens of the hack, in windows of a few steps."""
    texts = only(texts, "arm", lines)
    texts = texts.with_columns((WINDOW * ((pl.col("step") - 1) // WINDOW) + WINDOW / 2).alias("at"))
    lists = [name for name in panels if name != "hacked"]
    tokens = texts.explode(lists).drop_nulls(lists)
    figure = make_subplots(2, 3, subplot_titles=[*panels.values()], horizontal_spacing=0.07, vertical_spacing=0.16)
    for place, name in enumerate(panels):
        at = {"row": place // 3 + 1, "col": place % 3 + 1}
        for arm, label in lines.items():
            own = (texts if name == "hacked" else tokens).filter(arm=arm).with_columns(pl.col(name).cast(pl.Float64))
            mean = own.group_by("at", maintain_order=True).agg(pl.col(name).mean()).sort("at")
            figure.add_scatter(
                x=_numbers(mean["at"]), y=_numbers(mean[name]), mode="lines+markers", name=label, marker={"size": 5},
                line={"color": COLOURS[arm], "width": 2.5}, showlegend=place == 0, **at,
            )  # fmt: skip
        if name in RANGES:
            limits, form = RANGES[name]
            figure.update_yaxes(range=limits, tickformat=form, **at)
    figure.update_xaxes(title="training step", row=2)
    if len(panels) < 6:
        figure.update_xaxes(title="training step", row=1, col=3)
    return _layout(figure, 1050, 600)


def coefficients() -> go.Figure:
    """The surfaces a(σ, η) and b(σ, η) of G7 and G8, from above."""
    sigma, eta = np.linspace(0.0, 2.0, 81), np.linspace(0.0, 1.0, 81)
    surfaces = gaa_coefficients(torch.from_numpy(eta)[:, None], torch.from_numpy(sigma)[None])
    titles = ("a, weight of the sampled token's gradient (G7)", "b, weight of the greedy token's gradient (G8)")
    figure = make_subplots(1, 2, subplot_titles=titles, horizontal_spacing=0.16)
    looks = ((0.2, 1.8, 0.2, ["#2166ac", "#f7f7f7", "#b2182b"]), (-0.9, -0.1, 0.1, ["#2166ac", "#f7f7f7"]))
    for column, (surface, (start, end, size, colours)) in enumerate(zip(surfaces, looks, strict=True), 1):
        figure.add_contour(
            x=_numbers(sigma), y=_numbers(eta), z=[_numbers(row) for row in surface.numpy()], colorscale=colours,
            contours={"start": start, "end": end, "size": size, "showlabels": True}, line={"width": 0.6},
            colorbar={"x": (0.43, 1.01)[column - 1], "thickness": 12, "len": 1.0}, row=1, col=column,
        )  # fmt: skip
        figure.add_scatter(
            x=[0, 0, 2, 2], y=[0, 1, 0, 1], mode="markers", marker={"color": "#111827", "size": 9}, cliponaxis=False,
            showlegend=False, row=1, col=column,
        )  # fmt: skip
    figure.update_xaxes(title="σ, the gap (standard deviations)", range=[-0.03, 2.03])
    figure.update_yaxes(title="η, probability of the greedy token", range=[-0.015, 1.015])
    return _layout(figure, 1050, 430).update_layout(margin={"b": 60, "r": 70})


FIGURES: dict[str, Callable[[], go.Figure]] = {
    "capped": capped,
    "ways": ways,
    "at-the-hack": at_the_hack,
    "at-the-hack-expected": expected_at_the_hack,
    "coefficients": coefficients,
    "monitor": lambda: _layout(warned.curve(), 940, 380),
}
if (on_lines := sharp.record("lines")) is not None:
    FIGURES["sharpness"] = lambda: _layout(sharp.figure(on_lines), 1050, 400)
if recorded(overoptimised.STUDY):
    FIGURES["overoptimisation"] = lambda: _layout(overoptimised.figure(), 1050, 620)
if recorded(leagues.STUDY):
    FIGURES["overoptimisation-arms"] = lambda: _layout(overoptimised_arms.figure(), 1050, 860).update_layout(
        legend={"y": -0.08}
    )
    FIGURES["league"] = lambda: _layout(leagues.figure(), 1050, 520).update_layout(margin={"b": 40})


def _numbers(values: Sequence[Any] | pl.Series | np.ndarray) -> list[float]:
    """Plain numbers, rounded; −0 is 0. Halves go up whatever the last bit of a mean is: that differs by machine."""
    return [round(float(value) + NUDGE, DIGITS) + 0.0 for value in values]


def content_hash(figure: go.Figure) -> str:
    """A sha256 of what a figure shows: its data and its layout, without the defaults of Plotly's version."""
    plain = json.loads(figure.to_json(), parse_float=lambda text: round(float(text), DIGITS))
    plain["layout"].pop("template", None)
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def drawn_hash(path: Path) -> str | None:
    """The hash that a PNG carries; None without one."""
    if not path.exists():
        return None
    with Image.open(path) as image:
        return image.info.get(HASH)


def draw(folder: Path) -> Iterator[Path]:
    """Draw the figures that are not there or show something else, and name their files."""
    for name, make in FIGURES.items():
        figure, path = make(), folder / f"{name}.png"
        wanted = content_hash(figure)
        if drawn_hash(path) == wanted:
            continue
        info = PngInfo()
        info.add_text(HASH, wanted)
        pixels = Image.open(io.BytesIO(figure.to_image(format="png", scale=SCALE)))
        pixels.convert("RGB").quantize(256).save(path, pnginfo=info, optimize=True)
        yield path
