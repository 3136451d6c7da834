"""``gaard reproduce RUN``: a run made again from its record, and compared with it."""

from pathlib import Path

from gaard.arguments import plain_parser

SUMMARY = "train a run again from its record, and compare"
OTHER = 1


def main(words: list[str]) -> int:
    """Train again and say whether it came out the same.

    Args:
        words: Behind ``gaard reproduce``.

    Returns:
        0 if every number of every step is the same, else 1.

    Raises:
        GaardError: For a folder that holds no such run, and as a run does.
    """
    parser = plain_parser("reproduce", "Train a run again from its run.json, as far as it went, and compare metrics.")
    parser.add_argument("folder", type=str, help="of the run, the output_dir of gaard train")
    parser.add_argument("--out", type=str, help="folder of the new run; default: the first one's with -again behind it")
    arguments = parser.parse_args(words)
    folder = Path(arguments.folder).expanduser()
    again = Path(arguments.out).expanduser() if arguments.out else folder.with_name(f"{folder.name}-again")
    from gaard.lab.reproduce import reproduce

    found = reproduce(folder, again)
    for heading, lines in (("what determines the run differs", found.changed), ("code or machine", found.versions)):
        if lines:
            print(f"{heading}:\n  " + "\n  ".join(lines))
    if found.same:
        print(f"the same: all numbers of {found.steps} steps")
        return 0
    print(f"another run from step {found.first} on; the largest relative difference: {found.largest[0]:.2g}, ", end="")
    print(f"{found.largest[1]}")
    return OTHER
