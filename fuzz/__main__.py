"""``python -m fuzz --minutes 20``: every target in turn, as long as is said; tells how many inputs each got."""

import argparse
import collections
import time
import traceback

import hypothesis
from hypothesis import HealthCheck, Phase, given, settings

from fuzz.targets import TARGETS

ROUND = 200  # inputs of a target before the next one's turn
SLOW = ("results", "rows", "checkpoint", "signed-state", "signed-weights", "taken-up")  # of these fewer


def main() -> int:
    """Run.

    Returns:
        1 if an error came out that is not gaard's own, else 0.
    """
    parser = argparse.ArgumentParser(prog="python -m fuzz")
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("targets", nargs="*", choices=[*TARGETS, []])
    asked = parser.parse_args()
    end, turn = time.monotonic() + 60 * asked.minutes, 0
    counts: dict[str, int] = collections.Counter()
    found: dict[str, str] = {}
    while time.monotonic() < end:
        for name in asked.targets or TARGETS:
            if name in found or time.monotonic() > end:
                continue
            try:
                one_round(name, turn, counts)
            except Exception:
                found[name] = traceback.format_exc()
                print(f"FOUND in {name}, round {turn}:\n{found[name]}", flush=True)
        turn += 1
    print("\n".join(f"{name}: {count:,} inputs" for name, count in sorted(counts.items())))
    print(f"{sum(counts.values()):,} inputs in {asked.minutes:g} minutes, {len(found)} targets with findings")
    return bool(found)


def one_round(name: str, turn: int, counts: dict[str, int]) -> None:
    """Some hundred new inputs of one target."""
    call, inputs = TARGETS[name]

    @hypothesis.seed(turn)
    @settings(
        max_examples=ROUND // 10 if name in SLOW else ROUND,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(inputs)
    def feed(case: object) -> None:
        counts[name] += 1
        call(case)

    feed()


if __name__ == "__main__":
    raise SystemExit(main())
