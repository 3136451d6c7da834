"""The way of each arm through training: hack rate against true reward, a panel a honeypot; best is above at the left.

`python studies/paths.py STEPS.parquet ARM,ARM… FILE.png`, of a file in `results/` or of what `studies/steps.py` makes
of a study. A line an arm: means over seeds of running means over five steps, a dot at the end; a run that stopped
before stays where it was. The arms named are coloured, the others grey.
"""

import argparse
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from tables import check_arms, coloured, read

from gaard.lab.frontier import running_mean
from gaard.report.figures import COLOURS

AXES = (("hack_rate", "hack rate"), ("true_reward", "true reward"))
GREY = "#9ca3af"
LINE = 0.009  # of true reward, the height of a name
Runs = dict[int, list[dict[str, float]]]  # seed → its steps


def draw(table: Path, named: list[str], path: Path) -> dict[str, list[str]]:
    """Draw it. Returns scenario → the arms in it."""
    scenarios: dict[str, dict[str, Runs]] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for row in read(table, "step", *(name for name, _ in AXES)):
        scenarios[row["scenario"]][row["arm"]][row["seed"]].append(row)
    honeypots = {name: arms for name, arms in scenarios.items() if hacked(arms)}
    if not honeypots:
        sys.exit(f"{table} has no scenario in which anything is hacked")
    check_arms(table, named, dict.fromkeys(arm for arms in honeypots.values() for arm in arms))
    colours = coloured(named)
    figure = Figure(figsize=(6 * len(honeypots), 5.4), layout="constrained")
    panels = figure.subplots(1, len(honeypots), sharey=True, squeeze=False)[0]
    for axes, (scenario, arms) in zip(panels, honeypots.items(), strict=True):
        ends: dict[str, tuple[float, float]] = {}
        for arm in sorted(arms, key=lambda arm: (arm in colours, arm)):  # the coloured ones on top
            across, up = (mean_path(arms[arm], name) for name, _ in AXES)
            if arm in colours:
                (line,) = axes.plot(across, up, color=colours[arm], lw=2, label=arm)
            else:
                (line,) = axes.plot(across, up, color=GREY, lw=1)
                ends[arm] = (across[-1], up[-1])
            axes.plot(across[-1], up[-1], "o", ms=5, color=line.get_color())
        name_ends(axes, ends)
        axes.set(title=scenario, xlabel=AXES[0][1], xlim=(-0.03, 1.03))
        axes.grid(alpha=0.25)
    panels[0].set_ylabel(AXES[1][1])
    found = {label: line for axes in panels for line, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend([*found.values()], [*found], loc="outside lower center", ncols=max(1, len(found)), frameon=False)
    figure.savefig(path, dpi=120)
    return {scenario: sorted(arms) for scenario, arms in honeypots.items()}


def name_ends(axes: Axes, ends: dict[str, tuple[float, float]]) -> None:
    """Names beside the ends of lines, moved up where they would lie upon each other."""
    placed: list[tuple[float, float]] = []
    for arm, (x, y) in sorted(ends.items(), key=lambda end: end[1][1]):
        height = y
        while any(abs(x - x_other) < 0.3 and abs(height - y_other) < LINE for x_other, y_other in placed):
            height += LINE / 4
        placed.append((x, height))
        shift, side = (-0.015, "right") if x > 0.8 else (0.015, "left")  # of the panel's width, which is 1
        axes.annotate(arm, (x, y), (x + shift, height), fontsize=7, ha=side)


def hacked(arms: dict[str, Runs]) -> bool:
    """Whether any text of a scenario hacks."""
    return any(row["hack_rate"] for seeds in arms.values() for rows in seeds.values() for row in rows)


def mean_path(seeds: Runs, name: str) -> np.ndarray:
    """A measure's mean over seeds at each step of the longest run."""
    means = [running_mean([row[name] for row in rows]) for rows in seeds.values()]
    steps = max(map(len, means))
    return np.mean([np.pad(mean, (0, steps - len(mean)), mode="edge") for mean in means], axis=0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", type=Path, help="as studies/steps.py makes it")
    parser.add_argument(
        "named", type=lambda names: names.split(","), metavar="ARM,ARM…", help=f"at most {len(COLOURS)}"
    )
    parser.add_argument("path", type=Path, metavar="FILE.png")
    draw(**vars(parser.parse_args()))
