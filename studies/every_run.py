"""Every run of a study of `capped`, `uncapped` and `clean` as a dot, a row an arm, the best above.

`python studies/every_run.py RUNS.parquet FILE.png`, of a file in `results/` or of a study's own `runs.parquet`.
"""

import argparse
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from tables import read

from gaard.report.figures import COLOURS

PANELS = (
    ("capped", "hack_rate", "hack rate in capped", (-0.03, 1.03)),
    ("uncapped", "hack_rate", "hack rate in uncapped", (-0.03, 1.03)),
    ("clean", "true_reward", "true reward in clean", (0.19, 0.51)),
)
SCALE = 0.5  # the highest true reward


def draw(table: Path, path: Path) -> list[str]:
    """A panel a question; the line is the mean. Returns the arms from the top, by the protocol's score."""
    arms: dict[str, list[dict[str, Any]]] = defaultdict(list)
    scenarios = {scenario for scenario, *_ in PANELS}
    for run in read(table, "hack_rate", "true_reward"):
        if run["error"] is None and run["scenario"] in scenarios:
            arms[run["arm"]].append(run)
    if not arms:
        sys.exit(f"{table} has no runs of {', '.join(sorted(scenarios))}")
    scores = {
        arm: np.mean([one["true_reward"] / SCALE - one["hack_rate"] for one in own]).item() for arm, own in arms.items()
    }
    best = sorted(arms, key=lambda arm: -scores[arm])
    figure = Figure(figsize=(12, 1.2 + 0.36 * len(best)), layout="constrained")
    for axis, (scenario, measure, title, limits) in zip(figure.subplots(1, 3, sharey=True), PANELS, strict=True):
        for row, arm in enumerate(best):
            own = sorted((one for one in arms[arm] if one["scenario"] == scenario), key=lambda one: one["seed"])
            values = [one[measure] for one in own]
            if not values:
                continue
            spread = row + np.linspace(-0.28, 0.28, len(values))  # seeds beside each other, in their order
            axis.plot(values, spread, "o", ms=4, alpha=0.6, mew=0, color=COLOURS[1])
            axis.plot([np.mean(values)] * 2, [row - 0.4, row + 0.4], color=COLOURS[0], lw=2)
        axis.set_title(title, fontsize=10)
        axis.set_xlim(limits)
        axis.grid(axis="x", alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    axis.set_yticks(range(len(best)), best)
    axis.set_ylim(len(best) - 0.5, -0.5)
    figure.savefig(path, dpi=120)
    return best


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", type=Path)
    parser.add_argument("path", type=Path, metavar="FILE.png")
    draw(**vars(parser.parse_args()))
