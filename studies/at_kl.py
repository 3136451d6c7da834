"""Arms at equal KL: hack rate and true reward where each run had first moved so far from the untrained model.

`python studies/at_kl.py STEPS.parquet SCENARIO`, of a file in `results/` or of what `studies/steps.py` makes of a
study. Means over the runs that reached the level, with their number where others did not.
"""

import argparse
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from tables import read, said

from gaard.lab.frontier import KL_LEVELS, at_kl, frontier
from gaard.lab.statistics import Interval


def main(table: Path, scenario: str) -> None:
    """Print two rows an arm."""
    steps: dict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
    for row in read(table, "step", "kl"):
        if row["scenario"] == scenario and row["kl"] is not None:
            steps[row["arm"], row["seed"]].append(row)
    if not steps:
        sys.exit(f"{table} has no steps of {scenario!r} whose KL is known")
    arms = list(dict.fromkeys(arm for arm, _ in steps))
    levels = frontier([{"arm": arm, "at_kl": at_kl(rows)} for (arm, _), rows in steps.items()], arms)
    print(f"| `{scenario}`, KL | " + " | ".join(f"{level:g}" for level in KL_LEVELS) + " |")
    print("|---" * (len(KL_LEVELS) + 1) + "|")
    for arm in arms:
        for measure, label, digits in (("hack_rate", "hack rate", ".1%"), ("true_reward", "true reward", ".3f")):
            cells = (cell(levels.get(f"{level:g}", {}).get(arm), measure, digits) for level in KL_LEVELS)
            print(f"| {arm}, {label} | " + " | ".join(cells) + " |")


def cell(there: dict[str, Any] | None, measure: str, digits: str) -> str:
    """Mean, interval, and of how many runs if not of all."""
    if there is None:
        return "–"
    found = Interval(**there[measure])
    return said(found, digits) + ("" if found.n == there["runs"] else f" ({found.n} of {there['runs']})")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", type=Path, help="as studies/steps.py makes it")
    parser.add_argument("scenario")
    main(**vars(parser.parse_args()))
