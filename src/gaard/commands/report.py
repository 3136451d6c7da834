"""``gaard report``: the page of a study, finished or not."""

from pathlib import Path

from gaard.arguments import plain_parser

SUMMARY = "make the page of a comparison, also while it runs"


def main(words: list[str]) -> int:
    """Make the page and print where it is.

    Args:
        words: Behind ``gaard report``.

    Returns:
        0.
    """
    parser = plain_parser("report", "Make the page of a study from its files, also while it runs.")
    parser.add_argument("folder", type=str, help="of the study, the --out of gaard compare")
    folder = Path(parser.parse_args(words).folder).expanduser()
    from gaard.report.page import write_page

    print(write_page(folder))
    return 0
