"""The command line: ``gaard COMMAND``; each command is a few lines over the library."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gaard.commands import find
from gaard.errors import ConfigError, GaardError
from gaard.version import __version__

if TYPE_CHECKING:
    from rich.table import Table

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
    from gaard.arguments import check_options, given_settings, settings_parser

    parser = settings_parser("train", "Train one run; the same command goes on with an unfinished one.")
    check_options(words, ())
    settings = given_settings(parser.parse_args(words))
    from gaard.lab.scenarios import with_scenario
    from gaard.lab.spec import RunSpec, build_trainer
    from gaard.report.tables import measures_table

    spec = RunSpec(**_with_output_dir(with_scenario(settings)))
    trainer = build_trainer(spec)
    trainer.train()
    folder = Path(spec.output_dir)
    trainer.save_model(folder / "model")
    measures = trainer.evaluated() if spec.eval_completions else {}
    if not trainer.accelerator.is_main_process:
        return 0
    if measures:
        _show(measures_table(f"{spec.method.name}, seed {spec.seed}", measures))
    # print: Rich would break a long path at the terminal's edge, and read brackets in it as markup.
    print(f"model: {folder / 'model'}   metrics: {folder / 'metrics.jsonl'}   texts: {folder / 'samples.jsonl'}")
    return 0


def _with_output_dir(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings that say where the run goes."""
    if settings.get("output_dir") is None:
        raise ConfigError("output_dir is missing: say where the run goes, such as --output_dir runs/mine")
    return settings


def compare(words: list[str]) -> int:
    """``gaard compare``: a study, or arms × seeds of one scenario; tables, results.json and a page."""
    from gaard.arguments import check_options, settings_parser

    parser = settings_parser("compare", "Run arms × seeds; the same command goes on with an unfinished study.")
    _add_study(parser)
    check_options(words, STUDY_OPTIONS)
    arguments = parser.parse_args(words)
    study, folder = _study_of_file(arguments) if arguments.study else _study_of_options(arguments)
    from rich.console import Console

    from gaard.lab.compare import RESULTS, is_first_process
    from gaard.lab.compare import compare as run_study
    from gaard.report.page import write_page
    from gaard.report.tables import comparison_tables

    log = Console(stderr=True)
    say = partial(log.print, markup=False, highlight=False)  # an error may hold brackets
    results = run_study(study, folder, jobs=arguments.jobs, engine=arguments.engine, announce=say)
    if not is_first_process():
        return 0
    for table in comparison_tables(results):
        _show(table)
    print(f"results: {folder / RESULTS}   page: {write_page(folder)}   texts: {folder}/*/*/samples.jsonl")
    failed = [run for run in results["runs"] if run["error"]]
    for run in failed:
        print(f"gaard: {run['scenario']}, {run['arm']} seed {run['seed']} failed: {run['error']}", file=sys.stderr)
    return FAILED_RUNS if failed else 0


STUDY_OPTIONS = ("arms", "seeds", "baseline", "jobs", "engine", "out")


def _add_study(parser: argparse.ArgumentParser) -> None:
    """What is compared, how often, where, and how many runs at once."""
    parser.add_argument("study", nargs="?", help="YAML file with scenarios, arms, seeds and settings (docs/lab.md)")
    parser.add_argument("--arms", help=f"names (gaard arms), separated by commas; default: {_default_arms()}")
    parser.add_argument("--seeds", type=_count, help="how many seeds, counted from the setting 'seed'; default: 3")
    parser.add_argument("--baseline", help="the arm that the others are compared with; default: the first")
    parser.add_argument("--out", help="folder of the study; default: runs/NAME of the file, or runs/compare")
    parser.add_argument("--jobs", type=_count, default=1, help="runs at once, each with its share of the cores")
    parser.add_argument("--engine", default="processes", help="where: processes (this machine), or ray")


def _default_arms() -> str:
    """PPO and the safeguard to try first."""
    from gaard.methods import PPO, RECOMMENDED

    return f"{PPO.name},{RECOMMENDED}"


def _count(text: str) -> int:
    """A whole number from 1 on."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number, 1 or more")
    return int(text)


def _study_of_file(arguments: argparse.Namespace) -> tuple[Any, Path]:
    """``gaard compare STUDY.yaml``: the study and its folder."""
    from gaard.arguments import given_settings
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
    from gaard.arguments import given_settings
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
    chosen = _default_arms() if arguments.arms is None else arguments.arms
    names = [arm.strip() for arm in chosen.split(",") if arm.strip()]
    return study_of_settings(settings, names, range(first, first + count), arguments.baseline), folder


def report(words: list[str]) -> int:
    """``gaard report``: the page of a study, finished or not."""
    from gaard.arguments import plain_parser

    parser = plain_parser("report", "Make the page of a study from its files, also while it runs.")
    parser.add_argument("folder", type=str, help="of the study, the --out of gaard compare")
    folder = Path(parser.parse_args(words).folder).expanduser()
    from gaard.report.page import write_page

    print(write_page(folder))
    return 0


def arms(words: list[str]) -> int:
    """``gaard arms``: what a comparison can compare."""
    from gaard.arguments import plain_parser

    plain_parser("arms", "Arms that compare knows by name (--arms NAME,…).").parse_args(words)
    from gaard.lab.arms import ARMS
    from gaard.report.tables import arms_table

    _show(arms_table(ARMS.values()))
    return 0


def coefficients(words: list[str]) -> int:
    """``gaard coefficients``: the two surfaces of G7 and G8, as a page."""
    from gaard.arguments import plain_parser

    parser = plain_parser("coefficients", "Draw the surfaces a(σ, η) and b(σ, η) of G7 and G8.")
    parser.add_argument("--out", default="figures", help="folder of the page")
    arguments = parser.parse_args(words)
    from gaard.report.page import write_coefficients

    print(write_coefficients(Path(arguments.out).expanduser()))
    return 0


def models(words: list[str]) -> int:
    """``gaard models list | fetch NAME``: the models that gaard knows by name."""
    from gaard.arguments import plain_parser

    parser = plain_parser("models", "Models that gaard knows by name.")
    parser.add_argument("action", choices=["list", "fetch"], help="what to do")
    parser.add_argument("name", nargs="?", type=str, help="alias, or any model name, to fetch")
    arguments = parser.parse_args(words)
    from gaard.models.fetching import fetch, list_models
    from gaard.report.tables import models_table

    if arguments.action == "list":
        _show(models_table(list_models()))
        return 0
    if arguments.name is None:
        raise ConfigError("gaard models fetch: name a model, such as smollm2-135m (gaard models list)")
    print(f"{arguments.name}: {fetch(arguments.name)}")
    return 0


def scenarios(words: list[str]) -> int:
    """``gaard scenarios [NAME]``: each a proxy, a truth and a known hack."""
    from gaard.arguments import plain_parser

    parser = plain_parser("scenarios", "Scenarios that train and compare know by name (--scenario NAME).")
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
    "find": find.main,
    "scenarios": scenarios,
    "arms": arms,
    "coefficients": coefficients,
    "models": models,
}


def _overview(words: list[str]) -> int:
    """``gaard``, ``gaard --help``, ``gaard --version``, or a command that does not exist."""
    if words and words[0] == "--version":
        print(f"gaard {__version__}")
        return 0
    if words and words[0] not in ("-h", "--help"):
        from gaard.settings import suggest

        raise ConfigError(f"command {words[0]!r} is not known: {suggest(words[0], COMMANDS)}")
    heads = [str(command.__doc__).splitlines()[0] for command in COMMANDS.values()]
    lines = [head.replace("``", "").partition(": ") for head in heads]
    print(f"gaard {__version__}: reinforcement learning that keeps away from reward hacking\n")
    print("\n".join(f"  {name:<32}{what}" for name, _, what in lines))
    print("\ngaard COMMAND --help tells what a command takes")
    return 0


def _show(table: "Table") -> None:
    """Print a table; into a file or a pipe as wide as it is, where 80 columns would cut its numbers off."""
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else WIDE).print(table)
