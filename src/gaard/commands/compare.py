"""``gaard compare``: a study, or arms × seeds of one scenario; tables, results.json and a page."""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from gaard.arguments import add_settings, asks_for_all, check_options, given_settings, plain_parser
from gaard.commands.comparing import add_engine, carry_out, count, names
from gaard.errors import ConfigError

SUMMARY = "train arms × seeds, in one scenario or a study, and compare them: tables and a page"
EXAMPLES = """examples:
  gaard compare --scenario capped --arms ppo,gaa-expected --seeds 3 --jobs 2 --out runs/demo
  gaard compare studies/01-main/study.yaml --jobs 2

gaard compare --help all lists every option. gaard scenarios and gaard arms list names."""
STUDY_OPTIONS = ("arms", "seeds", "baseline", "jobs", "engine", "out")
# What an arm says, what is for a single run, and --out by another name.
NOT_OF_A_STUDY = ("method", "regularizers", "trained_reward", "accept_changed_rewards", "output_dir")


def main(words: list[str]) -> int:
    """Compare.

    Args:
        words: Behind ``gaard compare``.

    Returns:
        0; 1 if some runs failed.

    Raises:
        GaardError: For a mistake that can be mended.
    """
    from gaard.training.identity import OF_HUB

    about = "Run arms × seeds; the same command goes on with an unfinished study."
    parser = plain_parser("compare", about, "[STUDY.yaml] [--OPTION VALUE ...]", EXAMPLES)
    _add_study(parser.add_argument_group("what is compared"))
    add_settings(parser, asks_for_all(words), without=(*NOT_OF_A_STUDY, *OF_HUB))
    check_options(words, STUDY_OPTIONS, "compare")
    arguments = parser.parse_args(words)
    study, folder = _study_of_file(arguments) if arguments.study else _study_of_options(arguments)
    from gaard.report.tables import comparison_tables

    return carry_out(study, folder, arguments, comparison_tables)


def _add_study(group: Any) -> None:
    """What is compared, how often, where, and how many runs at once."""
    group.add_argument("study", nargs="?", help="YAML file with scenarios, arms, seeds and settings (docs/lab.md)")
    group.add_argument("--arms", metavar="NAME,…", help=f"names (gaard arms); default: {_default_arms()}")
    group.add_argument("--seeds", metavar="N", type=count, help="how many, counted from the setting seed; default: 3")
    group.add_argument("--baseline", metavar="NAME", help="what the others are compared with; default: the first arm")
    group.add_argument("--out", metavar="FOLDER", help="of the study; default: runs/NAME of the file, or runs/compare")
    add_engine(group)


def _default_arms() -> str:
    """PPO and the safeguard to try first."""
    from gaard.lab.arms import RECOMMENDED_ARM
    from gaard.methods import PPO

    return f"{PPO.name},{RECOMMENDED_ARM}"


def _study_of_file(arguments: argparse.Namespace) -> tuple[Any, Path]:
    """``gaard compare STUDY.yaml``: the study and its folder."""
    from gaard.lab.study import read_study

    own = (key for key in ("arms", "seeds", "baseline") if vars(arguments)[key] is not None)
    beside = [*given_settings(arguments), *own]
    if other := next((key for key in beside if key != "overwrite"), None):
        raise ConfigError(f"--{other} is given beside {arguments.study}: write it into the study's file")
    path = Path(arguments.study).expanduser()
    study = read_study(path)
    name = path.parent.name if path.stem == "study" else path.stem
    folder = Path(arguments.out or Path("runs") / name).expanduser()
    return replace(study, settings={**study.settings, "overwrite": bool(arguments.overwrite)}), folder


def _study_of_options(arguments: argparse.Namespace) -> tuple[Any, Path]:
    """``gaard compare --arms …``: one scenario, or one that the settings state."""
    from gaard.lab.study import study_of_settings

    settings = given_settings(arguments)
    output_dir = settings.pop("output_dir", None)
    if arguments.out and output_dir:
        raise ConfigError(
            f"--out {arguments.out} and output_dir={output_dir!r} are two folders for one study: leave one out"
        )
    folder = Path(arguments.out or output_dir or "runs/compare").expanduser()
    first, count = settings.pop("seed", 0), arguments.seeds or 3
    if isinstance(first, bool) or not isinstance(first, int) or first < 0:
        raise ConfigError(f"seed={first!r} must be a whole number, 0 or more")
    chosen = names(_default_arms() if arguments.arms is None else arguments.arms)
    return study_of_settings(settings, chosen, range(first, first + count), arguments.baseline), folder
