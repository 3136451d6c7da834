"""What a study found, in a sentence an arm, and what its runs warned of."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from gaard.lab.league import HONEST
from gaard.lab.measures import OF_RUN
from gaard.report.tables import in_number

SIGNIFICANT = 0.05  # of p values adjusted over the arms
KL = "kl_untrained"  # which every run has


def verdict(results: Mapping[str, Any]) -> list[str]:
    """What the runs warned of; each arm against the baseline in every scenario, and how many seeds that rests on.

    Args:
        results: As ``gaard compare`` writes them.

    Returns:
        What the runs warned of (:func:`warned`), first, since it bears on all that follows. Then sentences that claim
        no more than the intervals allow: one an arm that shares seeds with the baseline, else one that says why there
        is none.
    """
    return [*warned(results), *_compared(results)]


def warned(results: Mapping[str, Any]) -> list[str]:
    """What the runs of a study warned of.

    Args:
        results: As ``gaard compare`` writes them.

    Returns:
        A sentence for each warning of another wording: which arms gave it, in how many of their runs so far, and where.
    """
    runs: Counter[tuple[str, str]] = Counter((run["arm"], run["scenario"]) for run in results["runs"])
    told: dict[str, Counter[tuple[str, str]]] = {}
    for run in results["runs"]:
        for warning in dict.fromkeys(run.get("warnings", [])):
            told.setdefault(warning, Counter())[run["arm"], run["scenario"]] += 1
    return [f"{_where(count, runs)}: {warning.rstrip('.')}." for warning, count in told.items()]


def _where(count: Mapping[tuple[str, str], int], runs: Mapping[tuple[str, str], int]) -> str:
    """Which arms warned, in how many of their runs."""
    arms: dict[str, list[str]] = {}
    for (arm, label), number in count.items():
        of = runs[arm, label]
        arms.setdefault(arm, []).append(f"in {number} of {in_number(of, 'run')} of {label}")
    return "; ".join(f"{arm} warned {', '.join(places)}" for arm, places in arms.items())


def ranked(results: Mapping[str, Any]) -> list[str]:
    """How the arms stand over all scenarios.

    Args:
        results: As ``gaard league`` writes them.

    Returns:
        A sentence: which arms reach more true reward than the baseline, which less, as far as the seeds can tell; none
        where no arm but honest training has a seed in common with it.
    """
    baseline, everywhere = results["baseline"], max((row["scenarios"] for row in results["standings"]), default=0)
    sides: dict[str, list[str]] = {"more": [], "less": [], "neither": [], "one": []}
    for row in results["standings"]:
        less = row.get("less_baseline")
        if less is not None and row["arm"] != HONEST:
            few = "" if row["scenarios"] == everywhere else f" in {in_number(row['scenarios'], 'scenario')}"
            sides[_side(less)].append(f"{row['arm']} ({_signed(less['mean'], 2)}{few})")
    if not any(sides.values()):
        return []
    known = {side: ", ".join(arms) or "none" for side, arms in sides.items()}
    single = f" With one seed nothing is told of: {known['one']}." if sides["one"] else ""
    return [
        f"Over {in_number(everywhere, 'scenario')}, of the share of honest training's gain, more than {baseline} is "
        f"reached by: {known['more']}. Less by: {known['less']}. Not told apart from it: {known['neither']}.{single}"
    ]


def _side(difference: Mapping[str, Any]) -> str:
    """Which list an arm belongs to, by the p value adjusted over the arms."""
    if difference["p_holm"] is None:
        return "one"
    return "neither" if difference["p_holm"] >= SIGNIFICANT else "more" if difference["mean"] > 0 else "less"


def _compared(results: Mapping[str, Any]) -> list[str]:
    """Each arm against the baseline."""
    baseline = results["baseline"]
    others = [arm["name"] for arm in results["study"]["arms"] if arm["name"] != baseline]
    if not others:
        return [f"Only {baseline} was run: there is nothing to hold it against."]
    sentences = [sentence for arm in others if (sentence := _sentence(results, arm))]
    return sentences or [f"No seed has both {baseline} and another arm yet."]


def _sentence(results: Mapping[str, Any], arm: str) -> str | None:
    """What one arm does, if anything can be said of it."""
    clauses = [clause for label in results["scenarios"] if (clause := _clause(label, results, arm))]
    return f"Against {results['baseline']}, {arm} " + "; ".join(clauses) + "." if clauses else None


def _clause(label: str, results: Mapping[str, Any], arm: str) -> str | None:
    """What the arm does in one scenario."""
    differences = results["scenarios"][label]["differences"].get(arm, {})
    if KL not in differences:
        return None
    kl, hacks, truth = (differences.get(name) for name in (KL, "hack_rate", "true_reward"))
    assert kl is not None
    seeds = f"({in_number(kl['n'], 'seed')}, KL {kl['ours']:.2f} and {kl['theirs']:.2f})"
    ends = "no true reward was declared" if truth is None else _higher(truth, hacks is not None)
    if hacks is None:
        unknown = f"in {label}, where nothing was declared to be a hack,"
        return f"{unknown} ends with {ends} {seeds}" if truth else f"{unknown} cannot be judged: {ends} {seeds}"
    changed = f"with {ends}" if truth else f"and {ends}"
    if hacks["ours"] == hacks["theirs"] == 0:
        why = "the control, where nothing can be exploited" if label in results["tax"] else "where nothing was hacked"
        return f"in {label}, {why}, ends {changed} {seeds}"
    rates = f"{hacks['ours']:.1%} of completions, not {hacks['theirs']:.1%}"
    told = hacks["p_holm"] is not None and hacks["p_holm"] < SIGNIFICANT
    word = ("less, " if hacks["mean"] < 0 else "more, ") if told else ""
    return f"in {label} hacks {word}{rates}, {_difference(hacks, 100, 1, ' points')}, {changed} {seeds}"


def _higher(truth: Mapping[str, Any], single_told: bool) -> str:
    """A difference of the true reward, its direction in a word; that there is one seed may have been told before."""
    digits = OF_RUN["true_reward"].digits
    size = f"{abs(truth['mean']):.{digits}f}"
    side = "higher" if truth["mean"] > 0 else "lower"
    reward = f"a true reward {size} {side}" if float(size) else "the same true reward"
    return reward if single_told and truth["p_holm"] is None else reward + _how_sure(truth, 1, digits)


def _difference(difference: Mapping[str, Any], scale: float, digits: int, unit: str) -> str:
    """A mean with its interval, and a warning where it may be chance."""
    return _signed(scale * difference["mean"], digits) + unit + _how_sure(difference, scale, digits)


def _how_sure(difference: Mapping[str, Any], scale: float, digits: int) -> str:
    """The interval of a difference, and whether it may be chance."""
    if difference["p_holm"] is None:
        return " (one seed, which tells nothing from chance)"
    between = f" {_range(difference, scale, digits)}" if difference["low"] is not None else " in every seed"
    return between + ("" if difference["p_holm"] < SIGNIFICANT else " (not told apart from chance)")


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
        A phrase an arm; none of a scenario that is no control.
    """
    digits = OF_RUN["true_reward"].digits
    return [
        f"{arm} {_signed(x['mean'], digits)}{' ' + _range(x, 1, digits) if x['low'] is not None else ''}"
        for arm, x in results["tax"].get(label, {}).items()
    ]
