"""Figures as PNG files: a comparison's curves, and the surfaces of G7 and G8."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gaard.lab.frontier import SMOOTHING, running_mean
from gaard.method.coefficients import gaa_coefficients
from gaard.training.runlog import METRICS, read_jsonl

CURVES = {
    "hack_rate": "hack rate (share of completions)",
    "true_reward": "true reward",
    "reward": "proxy reward",
    "kl": "KL to the reference (nats a token)",
    "entropy": "entropy (nats a token)",
    "eta": "η, probability of the greedy token",
}
COLOURS = ("#c2410c", "#1d4ed8", "#15803d", "#7e22ce", "#0f766e", "#a16207")  # dark enough for white paper


def comparison_figures(results: Mapping[str, Any], folder: Path) -> list[Path]:
    """Curves of every arm, a file a scenario: a thin line a seed, a thick one for their mean.

    Args:
        results: As ``gaard compare`` writes them.
        folder: The comparison's folder.

    Returns:
        The files drawn.
    """
    return [_curves_of(label, found["arms"], results["runs"], folder) for label, found in results["scenarios"].items()]


def _curves_of(label: str, arms: Mapping[str, Any], runs: Sequence[Mapping[str, Any]], folder: Path) -> Path:
    """One scenario's curves."""
    runs = [run for run in runs if run["scenario"] == label and not run["error"]]
    figure = Figure(figsize=(12, 6.4), layout="constrained")
    grid = figure.subplots(2, 3, sharex=True)
    for axes, (key, title) in zip(grid.flat, CURVES.items(), strict=True):
        for colour, arm in zip(_colours(len(arms)), arms, strict=True):
            _draw_arm(axes, arm, _curves([run for run in runs if run["arm"] == arm], folder, key), colour)
        axes.set_title(title, fontsize=10)
        axes.grid(alpha=0.25)
    grid[0, 0].set_ylim(-0.02, 1.02)
    for axes in grid[1]:
        axes.set_xlabel("training step")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=max(1, len(labels)), frameon=False)
    figure.suptitle(f"{label}. Thin: one seed, thick: mean over seeds; running mean of {SMOOTHING} steps", fontsize=11)
    path = folder / label / "curves.png"
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=130)
    return path


def _colours(count: int) -> list[str]:
    """As many colours as there are arms."""
    return [COLOURS[i % len(COLOURS)] for i in range(count)]


def _curves(runs: Sequence[Mapping[str, Any]], folder: Path, key: str) -> list[np.ndarray]:
    """One smoothed curve a run."""
    curves = []
    for run in runs:
        values = [row[key] for row in read_jsonl(folder / run["folder"] / METRICS) if key in row]
        if values:
            curves.append(running_mean(values))
    return curves


def _draw_arm(axes: Axes, arm: str, curves: list[np.ndarray], colour: str) -> None:
    """Thin lines and their mean."""
    for curve in curves:
        axes.plot(np.arange(1, len(curve) + 1), curve, color=colour, alpha=0.3, linewidth=0.8)
    if curves:
        shortest = min(map(len, curves))
        mean = np.mean([curve[:shortest] for curve in curves], axis=0)
        axes.plot(np.arange(1, shortest + 1), mean, color=colour, linewidth=2.0, label=arm)


def coefficient_figures(folder: Path) -> list[Path]:
    """The surfaces a(σ, η) and b(σ, η) of G7 and G8, which the seed leaves as "FIGURES HERE".

    Args:
        folder: Made if it is not there.

    Returns:
        One file a coefficient.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sigma, eta = np.meshgrid(np.linspace(0.0, 2.0, 101), np.linspace(0.0, 1.0, 101))
    surfaces = gaa_coefficients(torch.from_numpy(eta), torch.from_numpy(sigma))
    paths = []
    for name, surface, equation in zip("ab", surfaces, ("G7", "G8"), strict=True):
        figure = Figure(figsize=(11, 4.6), layout="constrained")
        _draw_surface(figure, sigma, eta, surface.numpy(), name)
        _draw_contours(figure, sigma, eta, surface.numpy(), name)
        figure.suptitle(
            f"{name}(σ, η), {equation}: weight of the {'sampled' if name == 'a' else 'greedy'} token's gradient"
        )
        paths.append(folder / f"coefficient_{name}.png")
        figure.savefig(paths[-1], dpi=130)
    return paths


def _limits(name: str) -> tuple[float, float]:
    return (0.0, 2.0) if name == "a" else (-1.0, 0.0)


def _draw_surface(figure: Figure, sigma: np.ndarray, eta: np.ndarray, z: np.ndarray, name: str) -> None:
    """In three dimensions."""
    axes: Any = figure.add_subplot(1, 2, 1, projection="3d")
    low, high = _limits(name)
    axes.plot_surface(sigma, eta, z, cmap="viridis", vmin=low, vmax=high, rstride=4, cstride=4, linewidth=0.2)
    axes.set(xlabel="σ (standard deviations)", ylabel="η = π(x*)", zlabel=name, zlim=(low, high))
    axes.set_xticks([0.0, 0.5, 1.0, 1.5, 2.0])
    axes.view_init(elev=26, azim=-130)
    axes.set_box_aspect(None, zoom=0.86)


def _draw_contours(figure: Figure, sigma: np.ndarray, eta: np.ndarray, z: np.ndarray, name: str) -> None:
    """From above, with the seed's four cases."""
    axes = figure.add_subplot(1, 2, 2)
    low, high = _limits(name)
    filled = axes.contourf(sigma, eta, z, levels=np.linspace(low, high, 21), cmap="viridis")
    lines = axes.contour(sigma, eta, z, levels=np.linspace(low, high, 9)[1:-1], colors="white", linewidths=0.6)
    axes.clabel(lines, fontsize=7)
    for number, (x, y) in enumerate([(0, 0), (0, 1), (2, 0), (2, 1)], 1):
        axes.plot(x, y, "o", color="#c2410c", clip_on=False)
        offset = (8 if x == 0 else -8, 8 if y == 0 else -14)
        axes.annotate(
            f"case {number}",
            (x, y),
            offset,
            textcoords="offset points",
            fontsize=8,
            ha="left" if x == 0 else "right",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
        )
    axes.set(xlabel="σ (standard deviations)", ylabel="η = π(x*)")
    figure.colorbar(filled, ax=axes, label=name)


matplotlib.use("Agg")  # files only: no display is needed or touched
