"""What the commands of ``gaard`` can be told: every field of a run as an option, its value written as in YAML."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any, NoReturn

import docstring_parser

from gaard.errors import ConfigError
from gaard.settings import Options, check_keys, choices, field_type

CHOSEN = ("method", "advantages", "regularizers")  # fields that hold a name with options of its own


class Parser(argparse.ArgumentParser):
    """A parser whose errors are gaard's."""

    def error(self, message: str) -> NoReturn:
        """Raise what is wrong as one line.

        Raises:
            ConfigError: Always.
        """
        raise ConfigError(f"{message}: {self.prog} --help tells what it takes")


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
    from gaard.lab.spec import RunSpec
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
    group.add_argument(f"--{name}", metavar="NAME", help=text)
    owners: dict[str, list[str]] = {}
    for known, kind in known_choices(name).items():
        for option, words in _described(kind).items():
            owners.setdefault(option, []).append(f"{known}: {words}")
    if name == "regularizers":  # several may stand there, each with options of its own: a list in YAML
        return
    for option, lines in owners.items():
        group.add_argument(f"--{name}.{option}", metavar="VALUE", help=" ".join(lines).replace("%", "%%"))


def known_choices(name: str) -> Mapping[str, type[Options]]:
    """What a field of ``CHOSEN`` may name.

    Args:
        name: The field.

    Returns:
        Name → class.
    """
    from gaard.methods import ESTIMATORS, METHODS
    from gaard.regularizers import REGULARIZERS

    tables: dict[str, Mapping[str, type[Options]]] = {
        "method": METHODS,
        "advantages": ESTIMATORS,
        "regularizers": REGULARIZERS,
    }
    return tables[name]


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
    for name in ("method", "advantages"):
        nested = {key.partition(".")[2]: _yaml(text) for key, text in given.items() if key.startswith(f"{name}.")}
        if nested:
            start = settings.get(name)
            settings[name] = {**({"name": start} if isinstance(start, str) else start or {}), **nested}
            if name == "method" and start is None:
                raise ConfigError(f"--method.{next(iter(nested))} is given without --method: name the method too")
    return settings


def _value(name: str, text: Any) -> Any:
    """An option's value: as it stands where a field holds a text, else as YAML has it."""
    from gaard.lab.spec import RunSpec

    kind = field_type(RunSpec, name)
    return text if kind is str or not isinstance(text, str) else _yaml(text)


def _yaml(text: str) -> Any:
    """A text as a value of YAML; itself where it is none."""
    import yaml

    from gaard.yaml_files import yaml_value

    try:
        return yaml_value(text)
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
    from gaard.lab.spec import RunSpec

    known = [*(f.name for f in fields(RunSpec)), "config", "help", *others]
    for word in words:
        name, dot, option = word[2:].partition("=")[0].partition(".")
        if not word.startswith("--") or not name:
            continue
        if name not in known:
            check_no_nested(name, "command line", "--")
            check_keys([name], known, "command line")
        if dot and name in ("method", "advantages"):
            kinds = known_choices(name).values()
            check_keys([option], {field.name for kind in kinds for field in fields(kind)}, f"--{name}")
        elif dot:
            raise ConfigError(f"--{name}.{option}: {name} has no options of its own there: see --help")


def check_no_nested(key: str, where: str, dashes: str = "") -> None:
    """Tell of an option that belongs to a method, an estimator or a regulariser, and was given beside them.

    Args:
        key: What was given.
        where: In what.
        dashes: What stands before an option there.

    Raises:
        ConfigError: If it is one.
    """
    for name in CHOSEN:
        for known, kind in known_choices(name).items():
            if key in {field.name for field in fields(kind)}:
                how = f"{dashes}{name}.{key}" if name != "regularizers" else f"{{name: {known}, {key}: …}} in {name}"
                raise ConfigError(f"{where}: {key!r} is an option of {kind.kind} {known!r}: give it as {how}")
