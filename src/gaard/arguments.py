"""What the commands of ``gaard`` can be told: every field of a run as an option, its value written as in YAML."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any, NoReturn

import docstring_parser

from gaard.errors import ConfigError
from gaard.messages import shortened
from gaard.settings import check_keys, choices, field_type

OWN = ("method", "advantages")  # fields that may name a class in a file of the user's
NESTED = ("method", "advantages", "honeypot")  # fields whose parts are options too, such as --method.threshold


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


def plain_parser(command: str, description: str) -> Parser:
    """A parser without the fields of a run."""
    return Parser(prog=f"gaard {command}", description=description, allow_abbrev=False)


def settings_parser(command: str, description: str) -> Parser:
    """Options for every field of a run.

    Args:
        command: Of ``gaard``.
        description: A sentence.

    Returns:
        A parser whose results hold only what was given (:func:`given_settings`).
    """
    from gaard.lab.spec import CHOSEN, RunSpec
    from gaard.training.config import GAAConfig

    parser = plain_parser(command, description)
    parser.add_argument("--config", action="append", metavar="FILE.yaml", help="settings; options beside it win")
    parser.add_argument(
        "--overwrite", action="store_true", default=None, help="delete a run that is there and start again"
    )
    shared = {field.name for field in fields(GAAConfig)}
    own = parser.add_argument_group("what is trained, on what")
    choice = parser.add_argument_group("method, and what stands beside it (docs/methods.md)")
    rest = parser.add_argument_group("settings")
    words = _described(RunSpec) | _described(GAAConfig)
    for field in fields(RunSpec):
        if field.name == "overwrite":
            continue
        group = own if field.name not in shared or field.name == "output_dir" else rest
        if field.name in CHOSEN:
            _add_choice(choice, field.name, words[field.name])
            continue
        kind = field_type(RunSpec, field.name)
        default = "" if field.default is MISSING else f" (default: {field.default})"
        text = (words[field.name] + default).replace("%", "%%")
        group.add_argument(f"--{field.name}", help=text, metavar=_metavar(kind), **_taken(kind))
        if field.name == "honeypot":
            _add_parts(group, field.name, {part: [f"of --{field.name}"] for part in _parts(field.name)})
    return parser


def _described(kind: type) -> dict[str, str]:
    """Field → what its docstring says of it."""
    found = docstring_parser.parse(str(kind.__doc__))
    return {one.arg_name: " ".join(str(one.description).split()) for one in found.params}


def _metavar(kind: Any) -> str:
    """What a field's value looks like."""
    names = choices(kind)
    return "{" + ",".join(map(str, names)) + "}" if names else "VALUE"


def _taken(kind: Any) -> dict[str, Any]:
    """How argparse takes a field: a switch may stand alone."""
    return {"nargs": "?", "const": "true"} if kind is bool else {}


def _add_choice(group: Any, name: str, text: str) -> None:
    """An option for a name, and one for each option of each that may be named."""
    from gaard.lab.spec import CHOSEN

    owners: dict[str, list[str]] = {}
    for known, kind in CHOSEN[name].items():
        for option, words in _described(kind).items():
            owners.setdefault(option, []).append(f"{known}: {words}")
    if name in NESTED:
        group.add_argument(f"--{name}", metavar="NAME", help=text)
        _add_parts(group, name, owners)
        return
    # Several may stand there, each with options of its own: a list in YAML.
    options = "; ".join(f"{option} of {' '.join(lines)}" for option, lines in owners.items())
    text = f"{text} A list, such as '[{{name: sam, radius: 0.01}}]'. Options: {options}"
    group.add_argument(f"--{name}", metavar="LIST", help=text.replace("%", "%%"))


def _add_parts(group: Any, name: str, parts: Mapping[str, Sequence[str]]) -> None:
    """An option for each part of a field."""
    for part, lines in parts.items():
        group.add_argument(f"--{name}.{part}", metavar="VALUE", help=" ".join(lines).replace("%", "%%"))


def _parts(name: str) -> list[str]:
    """What may stand behind the dot of a field of ``NESTED``."""
    from gaard.lab.spec import CHOSEN
    from gaard.rewards.spec import HONEYPOT_KEYS

    if name == "honeypot":
        return list(HONEYPOT_KEYS)
    return list(dict.fromkeys(field.name for kind in CHOSEN[name].values() for field in fields(kind)))


def given_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """The fields of a run that config files and options give, and no others.

    Args:
        arguments: As :func:`settings_parser` parsed them.

    Returns:
        Field → value, not yet checked.

    Raises:
        ConfigError: For a config file that cannot be used.
    """
    from gaard.lab.spec import RunSpec, layered, read_config

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


def check_options(words: Sequence[str], others: Sequence[str]) -> None:
    """Refuse unknown options with the nearest known one, or with the place that an option has moved to.

    Args:
        words: Of the command line.
        others: Options of the command that are no fields of a run.

    Raises:
        ConfigError: Naming the first that is not known.
    """
    from gaard.lab.spec import RunSpec, check_settings

    known = [*(f.name for f in fields(RunSpec)), "config", "help", *others]
    for word in words:
        if word.startswith("--overwrite="):
            raise ConfigError(f"{word}: --overwrite takes no value: leave it out, and a run that is there goes on")
        name, dot, part = word[2:].partition("=")[0].partition(".")
        if not word.startswith("--") or not name:
            continue
        check_settings([name], known, "command line", "--")
        if dot and name in NESTED and not part:
            raise ConfigError(f"{word}: name an option behind the dot: {', '.join(_parts(name))}")
        if dot and name in NESTED:
            if not _may_be_own(words, name):
                check_keys([part], _parts(name), f"--{name}")
        elif dot:
            raise ConfigError(f"--{name}.{part}: {name} has no options of its own there: see --help")


def _may_be_own(words: Sequence[str], name: str) -> bool:
    """Whether a field may hold a class of the user's own, named here or in a config file, with options of its own."""
    given = [word for pair in zip(words, [*words[1:], ""], strict=True) if pair[0] == f"--{name}" for word in pair[1:]]
    given += [word for word in words if word.startswith(f"--{name}=")]
    in_file = any(word.partition("=")[0] == "--config" for word in words)
    return name in OWN and (in_file or any(".py" in word for word in given))
