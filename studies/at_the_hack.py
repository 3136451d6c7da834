"""What each arm sees and does at the tokens of the hack, step by step: the picture of where a reading comes too late.

`python studies/at_the_hack.py STUDY_FOLDER/SCENARIO ARM,ARM… FILE.png [--seeds 0,1]` draws it, and prints what the
first steps and the later ones have.
"""

import argparse
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from tables import coloured

from gaard.report.figures import COLOURS
from gaard.training.runlog import SAMPLES, read_jsonl

PANELS = {
    "hacked": "share of texts that hack",
    "greedy": "share of the hack's tokens that are greedy",
    "sigma": "σ at the hack's tokens (G6)",
    "a": "a, weight of the sampled token's step (G7)",
    "b": "b, weight of the greedy token's step (G8)",
    "advantage": "A of the hack's tokens, as it trains",
}
COLUMNS = (
    *("arm", "steps", "texts that hack", "tokens of the hack", "greedy", "σ < 0", "σ > 0", "a, mean", "b, mean"),
    "turned, of all tokens of texts that hack",
)
WINDOW = 5  # steps a point
EARLY = 2  # windows that count as the first


def seen(folder: Path, arm: str, seeds: list[str]) -> dict[str, dict[int, list[float]]]:
    """Panel → window of steps → values at the tokens of the hack; "turned", of a fold, at all of their texts.

    Of all seeds, or of some.
    """
    found: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    runs = [run for seed in seeds or ["*"] for run in sorted(folder.glob(f"{arm}-seed{seed}"))]
    for run in runs:
        for row in read_jsonl(run / SAMPLES):
            window, tokens = (row["step"] - 1) // WINDOW, row["tokens"]
            found["hacked"][window].append(row["hacked"])
            if row["hacked"]:
                found["turned"][window].extend(tokens.get("turned", ()))
            for i in np.flatnonzero(tokens["hack"]):
                found["greedy"][window].append(tokens["greedy"][i] == tokens["text"][i])
                for name in ("sigma", "a", "b", "advantage"):
                    if name in tokens:
                        found[name][window].append(tokens[name][i])
    return found


def draw(folder: Path, arms: list[str], path: Path, seeds: list[str]) -> None:
    """A panel a quantity, a line an arm: means, the middle half shaded."""
    colours = coloured(arms)
    figure = Figure(figsize=(13, 6.5), layout="constrained")
    axes = figure.subplots(2, 3)
    print("| " + " | ".join(COLUMNS) + " |\n" + "|---" * len(COLUMNS) + "|")
    for arm, colour in colours.items():
        found = seen(folder, arm, seeds)
        if not found:
            sys.exit(f"{folder} has no runs of {arm!r}" + (f" with the seeds {', '.join(seeds)}" if seeds else ""))
        windows = range(max(found["hacked"]) + 1)
        for part in (windows[:EARLY], windows[EARLY:]):
            if part:
                print(told(arm, found, part))
        for axis, (name, label) in zip(axes.flat, PANELS.items(), strict=True):
            windows = sorted(found[name])
            if not windows:
                continue
            x = [WINDOW * (window + 0.5) for window in windows]
            axis.plot(x, [np.mean(found[name][window]) for window in windows], color=colour, label=arm)
            if name not in ("hacked", "greedy"):
                low, high = np.array([np.quantile(found[name][window], [0.25, 0.75]) for window in windows]).T
                axis.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
            axis.set(title=label, xlabel="step")
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    figure.savefig(path, dpi=110)


def told(arm: str, found: dict[str, dict[int, list[float]]], windows: range) -> str:
    """A row: texts and tokens that hack in those steps, and what is known of them."""
    hacked, greedy, sigma, a, b, turned = (
        np.array([one for window in windows for one in found[name].get(window, ())])
        for name in ("hacked", "greedy", "sigma", "a", "b", "turned")
    )
    shares = [f"{np.mean(part):.1%}" if len(part) else "–" for part in (greedy, sigma < 0, sigma > 0, turned)]
    means = [f"{np.mean(part):.3f}".replace("-", "−") if len(part) else "–" for part in (a, b)]
    steps = f"{WINDOW * windows.start + 1} to {WINDOW * windows.stop}"
    counts = [f"{int(hacked.sum())} of {len(hacked)}", str(len(greedy))]
    return "| " + " | ".join([arm, steps, *counts, *shares[:-1], *means, shares[-1]]) + " |"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, metavar="STUDY/SCENARIO")
    parser.add_argument("arms", type=lambda names: names.split(","), metavar="ARM,ARM…", help=f"at most {len(COLOURS)}")
    parser.add_argument("path", type=Path, metavar="FILE.png")
    parser.add_argument("--seeds", type=lambda seeds: seeds.split(","), default=[], help="some of them, such as 0,1")
    draw(**vars(parser.parse_args()))
