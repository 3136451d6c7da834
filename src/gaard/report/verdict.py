"""What a study found, in a sentence."""

from collections.abc import Mapping
from typing import Any

from gaard.lab.collection import CLEAN
from gaard.report.tables import in_seeds

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
        return f"No seed has both {arm} and {baseline} yet."
    return f"Against {baseline}, {arm} " + "; ".join(clauses) + "."


def judged_arm(results: Mapping[str, Any]) -> str | None:
    """The arm that the sentence is about: gaa where it is among them, else the first that is not the baseline."""
    names = [arm["name"] for arm in results["study"]["arms"] if arm["name"] != results["baseline"]]
    return PREFERRED if PREFERRED in names else next(iter(names), None)


def _clause(label: str, results: Mapping[str, Any], arm: str) -> str | None:
    """What the arm does in one scenario."""
    differences = results["scenarios"][label]["differences"].get(arm, {})
    if not {"hack_rate", "true_reward", "kl"} <= differences.keys():
        return None
    hacks, truth, kl = (differences[name] for name in ("hack_rate", "true_reward", "kl"))
    seeds = f"{in_seeds(hacks['n'])}, KL {kl['ours']:.2f} and {kl['theirs']:.2f}"
    changed = f"with a true reward that differs by {_difference(truth, 1, 3, '')}"
    if hacks["ours"] == hacks["theirs"] == 0:
        return f"in {label}, where nothing was hacked, ends {changed} ({seeds})"
    rates = f"{hacks['ours']:.1%} of completions, not {hacks['theirs']:.1%}"
    told = hacks["p_holm"] is not None and hacks["p_holm"] < SIGNIFICANT
    word = ("less, " if hacks["mean"] < 0 else "more, ") if told else ""
    return f"in {label} hacks {word}{rates}, {_difference(hacks, 100, 1, ' points')}, {changed} ({seeds})"


def _difference(difference: Mapping[str, Any], scale: float, digits: int, unit: str) -> str:
    """A mean with its interval, and a warning where it may be chance."""
    mean = _signed(scale * difference["mean"], digits) + unit
    if difference["p_holm"] is None:
        return f"{mean} (one seed, which tells nothing from chance)"
    between = f" {_range(difference, scale, digits)}" if difference["low"] is not None else " in every seed"
    return f"{mean}{between}" + ("" if difference["p_holm"] < SIGNIFICANT else " (not told apart from chance)")


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


def tax(results: Mapping[str, Any], label: str) -> list[str]:
    """What each arm lost of the true reward where there is nothing to exploit.

    Args:
        results: As ``gaard compare`` writes them.
        label: Of a scenario.

    Returns:
        A phrase an arm; none of a scenario other than ``clean``.
    """
    if label != CLEAN:
        return []
    lost = {arm: found for arm, found in results["tax"].items() if found is not None}
    return [
        f"{arm} {_signed(x['mean'], 3)}{' ' + _range(x, 1, 3) if x['low'] is not None else ''}"
        for arm, x in lost.items()
    ]
