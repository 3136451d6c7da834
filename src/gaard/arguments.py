"""What the commands of ``gaard`` can be told: every field of a run as an option, its value written as in YAML."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import fields
from itertools import pairwise
from typing import Any, NoReturn

from gaard.errors import ConfigError
from gaard.messages import shortened

OWN = ("method", "advantages")  # fields that may name a class in a file of the user's


class Parser(argparse.ArgumentParser):
    """A parser whose errors are gaard's."""

    def error(self, message: str) -> NoReturn:
        """Raise what is wrong as one line.

        Raises:
            ConfigError: Always.
        """
        raise ConfigError(f"{message}: {self.prog} --help tells what it takes")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Take also the options of a class of the user's own; :func:`given_settings` checks them."""
        for word in [] if args is None else args:
            option = word.partition("=")[0]
            if option.startswith(tuple(f"--{name}." for name in OWN)) and option not in self._option_string_actions:
                self.add_argument(option, help=argparse.SUPPRESS)
        return super().parse_known_args(args, namespace)


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Help whose texts stand beside the longest usual option, not below it."""

    def __init__(self, prog: str):
        super().__init__(prog, max_help_position=30)


def plain_parser(command: str, description: str, usage: str | None = None, epilog: str | None = None) -> Parser:
    """A parser without the fields of a run.

    Args:
        command: Of ``gaard``.
        description: What it does.
        usage: How it is called, behind its name; made from its options if left out.
        epilog: What help ends on, its lines kept.

    Returns:
        The parser.
    """
    return Parser(
        prog=f"gaard {command}",
        usage=usage and f"gaard {command} {usage}",
        description=description,
        epilog=epilog,
        formatter_class=_Formatter,
        allow_abbrev=False,
        add_help=usage is None,
    )


def asks_for_all(words: Sequence[str]) -> bool:
    """Whether the words of a command hold ``--help all``."""
    return any(pair in (("--help", "all"), ("-h", "all")) for pair in pairwise(words))


def add_settings(parser: Parser, whole: bool = True, without: Sequence[str] = ()) -> Parser:
    """Options for every field of a run, under headings.

    Args:
        parser: Made with a usage.
        whole: Whether help shows all of them, in full; else those that are needed first, in a phrase each.
        without: Fields that help leaves out. They are parsed all the same, so that an error can tell where they belong.

    Returns:
        The same parser; its results hold only what was given (:func:`given_settings`).
    """
    from gaard import option_texts
    from gaard.lab.spec import RunSpec
    from gaard.settings import field_type

    for heading, names in option_texts.groups():
        group = parser.add_argument_group(heading)
        for name in names:
            hidden = name.partition(".")[0] in without or not (whole or heading in option_texts.SHORT)
            text = argparse.SUPPRESS if hidden else option_texts.text(name, whole).replace("%", "%%")
            # A switch may stand alone.
            switch = "." not in name and field_type(RunSpec, name) is bool
            taken: dict[str, Any] = {"nargs": "?", "const": "true", "metavar": "true|false"} if switch else {}
            group.add_argument(f"--{name}", **{"help": text, "metavar": option_texts.value(name), **taken})
    group = parser.add_argument_group("this command")
    group.add_argument("--config", action="append", metavar="FILE.yaml", help="settings; options beside it win")
    group.add_argument(
        "--overwrite", action="store_true", default=None, help="delete a run that is there and start again"
    )
    group.add_argument("-h", "--help", action="help", help="this; --help all: every option, in full")
    return parser


def given_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """The fields of a run that config files and options give, and no others.

    Args:
        arguments: As a parser with :func:`add_settings` parsed them.

    Returns:
        Field → value, not yet checked.

    Raises:
        ConfigError: For a config file that cannot be used.
    """
    from gaard.lab.spec import RunSpec, layered, read_config
    from gaard.option_texts import NESTED

    given = {key: value for key, value in vars(arguments).items() if value is not None}
    options = {f.name: _value(f.name, given[f.name]) for f in fields(RunSpec) if f.name in given}
    settings = layered(*(read_config(path) for path in given.get("config", [])), options)
    for name in NESTED:
        nested = {key.partition(".")[2]: _yaml(text) for key, text in given.items() if key.startswith(f"{name}.")}
        if nested and name == "method" and "arms" in vars(arguments):
            raise ConfigError(
                f"--method.{next(iter(nested))} is given to every run, and each arm states its whole method: take it "
                "out, or state an arm of your own in a study's file (docs/lab.md)"
            )
        if nested:
            settings[name] = {**_start(name, settings.get(name), next(iter(nested))), **nested}
    return settings


def _start(name: str, start: Any, option: str) -> Mapping[str, Any]:
    """What the parts of a field are put over."""
    if isinstance(start, str) and name != "honeypot":
        return {"name": start}
    if start is None and name == "method":
        raise ConfigError(f"--method.{option} is given without --method: name the method too")
    if not isinstance(start, Mapping | None):
        raise ConfigError(f"{name}={start!r} beside --{name}.{option} must be a mapping of names to values")
    return start or {}


def _value(name: str, text: Any) -> Any:
    """An option's value: as it stands where a field holds a text, else as YAML has it."""
    from gaard.lab.spec import RunSpec
    from gaard.settings import field_type

    kind = field_type(RunSpec, name)
    return text if kind is str or not isinstance(text, str) else _yaml(text)


def _yaml(text: str) -> Any:
    """A text as a value of YAML; itself where it is none."""
    import yaml

    from gaard.yaml_files import UnusableError, yaml_value

    try:
        return yaml_value(text)
    except UnusableError as error:
        raise ConfigError(f"{shortened(text, 40)}: {error.problem}") from None
    except yaml.YAMLError:
        return text


def check_options(words: Sequence[str], others: Sequence[str], command: str = "train") -> None:
    """Refuse unknown options with the nearest known one, or with the place that an option has moved to.

    Args:
        words: Of the command line.
        others: Options of the command that are no fields of a run.
        command: Its name, to tell where its options are listed.

    Raises:
        ConfigError: Naming the first that is not known.
    """
    from gaard.lab.spec import RunSpec, check_settings
    from gaard.option_texts import NESTED, parts
    from gaard.settings import check_keys

    listed = f"`gaard {command} --help all`"
    known = [*(f.name for f in fields(RunSpec)), "config", "help", *others]
    for word in words:
        if word.startswith("--overwrite="):
            raise ConfigError(f"{word}: --overwrite takes no value: leave it out, and a run that is there goes on")
        name, dot, part = word[2:].partition("=")[0].partition(".")
        if not word.startswith("--") or not name:
            continue
        check_settings([name], known, "command line", "--", listed)
        if dot and name in NESTED and not part:
            raise ConfigError(f"{word}: name an option behind the dot: {', '.join(parts(name))}")
        if dot and name in NESTED:
            if not _may_be_own(words, name):
                check_keys([part], parts(name), f"--{name}", listed)
        elif dot:
            raise ConfigError(f"--{name}.{part}: {name} has no options of its own there: see --help all")


def _may_be_own(words: Sequence[str], name: str) -> bool:
    """Whether a field may hold a class of the user's own, named here or in a config file, with options of its own."""
    given = [word for pair in zip(words, [*words[1:], ""], strict=True) if pair[0] == f"--{name}" for word in pair[1:]]
    given += [word for word in words if word.startswith(f"--{name}=")]
    in_file = any(word.partition("=")[0] == "--config" for word in words)
    return name in OWN and (in_file or any(".py" in word for word in given))
