"""``gaard sharpness``: the curvature of a run's saved policies, and the landscape around them."""

from gaard.arguments import plain_parser
from gaard.commands.comparing import count, names
from gaard.commands.terminal import existing_folder
from gaard.errors import ConfigError

SUMMARY = "measure how sharp a run's saved policies are, and what lies around them"
ABOUT = (
    "Measure curvature by block, and proxy, truth, hacks and KL around saved policies, into sharpness.json of each "
    "run. What is there is not measured again; the page of the run shows it."
)
EXAMPLES = """examples:
  gaard sharpness runs/first --measures lines --blocks mlp
      what lies around the last policy: a minute with the model that ships
  gaard sharpness runs/first
      every measure of it: from ten minutes to an hour, each kept as soon as it is taken
  gaard sharpness runs/first --steps 0,40,80 --measures curvature --blocks all,unembedding
  gaard report runs/first

docs/sharpness.md says what is measured."""


def main(words: list[str]) -> int:
    """Measure runs.

    Args:
        words: Behind ``gaard sharpness``.

    Returns:
        0.

    Raises:
        GaardError: For a mistake that can be mended.
    """
    parser = plain_parser("sharpness", ABOUT, "RUN [RUN ...] [--OPTION VALUE ...]", EXAMPLES)
    parser.add_argument("folders", metavar="RUN", nargs="+", help="folder of a run, its output_dir")
    parser.add_argument("--steps", metavar="N,…", help="training steps that were saved, 0 untrained; default: the last")
    parser.add_argument("--measures", metavar="NAME,…", help="curvature, lines, plane; default: all")
    parser.add_argument("--functions", metavar="NAME,…", help="reward, kl, objective; default: reward,kl")
    parser.add_argument(
        "--blocks", metavar="NAME,…", help="all, unembedding, mlp, attention; default: those that the model has"
    )
    parser.add_argument(
        "--samples", metavar="N", type=count, default=64, help="completions, at each place (default: 64)"
    )
    parser.add_argument(
        "--eigenvalues", metavar="N", type=count, default=3, help="from each end of a spectrum, up to 100 (default: 3)"
    )
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="of samples and directions (default: 0)")
    parser.add_argument("--overwrite", action="store_true", help="forget what was measured by other settings")
    parser.add_argument("--help", "-h", action="help", help="this text")
    arguments = parser.parse_args(words)
    folders, steps = [existing_folder(given) for given in arguments.folders], _steps(arguments.steps)
    from gaard.lab.sharpness.measuring import Choice, Settings, measure_run

    chosen = {key: _names(f"--{key}", getattr(arguments, key)) for key in ("measures", "functions", "blocks")}
    choice = Choice(steps, **{key: given for key, given in chosen.items() if given is not None})
    settings = Settings(arguments.samples, arguments.eigenvalues, arguments.seed)
    for folder in folders:
        print(measure_run(folder, settings, choice, arguments.overwrite))
    return 0


def _names(option: str, given: str | None) -> tuple[str, ...] | None:
    """Names with commas between, at least one."""
    listed = names(given)
    if listed == []:
        raise ConfigError(
            f"{option} {given!r} is empty: give names with commas between, or leave it out for the default"
        )
    return None if listed is None else tuple(listed)


def _steps(given: str | None) -> list[int] | None:
    """Whole numbers with commas between."""
    listed = names(given)
    if listed is not None and (not listed or not all(word.isdecimal() for word in listed)):
        raise ConfigError(f"--steps {given}: give training steps with commas between, such as 0,40,80")
    return None if listed is None else [int(word) for word in listed]
