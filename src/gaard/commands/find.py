"""``gaard find``: what the reward of a run pays for, without a detector."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gaard.arguments import plain_parser
from gaard.commands.terminal import existing_folder, show

if TYPE_CHECKING:
    from rich.table import Table

    from gaard.finder import Suspect

SUMMARY = "name what a run's reward pays for, without a detector"
ABOUT = "What the reward of a run pays for: words, phrases, length, repetition that stand out."


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
    folder = existing_folder(parser.parse_args(words).folder)
    from gaard.finder import read_texts, search
    from gaard.finder.words import QUESTION, best_paid, calm, claim, named

    found, comparable = search(read_texts(folder))
    if found:
        show(_table(found))
        print(f"\ntexts with {named(found[0])}:")
        print("\n".join(f"  {text}" for text in best_paid(found[0])))
    alarming = claim(found)
    print(f"ALARM: {alarming}.\n{QUESTION}" if alarming else calm(found, comparable))
    return 0


def _table(found: Sequence["Suspect"]) -> "Table":
    """A row a pattern."""
    from rich.markup import escape
    from rich.table import Table

    from gaard.finder.words import CAPTION, HEADINGS, cells

    table = Table(caption=CAPTION)
    for heading in HEADINGS:
        table.add_column(heading, justify="left" if heading in ("kind", "pattern") else "right", overflow="fold")
    for one in found:
        table.add_row(*map(escape, cells(one)))
    return table
