"""``gaard check``: a look before training."""

from typing import TYPE_CHECKING

from gaard.arguments import add_settings, asks_for_all, check_options, given_settings, plain_parser
from gaard.commands.terminal import show

if TYPE_CHECKING:
    from rich.table import Table

    from gaard.lab.check import Finding

SUMMARY = "look at rewards, prompts and settings before training"
DESCRIPTION = (
    "Look at some completions of the untrained model before training: are rewards constant, sparse or tied to length, "
    "do prompts fit the model, what does a step take, which method fits. Takes the settings of gaard train; nothing is "
    "written. Exit status: 0 without problems, 1 with, 2 for settings that cannot be run."
)
PROBLEMS = 1
WIDE = 140  # columns, where no terminal tells its own
STYLES = {"problem": "bold red", "note": "yellow", "fine": "green"}


def main(words: list[str]) -> int:
    """``gaard check``: what rewards, prompts and settings look like before training.

    Args:
        words: Of the command line, after the command.

    Returns:
        Exit status: 1 if there is a problem, else 0.
    """
    parser = add_settings(plain_parser("check", DESCRIPTION, "[--OPTION VALUE ...]"), asks_for_all(words))
    parser.add_argument("--completions", type=int, metavar="N", help="how many to look at, at least (default: 256)")
    check_options(words, ("completions",), "check")
    arguments = parser.parse_args(words)
    settings = given_settings(arguments)
    from gaard.errors import ConfigError
    from gaard.lab.spec import RunSpec, check_given

    check_given(settings)
    from gaard.lab.check import COMPLETIONS, check
    from gaard.lab.scenarios import with_scenario

    count = COMPLETIONS if arguments.completions is None else arguments.completions
    if count < 2:
        raise ConfigError(f"--completions {count}: give 2 or more, since rewards are compared with one another")
    spec = RunSpec(**{"output_dir": "unused", **with_scenario(settings)})
    findings = check(spec, count)
    show(_table(findings), WIDE)
    problems = sum(one.severity == "problem" for one in findings)
    print("no problem found" if not problems else f"{problems} problem{'s' if problems > 1 else ''} found")
    return PROBLEMS if problems else 0


def _table(findings: "list[Finding]") -> "Table":
    """A row a finding, the gravest first."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(show_lines=True)
    for heading in ("", "about", "seen", "what to do"):
        table.add_column(heading, overflow="fold")
    order = list(STYLES)
    for one in sorted(findings, key=lambda one: order.index(one.severity)):
        grade = f"[{STYLES[one.severity]}]{one.severity}[/]"
        table.add_row(grade, one.about, escape(one.seen), escape(one.remedy))
    return table
