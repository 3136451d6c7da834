"""Arms at equal steps: hack rate, true reward, and how much of it PPO has more or less in the same seed.

`python studies/at_steps.py STEPS.parquet SCENARIO 5,10,20`, of a file in `results/` or of what `studies/steps.py` makes
of a study. Running means over five steps; a run that stopped before stays where it was.
"""

import sys
from collections import defaultdict
from pathlib import Path

import pyarrow.parquet as pq

from gaard.lab.collection import BASELINE
from gaard.lab.frontier import running_mean
from gaard.lab.statistics import Difference, Interval, mean_interval, paired_difference


def main(table: Path, scenario: str, steps: list[int]) -> None:
    """Print a row an arm and step."""
    curves: dict[str, dict[int, list[dict[str, float]]]] = defaultdict(lambda: defaultdict(list))
    for row in pq.read_table(table, filters=[("scenario", "=", scenario)]).to_pylist():
        curves[row["arm"]][row["seed"]].append(row)
    if not curves:
        sys.exit(f"{table} has no steps of {scenario!r}")
    print("| arm | step | seeds | hack rate | true reward | less PPO's |\n|---|---|---|---|---|---|")
    for arm, seeds in curves.items():
        for step in steps:
            hacks, true = (at(seeds, name, step) for name in ("hack_rate", "true_reward"))
            gap = paired_difference(true, at(curves[BASELINE], "true_reward", step)) if arm != BASELINE else None
            cells = (
                said(mean_interval(list(hacks.values()), (0.0, 1.0)), ".1%"),
                said(mean_interval(list(true.values())), ".3f"),
                "–" if gap is None else said(gap, "+.3f"),
            )
            print(f"| {arm} | {step} | {len(seeds)} | " + " | ".join(cells) + " |")


def at(seeds: dict[int, list[dict[str, float]]], name: str, step: int) -> dict[int, float]:
    """Seed → running mean of a measure at that step, or at the run's last one before it."""
    return {seed: float(running_mean([row[name] for row in rows[:step]])[-1]) for seed, rows in seeds.items()}


def said(found: Interval | Difference, digits: str) -> str:
    """Mean and interval."""
    ends = "" if found.low is None else f" [{found.low:{digits}}, {found.high:{digits}}]"
    return f"{found.mean:{digits}}{ends}".replace("-", "−")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], [int(step) for step in sys.argv[3].split(",")])
