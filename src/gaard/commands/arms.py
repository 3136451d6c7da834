"""``gaard arms``: what a comparison can compare."""

from gaard.arguments import plain_parser
from gaard.commands.terminal import show

SUMMARY = "list the arms that compare knows by name"


def main(words: list[str]) -> int:
    """List the arms.

    Args:
        words: Behind ``gaard arms``.

    Returns:
        0.
    """
    plain_parser("arms", "Arms that compare knows by name (--arms NAME,…).").parse_args(words)
    from gaard.lab.arms import ARMS
    from gaard.report.tables import arms_table

    show(arms_table(ARMS.values()))
    return 0
