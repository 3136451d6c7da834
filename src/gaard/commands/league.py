"""``gaard league``: arms in every scenario that needs no network, and how each stands over all of them."""

import argparse
from dataclasses import replace
from pathlib import Path

from gaard.arguments import plain_parser
from gaard.commands.comparing import add_engine, carry_out, count, names

SUMMARY = "train arms in every scenario that needs no network, and rank them by true reward"
EXAMPLES = """examples:
  gaard league --arms mine.py --short --steps 2 --seeds 1
      does a method of my own run everywhere? a minute or two
  gaard league --arms mine.py --short --jobs 2
      how does it stand? six scenarios, three seeds, half an hour on two cores
  gaard league --arms mine.py,fold,gaa-expected --seeds 3 --jobs 8 --out runs/league
  gaard league --seeds 10 --jobs 64 --engine ray

gaard scenarios and gaard arms list names; docs/league.md says what is ranked."""


def main(words: list[str]) -> int:
    """Hold a league.

    Args:
        words: Behind ``gaard league``.

    Returns:
        0; 1 if some runs failed.

    Raises:
        GaardError: For a mistake that can be mended.
    """
    about = "Run arms, PPO and honest training; the same command goes on with an unfinished league."
    parser = plain_parser("league", about, "[--OPTION VALUE ...]", EXAMPLES)
    parser.add_argument("--arms", metavar="NAME,…", help="names, or Python files of your own; default: all, short 3")
    parser.add_argument("--scenarios", metavar="NAME,…", help="default: all that need no network, short 6")
    parser.add_argument("--seeds", metavar="N", type=count, help="how many, counted from 0; default: 3")
    parser.add_argument("--out", metavar="FOLDER", help="default: runs/league, or runs/league-short, and -N-steps")
    parser.add_argument("--overwrite", action="store_true", help="delete the runs of other settings that are there")
    parser.add_argument("--short", action="store_true", help="three arms in six scenarios, where none are named")
    parser.add_argument("--steps", metavar="N", type=count, help="of each run; default: the scenario's")
    add_engine(parser)
    parser.add_argument("--help", "-h", action="help", help="this text")
    arguments = parser.parse_args(words)
    from gaard.lab.league import league_study
    from gaard.report.tables import standings_tables

    arms, scenarios, seeds = names(arguments.arms), names(arguments.scenarios), range(arguments.seeds or 3)
    study = league_study(arms, scenarios, seeds, short=arguments.short, steps=arguments.steps)
    study = replace(study, settings={**study.settings, "overwrite": arguments.overwrite})
    folder = Path(arguments.out or _usual_folder(arguments)).expanduser()
    return carry_out(study, folder, arguments, standings_tables)


def _usual_folder(arguments: argparse.Namespace) -> str:
    """Of a league that names none: runs of other lengths are other runs, and have a folder of their own."""
    steps = arguments.steps
    return f"runs/league{'-short' * arguments.short}{'' if steps is None else f'-{steps}-steps'}"
