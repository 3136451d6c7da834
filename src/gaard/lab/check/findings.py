"""What a look before training finds."""

from dataclasses import dataclass
from typing import Literal

Severity = Literal["problem", "note", "fine"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        about: What was looked at, such as ``sparse``.
        severity: ``problem``: training would fail, learn nothing, or learn something else. ``note``: worth knowing.
        seen: What was seen, with numbers.
        remedy: What to do; empty where there is nothing to do.
    """

    about: str
    severity: Severity
    seen: str
    remedy: str = ""


def share(part: int, whole: int) -> str:
    """A part of a whole in words, such as ``13 of 256 (5%)``."""
    percent = 100 * part / whole
    exact = 0 < percent < 1 or 99 < percent < 100
    return f"{part} of {whole} ({percent:.{1 if exact else 0}f}%)"
