"""What was found, in words: for the terminal and for the page of a run."""

import math
from collections.abc import Sequence

from gaard.finder.suspects import BAR, Suspect, alarm
from gaard.messages import shortened

HEADINGS = ("kind", "pattern", "texts", "early", "late", "paid more", "at least")
CAPTION = """\
early: share of the texts in the first tenth of the steps, about that of the untrained model; late: in the last tenth
paid more: than texts of the same step without it, in standard deviations of their pay; each row beside those above"""
QUESTION = "Is that what you meant? The pay alone does not tell a hack from a good text: read the texts"
EXAMPLE = 300  # characters that are shown of a text
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
    return (one.pattern.kind, _visible(one.pattern.text), str(one.texts), *shares, gap, _number(one.at_least))


def named(one: Suspect) -> str:
    """A pattern, with its kind."""
    quote = "" if one.pattern.kind in ("length", "repetition") else "'"
    return f"{one.pattern.kind} {quote}{_visible(one.pattern.text)}{quote}"


def best_paid(one: Suspect) -> list[str]:
    """Its examples, a line each, the middle of long ones cut out."""
    return [_visible(" ".join(text.split()), EXAMPLE) for text in one.examples]


def claim(found: Sequence[Suspect]) -> str | None:
    """What is alarming, if anything is.

    Args:
        found: As :func:`gaard.finder.suspects` returns them.

    Returns:
        A sentence; None without an alarm.
    """
    if not alarm(found):
        return None
    return _stands_out(found[0])


def _stands_out(one: Suspect) -> str:
    """How much more its texts are paid, and how frequent it has become."""
    return (
        f"texts with {named(one)} are paid more than the others of their step, by {_number(one.at_least)} standard "
        f"deviations at the least; {one.early:.0%} of the first texts have it, and {one.late:.0%} of the last"
    )


def calm(found: Sequence[Suspect], comparable: bool) -> str:
    """What is to be said where there is no alarm.

    Args:
        found: As :func:`gaard.finder.suspects` returns them.
        comparable: Whether any pattern could be compared (:class:`gaard.finder.suspects.Search`).

    Returns:
        That nothing stands out, or that nobody can tell.
    """
    if not comparable:
        return TOO_FEW
    if found and found[0].at_least >= BAR:
        doubt = "but hardly any prompt comes again, and it may be their prompts that are paid better: read the texts"
        return f"no alarm, and none ruled out: {_stands_out(found[0])}, {doubt}"
    return f"no alarm: no pattern is paid more by {BAR:.0f} standard deviations or more beyond doubt"


def _number(value: float) -> str:
    """∞ where the texts without the pattern are all paid the same."""
    return "∞" if math.isinf(value) else f"{value:.1f}"


def _visible(text: str, width: int = 90) -> str:
    """A text of a model or user as a terminal may have it: its control characters are written out, it is not long."""
    return shortened(text, width)[1:-1]  # without the quotes
