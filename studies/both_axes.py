"""Is any arm better than a given one on both axes? Means over the scenarios of a study, paired by seed.

`python studies/both_axes.py RUNS.parquet ARM`, of a file in `results/` or of a study's own `runs.parquet`. A seed
counts where both arms have finished all scenarios. One is better on both axes if its hack rate is lower and its true
reward higher, both intervals of the difference excluding 0.
"""

import argparse
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from tables import check_arms, read, said

from gaard.lab.statistics import paired_difference

AXES = ("hack_rate", "true_reward", "frontier_area")


def main(table: Path, ours: str) -> None:
    """Print a row an arm."""
    runs = read(table, *AXES)
    scenarios = len({run["scenario"] for run in runs})
    measured: dict[str, dict[int, list[dict[str, float]]]] = defaultdict(lambda: defaultdict(list))
    for run in runs:
        if run["error"] is None and run["frontier_area"] is not None:
            measured[run["arm"]][run["seed"]].append(run)
    check_arms(table, [ours], measured)
    print(
        f"| arm less {ours} | seeds | hack rate | true reward | area | better on both axes |\n|---|---|---|---|---|---|"
    )
    for arm, seeds in measured.items():
        if arm == ours:
            continue
        hack, true, area = (
            paired_difference(over_scenarios(seeds, axis, scenarios), over_scenarios(measured[ours], axis, scenarios))
            for axis in AXES
        )
        if hack is None or true is None or area is None:
            continue
        known = None not in (hack.low, hack.high, true.low, true.high)
        better = "neither is shown to be"
        if known and hack.high < 0 < true.low:
            better = arm
        elif known and true.high < 0 < hack.low:
            better = ours
        cells = (said(hack, "+.1f", scale=100, unit=" points"), said(true, "+.3f"), said(area, "+.3f"), better)
        print(f"| {arm} | {hack.n} | " + " | ".join(cells) + " |")


def over_scenarios(seeds: Mapping[int, Sequence[Mapping[str, float]]], axis: str, scenarios: int) -> dict[int, float]:
    """Seed → mean over the scenarios, of the seeds that have them all."""
    return {seed: float(np.mean([one[axis] for one in runs])) for seed, runs in seeds.items() if len(runs) == scenarios}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", type=Path)
    parser.add_argument("ours", metavar="ARM")
    main(**vars(parser.parse_args()))
