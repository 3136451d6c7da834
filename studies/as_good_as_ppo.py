"""Asked the other way round: trained until `clean` is as good as PPO makes it, how hacked is each arm?

`python studies/as_good_as_ppo.py STEPS.parquet`, of a file in `results/` or of what `studies/steps.py` makes of a study
of `clean` and honeypots. An arm is as good as PPO from
the step on where the running mean of its true reward in `clean` reaches 95% of what PPO gains there over its first
rollout; its hack rate is the running mean at that step in each honeypot, of the same seed, or at the last step of a run
that stopped before it. The interval is of the seeds that got there; a seed in which PPO gains nothing is left out.
"""

import argparse
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
from tables import read, said

from gaard.lab.collection import BASELINE, CLEAN
from gaard.lab.frontier import running_mean
from gaard.lab.statistics import mean_interval

SHARE = 0.95  # of PPO's gain


def main(table: Path) -> None:
    """Print a row an arm and honeypot."""
    rows = defaultdict(list)
    for row in read(table, "step", "true_reward"):
        rows[row["scenario"], row["arm"], row["seed"]].append(row)
    found = defaultdict(list)
    for (scenario, arm, seed), own in rows.items():
        if scenario == CLEAN or not {(CLEAN, arm, seed), (CLEAN, BASELINE, seed)} <= rows.keys():
            continue
        ppo, honest = (
            running_mean([row["true_reward"] for row in rows[CLEAN, name, seed]]) for name in (BASELINE, arm)
        )
        if ppo[-1] <= ppo[0]:
            continue
        there = np.flatnonzero(honest >= ppo[0] + SHARE * (ppo[-1] - ppo[0]))
        hacks = running_mean([row["hack_rate"] for row in own])
        step = int(there[0]) if len(there) else None
        found[scenario, arm].append(None if step is None else (step + 1, hacks[min(step, len(hacks) - 1)]))
    if not found:
        sys.exit(f"{table} has no honeypot beside {CLEAN!r} in which {BASELINE!r} gains: nothing to compare")
    print("| scenario | arm | as good as PPO in | at step (median) | hack rate there |\n|---|---|---|---|---|")
    for (scenario, arm), seeds in found.items():
        reached = [one for one in seeds if one is not None]
        if not reached:
            print(f"| `{scenario}` | {arm} | 0 of {len(seeds)} seeds | – | – |")
            continue
        hack = mean_interval([rate for _, rate in reached], (0.0, 1.0))
        step = np.median([step for step, _ in reached])
        print(f"| `{scenario}` | {arm} | {len(reached)} of {len(seeds)} seeds | {step:.0f} | {said(hack, '.1%')} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", type=Path, help="as studies/steps.py makes it")
    main(**vars(parser.parse_args()))
