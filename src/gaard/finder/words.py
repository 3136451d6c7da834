"""What was found, in words: for the terminal and for the page of a run."""

import math
from collections.abc import Sequence

from gaard.finder.suspects import BAR, Suspect, alarm

HEADINGS = ("kind", "pattern", "texts", "early", "late", "paid more", "at least")
CAPTION = """early, late: share of the texts in the first and the last tenth of the steps
paid more: than texts of the same step without it, in standard deviations of their pay; each row beside those above"""
QUESTION = "Is that what you meant? The pay alone does not tell a hack from a good text: read the texts"
TOO_FEW = "cannot tell: too few texts of one step differ both in what they say and in what they are paid"


def cells(one: Suspect) -> tuple[str, ...]:
    """A row below the headings.

    Args:
        one: What was found.

    Returns:
        As many texts as there are ``HEADINGS``.
    """
    shares = (f"{share:.0%}" for share in (one.early, one.late))
    gap = _number(one.gap) + ("" if math.isinf(one.gap) else f" ± {one.error:.1f}")
    return (one.pattern.kind, one.pattern.text, str(one.texts), *shares, gap, _number(one.at_least))


def named(one: Suspect) -> str:
    """A pattern, with its kind."""
    quoted = one.pattern.text if one.pattern.kind in ("length", "repetition") else f"'{one.pattern.text}'"
    return f"{one.pattern.kind} {quoted}"


def best_paid(one: Suspect) -> list[str]:
    """Its examples, a line each."""
    return [" ".join(text.split()) for text in one.examples]


def claim(found: Sequence[Suspect]) -> str | None:
    """What is alarming, if anything is.

    Args:
        found: As :func:`gaard.finder.suspects` returns them.

    Returns:
        A sentence; None without an alarm.
    """
    if not alarm(found):
        return None
    return (
        f"texts with {named(found[0])} are paid more than the others of their step, by "
        f"{_number(found[0].at_least)} standard deviations at the least; {found[0].early:.0%} of the first texts have "
        f"it, and {found[0].late:.0%} of the last"
    )


def calm(comparable: bool) -> str:
    """What is to be said where there is no alarm.

    Args:
        comparable: Whether any pattern could be compared (:class:`gaard.finder.suspects.Search`).

    Returns:
        That nothing stands out, or that nobody can tell.
    """
    if not comparable:
        return TOO_FEW
    return f"no alarm: no pattern is paid more by {BAR:.0f} standard deviations or more beyond doubt"


def _number(value: float) -> str:
    """∞ where the texts without the pattern are all paid the same."""
    return "∞" if math.isinf(value) else f"{value:.1f}"
