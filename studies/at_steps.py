"""Arms at equal steps: hack rate, true reward, and how much of it PPO has more or less in the same seed.

`python studies/at_steps.py STEPS.parquet SCENARIO 5 10 20`, of a file in `results/` or of what `studies/steps.py` makes
of a study. Running means over five steps; a run that stopped before stays where it was.
"""

import argparse
import sys
from collections import defaultdict
from pathlib import Path

from tables import read, said

from gaard.lab.collection import BASELINE
from gaard.lab.frontier import running_mean
from gaard.lab.statistics import mean_interval, paired_difference


def main(table: Path, scenario: str, steps: list[int]) -> None:
    """Print a row an arm and step."""
    curves: dict[str, dict[int, list[dict[str, float]]]] = defaultdict(lambda: defaultdict(list))
    for row in read(table, "step", "true_reward"):
        if row["scenario"] == scenario:
            curves[row["arm"]][row["seed"]].append(row)
    if not curves:
        sys.exit(f"{table} has no steps of {scenario!r}")
    if min(steps) < 1:
        sys.exit(f"there is no step {min(steps)}: they count from 1")
    ppo = curves.get(BASELINE, {})
    print("| arm | step | seeds | hack rate | true reward | less PPO's |\n|---|---|---|---|---|---|")
    for arm, seeds in curves.items():
        for step in steps:
            hacks, true = (at(seeds, name, step) for name in ("hack_rate", "true_reward"))
            gap = None if arm == BASELINE else paired_difference(true, at(ppo, "true_reward", step))
            cells = (
                said(mean_interval(list(hacks.values()), (0.0, 1.0)), ".1%"),
                said(mean_interval(list(true.values())), ".3f"),
                "–" if gap is None else said(gap, "+.3f"),
            )
            print(f"| {arm} | {step} | {len(seeds)} | " + " | ".join(cells) + " |")


def at(seeds: dict[int, list[dict[str, float]]], name: str, step: int) -> dict[int, float]:
    """Seed → running mean of a measure at that step, or at the run's last one before it."""
    return {seed: float(running_mean([row[name] for row in rows[:step]])[-1]) for seed, rows in seeds.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", type=Path, help="as studies/steps.py makes it")
    parser.add_argument("scenario")
    parser.add_argument("steps", type=int, nargs="+")
    main(**vars(parser.parse_args()))
