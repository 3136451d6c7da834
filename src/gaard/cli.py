"""The command line: ``gaard COMMAND``; each command is a few lines over the library."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentError, ArgumentParser
from rich.console import Console
from rich.table import Table

from gaard.arguments import in_one_line, parse_settings, plain_parser, settings_parser
from gaard.errors import ConfigError, GaardError
from gaard.version import __version__

FAILED_RUNS, MENDABLE, INTERRUPTED = 1, 2, 130
WIDE = 200  # columns


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: Arguments; by default the process's.

    Returns:
        Exit status: 0; 1 if some runs of a comparison failed; 2 for a mistake that can be mended.
    """
    words = sys.argv[1:] if argv is None else list(argv)
    try:
        return COMMANDS[words[0]](words[1:]) if words and words[0] in COMMANDS else _overview(words)
    except GaardError as error:
        print(f"gaard: {error}", file=sys.stderr)
        return MENDABLE
    except ArgumentError as error:
        print(f"gaard: {in_one_line(error)}", file=sys.stderr)
        return MENDABLE
    except OSError as error:
        if error.filename is None:
            raise
        print(f"gaard: {error.filename}: {error.strerror}: check the path and the free space", file=sys.stderr)
        return MENDABLE
    except KeyboardInterrupt:
        how = "without --overwrite the same command goes on from the last checkpoint"
        print(f"gaard: interrupted; {how}", file=sys.stderr)
        return INTERRUPTED


def train(words: list[str]) -> int:
    """``gaard train``: one run, its measures, and the trained model."""
    parser = settings_parser("train", "Train one run; the same command goes on with an unfinished one.")
    settings = parse_settings(parser, words)
    from gaard.lab.spec import RunSpec, build_trainer
    from gaard.report.tables import measures_table

    spec = RunSpec(**settings)
    trainer = build_trainer(spec)
    trainer.train()
    folder = Path(spec.output_dir)
    trainer.save_model(folder / "model")
    measures = trainer.evaluated() if spec.eval_completions else {}
    if not trainer.accelerator.is_main_process:
        return 0
    if measures:
        _show(measures_table(f"{spec.method}, seed {spec.seed}", measures))
    # print: Rich would break a long path at the terminal's edge, and read brackets in it as markup.
    print(f"model: {folder / 'model'}   metrics: {folder / 'metrics.jsonl'}   texts: {folder / 'samples.jsonl'}")
    return 0


def compare(words: list[str]) -> int:
    """``gaard compare``: a study, or arms × seeds of one scenario; tables, results.json and the page."""
    from gaard.lab.compare import RESULTS, is_first_process
    from gaard.lab.compare import compare as run_study
    from gaard.report.page import write_page
    from gaard.report.tables import comparison_tables

    study, folder, how = _study_file(words) if _names_a_study(words) else _study_of_options(words)
    log = Console(stderr=True)
    say = partial(log.print, markup=False, highlight=False)  # an error may hold brackets
    results = run_study(study, folder, **how, announce=say)
    if not is_first_process():
        return 0
    for table in comparison_tables(results):
        _show(table)
    print(f"results: {folder / RESULTS}")
    print(f"page: {write_page(folder)}   texts: {folder}/*/*/samples.jsonl")
    failed = [run for run in results["runs"] if run["error"]]
    for run in failed:
        print(f"gaard: {run['scenario']}, {run['arm']} seed {run['seed']} failed: {run['error']}", file=sys.stderr)
    return FAILED_RUNS if failed else 0


def report(words: list[str]) -> int:
    """``gaard report``: the page of a study, finished or not."""
    parser = plain_parser("report", "Make the page of a study from its files, also while it runs.")
    parser.add_argument("folder", type=str, help="of the study, the --out of gaard compare")
    folder = Path(parser.parse_args(words).folder)
    from gaard.report.page import write_page

    print(write_page(folder))
    return 0


def _names_a_study(words: Sequence[str]) -> bool:
    """Whether a YAML file stands among the words that is no option's value."""

    def takes_a_value(word: str) -> bool:
        return word.startswith("-") and "=" not in word and word != "--overwrite"

    return any(
        word.endswith((".yaml", ".yml")) and not word.startswith("-") and not takes_a_value(previous)
        for previous, word in pairwise(["", *words])
    )


def _study_file(words: list[str]) -> tuple[Any, Path, dict[str, Any]]:
    """``gaard compare STUDY.yaml``: the study, its folder and how it is carried out."""
    from gaard.lab.study import read_study

    parser = plain_parser("compare", "Run a study; the same command goes on with an unfinished one.")
    parser.add_argument("study", type=str, help="YAML file with scenarios, arms, seeds and settings")
    parser.add_argument("--out", type=str | None, default=None, help="folder of the study; default: runs/NAME")
    parser.add_argument("--overwrite", action="store_true", help="delete the runs that are there and start again")
    _add_engine(parser)
    arguments = parser.parse_args(words)
    folder = Path(arguments.out or Path("runs") / Path(arguments.study).stem)
    study = read_study(arguments.study)
    study = replace(study, settings={**study.settings, "overwrite": arguments.overwrite})
    return study, folder, {"jobs": arguments.jobs, "engine": arguments.engine}


def _study_of_options(words: list[str]) -> tuple[Any, Path, dict[str, Any]]:
    """``gaard compare --arms …``: one scenario, or a world that the settings state."""
    from gaard.lab.study import study_of_settings

    parser = settings_parser("compare", "Run arms × seeds; the same command goes on with an unfinished comparison.")
    parser.set_defaults(output_dir="runs/compare")
    parser.add_argument("--arms", type=str, default="ppo,gaa", help="names (gaard arms), separated by commas")
    parser.add_argument("--seeds", type=int, default=3, help="how many seeds, counted from the setting 'seed'")
    _add_engine(parser)
    parser.add_argument("--out", type=str | None, default=None, help="folder of the comparison; default: output_dir")
    settings = parse_settings(parser, words)
    how = {key: settings.pop(key) for key in ("jobs", "engine")}
    arms, seeds, out = (settings.pop(key) for key in ("arms", "seeds", "out"))
    if seeds < 1:
        raise ConfigError(f"seeds={seeds} must be at least 1")
    folder, first = Path(out or settings["output_dir"]), settings["seed"]
    names = [arm.strip() for arm in arms.split(",") if arm.strip()]
    return study_of_settings(settings, names, range(first, first + seeds)), folder, how


def _add_engine(parser: ArgumentParser) -> None:
    """How many runs at once, and where."""
    parser.add_argument("--jobs", type=int, default=1, help="how many runs at once, each with its share of the cores")
    parser.add_argument("--engine", type=str, default="processes", help="where: processes (this machine), or ray")


def arms(words: list[str]) -> int:
    """``gaard arms``: what a comparison can compare."""
    plain_parser("arms", "Arms that compare knows by name (--arms NAME,…).").parse_args(words)
    from gaard.lab.arms import ARMS
    from gaard.report.tables import arms_table

    _show(arms_table(ARMS.values()))
    return 0


def coefficients(words: list[str]) -> int:
    """``gaard coefficients``: the two surfaces of G7 and G8, as a page."""
    parser = plain_parser("coefficients", "Draw the surfaces a(σ, η) and b(σ, η) of G7 and G8.")
    parser.add_argument("--out", type=str, default="figures", help="folder of the page")
    arguments = parser.parse_args(words)
    from gaard.report.page import write_coefficients

    print(write_coefficients(Path(arguments.out)))
    return 0


def models(words: list[str]) -> int:
    """``gaard models list | fetch NAME``."""
    parser = plain_parser("models", "Models that gaard knows by name.")
    parser.add_argument("action", choices=["list", "fetch"], help="what to do")
    parser.add_argument("name", nargs="?", type=str, help="alias, or any model name, to fetch")
    arguments = parser.parse_args(words)
    from gaard.policy.sources import fetch, list_models
    from gaard.report.tables import models_table

    if arguments.action == "list":
        _show(models_table(list_models()))
        return 0
    if arguments.name is None:
        raise ConfigError("gaard models fetch: name a model, such as smollm2-135m (gaard models list)")
    print(f"{arguments.name}: {fetch(arguments.name)}")
    return 0


def scenarios(words: list[str]) -> int:
    """``gaard scenarios [NAME]``: worlds with a proxy, a truth and a known hack."""
    parser = plain_parser("scenarios", "Worlds that train and compare know by name (--scenario NAME).")
    parser.add_argument("name", nargs="?", type=str, help="one scenario, or path/to/file.py, in full")
    name = parser.parse_args(words).name
    from gaard.lab.scenarios import SCENARIOS, find_scenario
    from gaard.report.tables import scenario_table, scenarios_table

    if name is None:
        _show(scenarios_table([build() for build in SCENARIOS.values()]))
    else:
        _show(scenario_table(find_scenario(name)))
    return 0


COMMANDS = {
    "train": train,
    "compare": compare,
    "report": report,
    "scenarios": scenarios,
    "arms": arms,
    "coefficients": coefficients,
    "models": models,
}


def _overview(words: list[str]) -> int:
    """``gaard``, ``gaard --help``, ``gaard --version``, or a command that does not exist."""
    parser = ArgumentParser(
        prog="gaard", description="Reinforcement learning that keeps away from reward hacking.", exit_on_error=False
    )
    parser.add_argument("--version", action="version", version=f"gaard {__version__}")
    lines = [f"  {name:<14}{str(command.__doc__).splitlines()[0]}" for name, command in COMMANDS.items()]
    parser.epilog = "commands (gaard COMMAND --help): " + ", ".join(COMMANDS)
    if words and not words[0].startswith("-"):
        from gaard.training.config import suggest

        raise ConfigError(f"command {words[0]!r} is not known: {suggest(words[0], COMMANDS)}")
    if words:
        parser.parse_args(words)
    print(f"gaard {__version__}: reinforcement learning that keeps away from reward hacking\n")
    print("\n".join(line.replace("``", "") for line in lines))
    return 0


def _show(table: Table) -> None:
    """Print a table; into a file or a pipe as wide as it is, where 80 columns would cut its numbers off."""
    Console(width=None if sys.stdout.isatty() else WIDE).print(table)
