"""What was found, as the terminal and the page of a run say it."""

import math
from collections.abc import Sequence

from gaard.finder.suspects import BAR, Suspect, alarm

HEADINGS = ("kind", "pattern", "texts", "early", "late", "paid more", "at least")
CAPTION = """early, late: share of the texts in the first and the last tenth of the steps
paid more: than texts of the same step without it, in standard deviations of their pay; each row beside those above"""
MEANT = "Is that what you meant? The pay alone does not tell a hack from a good text: read the texts"


def cells(one: Suspect) -> list[str]:
    """A row below ``HEADINGS``.

    Args:
        one: A pattern.

    Returns:
        What stands in it; ∞ where the texts without the pattern are all paid the same.
    """
    gap = _number(one.gap) + ("" if math.isinf(one.gap) else f" ± {one.error:.1f}")
    shares = (f"{share:.0%}" for share in (one.early, one.late))
    return [one.pattern.kind, one.pattern.text, str(one.texts), *shares, gap, _number(one.at_least)]


def named(one: Suspect) -> str:
    """A pattern in words, such as ``word 'story'``."""
    quoted = one.pattern.text if one.pattern.kind in ("length", "repetition") else f"'{one.pattern.text}'"
    return f"{one.pattern.kind} {quoted}"


def outstanding(found: Sequence[Suspect]) -> str | None:
    """The alarm in a sentence.

    Args:
        found: What :func:`gaard.finder.suspects` returned.

    Returns:
        None where nothing stands out so far.
    """
    if not alarm(found):
        return None
    first = found[0]
    return (
        f"texts with {named(first)} are paid more than the others of their step, by {_number(first.at_least)} standard "
        "deviations at the least"
    )


def calm() -> str:
    """What is said where there is no alarm."""
    return f"no alarm: no pattern is paid more by {BAR:.0f} standard deviations or more beyond doubt"


def _number(value: float) -> str:
    return "∞" if math.isinf(value) else f"{value:.1f}"
