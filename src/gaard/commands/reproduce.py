"""``gaard reproduce RUN``: a run made again from its record, and compared with it."""

from pathlib import Path

from gaard.arguments import plain_parser
from gaard.commands.terminal import existing_folder

SUMMARY = "train a run again from its record, and compare"
OTHER = 1
OF_REWARDS = ("trains on", "was meant", "judge", "prompts")  # long; the settings name them


def main(words: list[str]) -> int:
    """Train again and say whether it came out the same.

    Args:
        words: Behind ``gaard reproduce``.

    Returns:
        0 if every number of every step and of what was measured after them is the same, else 1.

    Raises:
        GaardError: For a folder that holds no such run, and as a run does.
    """
    parser = plain_parser("reproduce", "Train a run again from its run.json, as far as it went, and compare metrics.")
    parser.add_argument("folder", type=str, help="of the run, the output_dir of gaard train")
    parser.add_argument("--out", type=str, help="folder of the new run; default: the first one's with -again behind it")
    arguments = parser.parse_args(words)
    folder = existing_folder(arguments.folder).resolve()  # "." has no name to put -again behind
    again = Path(arguments.out).expanduser() if arguments.out else folder.with_name(f"{folder.name}-again")
    from gaard.lab.reproduce import reproduce
    from gaard.report.facts import run_facts
    from gaard.report.run_files import read_run_files

    facts = run_facts(read_run_files(folder))
    print("\n".join(f"{name}: {value}" for name, value in facts["about"] if name not in OF_REWARDS))
    if facts["command"]:
        print(f"all settings that are not the default: {facts['command']}")
    print(f"again in {again}", flush=True)
    found = reproduce(folder, again)
    for heading, lines in (("what determines the run differs", found.changed), ("code or machine", found.versions)):
        if lines:
            print(f"{heading}:\n  " + "\n  ".join(lines))
    measured = "not measured after training" if found.measures is None else "and what was measured after training"
    if found.same:
        print(f"the same: all numbers of {found.steps} steps, {measured}")
        return 0
    if found.first is not None:
        print(f"another run from step {found.first} on; the largest relative difference: {_words(found.largest)}")
        print(f"the first: {found.where}")
        if not found.changed and not found.versions:
            print("no recorded fact differs: what is not recorded does, such as code that a reward imports")
    if found.measures is not None and found.measures[1]:
        print(f"measured otherwise after training; the largest relative difference: {_words(found.measures)}")
    return OTHER


def _words(difference: tuple[float, str]) -> str:
    """A difference and of what."""
    return f"{difference[0]:.2g}, {difference[1]}"
