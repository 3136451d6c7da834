"""``gaard find``: what the reward of a run pays for, without a detector."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gaard.arguments import plain_parser
from gaard.commands.terminal import show

if TYPE_CHECKING:
    from rich.table import Table

    from gaard.finder import Suspect

SUMMARY = "name what a run's reward pays for, without a detector"
ABOUT = "What the reward of a run pays for: words, phrases, length, repetition that stand out."
CAPTION = """early, late: share of the texts in the first and the last tenth of the steps
paid more: than texts of the same step without it, in standard deviations of their pay; each row beside those above"""


def main(words: list[str]) -> int:
    """``gaard find RUN``: what its reward pays for, and whether that looks too good.

    Args:
        words: What follows ``gaard find``.

    Returns:
        0; whether something stands out is said in words.

    Raises:
        ConfigError: If the folder holds no texts to compare.
    """
    parser = plain_parser("find", ABOUT)
    parser.add_argument("folder", type=str, help="of the run, its output_dir; it may still be training")
    folder = Path(parser.parse_args(words).folder).expanduser()
    from gaard.finder import alarm, read_texts, suspects

    found = suspects(read_texts(folder))
    if found:
        show(_table(found))
        print(f"\ntexts with {_named(found[0])}:")
        print("\n".join(f"  {' '.join(text.split())}" for text in found[0].examples))
    print(_verdict(found, alarm(found)))
    return 0


def _table(found: Sequence["Suspect"]) -> "Table":
    """A row a pattern."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(caption=CAPTION)
    for heading in ("kind", "pattern", "texts", "early", "late", "paid more", "at least"):
        table.add_column(heading, justify="left" if heading in ("kind", "pattern") else "right", overflow="fold")
    for one in found:
        shares = (f"{share:.0%}" for share in (one.early, one.late))
        figures = (str(one.texts), *shares, _gap(one), _number(one.at_least))
        table.add_row(one.pattern.kind, escape(one.pattern.text), *figures)
    return table


def _gap(one: "Suspect") -> str:
    """The gap and its error, where there is one."""
    return _number(one.gap) + ("" if math.isinf(one.gap) else f" ± {one.error:.1f}")


def _number(value: float) -> str:
    """∞ where the texts without the pattern are all paid the same."""
    return "∞" if math.isinf(value) else f"{value:.1f}"


def _named(one: "Suspect") -> str:
    """A pattern in words."""
    quoted = one.pattern.text if one.pattern.kind in ("length", "repetition") else f"'{one.pattern.text}'"
    return f"{one.pattern.kind} {quoted}"


def _verdict(found: Sequence["Suspect"], loud: bool) -> str:
    """The answer in a sentence or two."""
    from gaard.finder import BAR

    if not loud:
        return f"no alarm: no pattern is paid more by {BAR:.0f} standard deviations or more beyond doubt"
    first = found[0]
    return (
        f"ALARM: texts with {_named(first)} are paid more than the others of their step, by "
        f"{_number(first.at_least)} standard deviations at the least.\n"
        "Is that what you meant? The pay alone does not tell a hack from a good text: read the texts"
    )
