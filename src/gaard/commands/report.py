"""``gaard report``: the page of a study or of one run, finished or not."""

from pathlib import Path

from gaard.arguments import plain_parser
from gaard.commands.terminal import existing_folder

SUMMARY = "make the page of a run or a comparison, also while it trains"


def main(words: list[str]) -> int:
    """Write the page, once or until there is nothing more to come.

    Args:
        words: What stands behind ``gaard report``.

    Returns:
        Exit status 0.
    """
    parser = plain_parser("report", "Make the page of a study or of one run from its files, also while it trains.")
    parser.add_argument("folder", type=str, help="of the study or run: the --out of gaard compare, or output_dir")
    parser.add_argument(
        "--watch", action="store_true", help="write it again every few seconds until all is done; it reloads itself"
    )
    parser.add_argument("--out", metavar="FILE", help="the page; default: report.html in the folder")
    arguments = parser.parse_args(words)
    folder = existing_folder(arguments.folder)
    from gaard.report.page import PAGE, watch_page, write_page

    path = Path(arguments.out).expanduser() if arguments.out else folder / PAGE
    if not arguments.watch:
        print(write_page(folder, path=path))
        return 0
    # At once, so that it can be opened while the command goes on.
    print(f"{path} is written again every few seconds until all is done; Ctrl-C stops that", flush=True)
    print(f"{folder}: {watch_page(folder, path=path)}")
    return 0
