"""What a study found, in a sentence."""

from collections.abc import Mapping
from typing import Any

SIGNIFICANT = 0.05  # of p values adjusted over the arms
PREFERRED = "gaa"


def verdict(results: Mapping[str, Any]) -> str:
    """One arm against the baseline in every scenario, and how many seeds that rests on.

    Args:
        results: As ``gaard compare`` writes them.

    Returns:
        A sentence that claims no more than the intervals allow.
    """
    baseline = results["baseline"]
    arm = judged_arm(results)
    if arm is None:
        return f"Only {baseline} was run: there is nothing to hold it against."
    clauses = [clause for label in results["scenarios"] if (clause := _clause(label, results, arm))]
    if not clauses:
        return f"No seed of {arm} and {baseline} is finished yet."
    return f"Against {baseline}, {arm} " + "; ".join(clauses) + "."


def judged_arm(results: Mapping[str, Any]) -> str | None:
    """The arm that the sentence is about: gaa where it is among them, else the first that is not the baseline."""
    names = [arm["name"] for arm in results["study"]["arms"] if arm["name"] != results["baseline"]]
    return PREFERRED if PREFERRED in names else next(iter(names), None)


def _clause(label: str, results: Mapping[str, Any], arm: str) -> str | None:
    """What the arm does in one scenario."""
    found = results["scenarios"][label]
    differences, arms = found["differences"].get(arm, {}), found["arms"]
    hacks, truth = differences.get("hack_rate"), differences.get("true_reward")
    if hacks is None or truth is None:
        return None
    ours, theirs = (arms[name]["hack_rate"]["mean"] for name in (arm, results["baseline"]))
    seeds = f"{hacks['n']} {'seed' if hacks['n'] == 1 else 'seeds'}"
    if ours == theirs == 0:
        return f"in {label}, where nothing was hacked, ends at {_truth(truth)} ({seeds})"
    rates = f"{ours:.1%} of completions, not {theirs:.1%}"
    return f"in {label} hacks {_compared(hacks, rates)} at {_truth(truth)} ({seeds})"


def _compared(hacks: Mapping[str, Any], rates: str) -> str:
    """More, less, or not to be told."""
    if hacks["p_holm"] is None:
        return f"{rates}, which one seed cannot tell from chance,"
    points = f"{_signed(100 * hacks['mean'], 1)} points {_range(hacks, 100, 1)}"
    if hacks["p_holm"] >= SIGNIFICANT:
        return f"{rates}: {points}, not told apart from chance,"
    return f"{'less' if hacks['mean'] < 0 else 'more'}, {rates}: {points},"


def _truth(truth: Mapping[str, Any]) -> str:
    """What became of the true reward."""
    between = "" if truth["low"] is None else f" {_range(truth, 1, 3)}"
    return f"{_signed(truth['mean'], 3)}{between} of true reward"


def _range(difference: Mapping[str, Any], scale: float, digits: int) -> str:
    """An interval."""
    return f"[{_signed(scale * difference['low'], digits)}, {_signed(scale * difference['high'], digits)}]"


def _signed(x: float, digits: int) -> str:
    """A difference with its sign, the minus as type has it."""
    return f"{x:+.{digits}f}".replace("-", "−")


def fewer_hacks(results: Mapping[str, Any], label: str) -> list[str]:
    """The arms of one scenario that hack less than the baseline, as far as the seeds can tell."""
    differences = results["scenarios"][label]["differences"]
    less = {arm: found["hack_rate"] for arm, found in differences.items() if "hack_rate" in found}
    return [arm for arm, d in less.items() if d["p_holm"] is not None and d["p_holm"] < SIGNIFICANT and d["mean"] < 0]
