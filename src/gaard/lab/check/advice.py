"""Which method fits the rewards that were seen: one table of rules, the first that holds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gaard.lab.arms import RECOMMENDED_ARM
from gaard.lab.check.findings import Finding
from gaard.methods import GAA, PPO, RECOMMENDED, Fold, Method


@dataclass(frozen=True)
class Rule:
    """A piece of advice.

    Attributes:
        holds: Whether the findings, by what they are about, and rare success call for it.
        method: Which; None where no method helps.
        why: In a sentence or two.
    """

    holds: Callable[[Mapping[str, Finding], bool], bool]
    method: str | None
    why: str


def _problem(found: Mapping[str, Finding], *names: str) -> bool:
    """Whether one of these is a problem."""
    return any(name in found and found[name].severity == "problem" for name in names)


RULES = (
    Rule(
        lambda found, rare: _problem(found, "scores", "constant", "prompts"),
        None,
        "no method learns from such rewards: mend them first",
    ),
    Rule(
        lambda found, rare: rare,
        PPO.name,
        f"few texts are paid more than the rest. If these are good, {Fold.name!r} unlearns them, and {GAA.name!r} does "
        "where a token marks them, as in two verifiers of arithmetic",
    ),
    Rule(
        lambda found, rare: _problem(found, "length"),
        PPO.name,
        "no method here holds back a pay for length: mend the reward",
    ),
    Rule(
        lambda found, rare: _problem(found, "heavy tail"),
        RECOMMENDED,
        f"few texts are paid far more. Where a word is what pays, it refuses the word: right if that is a hack. If it "
        f"is good, {PPO.name!r}",
    ),
    Rule(
        lambda found, rare: _problem(found, "words"),
        RECOMMENDED,
        f"a word pays, and it refuses the word: right if that is a hack. If it is what you want, {PPO.name!r}",
    ),
    Rule(
        lambda found, rare: True,
        RECOMMENDED,
        f"the safeguard to try first; what it costs shows gaard compare --arms {PPO.name},{RECOMMENDED_ARM}",
    ),
)


def method(found: Mapping[str, Finding], rare: bool, chosen: Method) -> Finding:
    """Which method fits, and whether the chosen one does.

    Args:
        found: What was found so far, by what it is about.
        rare: Whether most rewards are one number and few are above it.
        chosen: The run's.

    Returns:
        A problem only if the chosen method is known to unlearn such a reward.
    """
    rule = next(rule for rule in RULES if rule.holds(found, rare))
    seen = f"{rule.method}: {rule.why}" if rule.method else rule.why
    if rare and chosen.name == Fold.name:
        return Finding("method", "problem", f"the run names {chosen.name!r}, but few succeed", seen)
    if rule.method in (None, chosen.name):
        return Finding("method", "fine", f"the run names {chosen.name!r}. {seen}")
    return Finding("method", "note", f"the run names {chosen.name!r}", f"fits better: {seen}")
