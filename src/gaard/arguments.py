"""What the commands of ``gaard`` can be told, and errors that say what to write instead."""

import re
from dataclasses import fields
from itertools import pairwise
from types import NoneType, UnionType
from typing import Any, get_args, get_origin

from jsonargparse import ArgumentError, ArgumentParser, Namespace


def plain_parser(command: str, description: str) -> ArgumentParser:
    """A parser whose errors are one line."""
    return ArgumentParser(prog=f"gaard {command}", description=description, exit_on_error=False, allow_abbrev=False)


def settings_parser(command: str, description: str) -> ArgumentParser:
    """Options for every field of a run."""
    from gaard.lab.spec import RunSpec

    parser = plain_parser(command, description)
    parser.add_argument("--config", action="config", help="YAML file of settings; later options override it")
    parser.add_class_arguments(RunSpec, as_group=False, skip={"overwrite"})
    parser.add_argument("--overwrite", action="store_true", help="delete a run that is there and start again")
    return parser


def parse_settings(parser: ArgumentParser, words: list[str]) -> dict[str, Any]:
    """The settings of a command, unknown ones refused with the nearest known name."""
    from gaard.lab.scenarios import find_scenario
    from gaard.lab.spec import RunSpec, read_config
    from gaard.training.config import check_keys

    known = [*(f.name for f in fields(RunSpec)), "config", "help", "arms", "seeds", "jobs", "engine", "out"]
    options = [word[2:].partition("=") for word in words if word.startswith("--")]
    check_keys([name.partition(".")[0] for name, _, _ in options], known, "command line")
    for path in _config_paths(words):
        read_config(path)
    arguments: Namespace = parser.parse_args(words)
    if arguments.scenario is not None:  # its settings are defaults: config files and options win
        parser.set_defaults(find_scenario(arguments.scenario).settings())
        arguments = parser.parse_args(words)
    settings = arguments.as_dict()
    settings.pop("config", None)
    return settings


def _config_paths(words: list[str]) -> list[str]:
    """The files that ``--config`` names."""
    following = [after for word, after in pairwise(words) if word == "--config"]
    return following + [word.partition("=")[2] for word in words if word.startswith("--config=")]


NAMES_OF_TYPES: dict[Any, str] = {
    int: "a whole number",
    float: "a finite number",
    bool: "true or false",
    str: "a text",
    list: "a list",
    dict: "a mapping of keys to values",
    NoneType: "null",
}


def in_one_line(error: ArgumentError) -> str:
    """The command line's own errors, with field, value and remedy where they concern a field."""
    message = " ".join(str(error).split())
    found = re.match(r'Parser key "(\w+)"', message)
    values = re.findall(r"(?:Got|Given) value: (.*?)(?= Got value:| Given value:|$)", message)
    if found is None or not values:
        return f"{message}: --help tells what a command takes"
    from gaard.lab.spec import RunSpec
    from gaard.training.config import CHOICES, suggest

    name, value = found[1], values[-1]
    if name in ("jobs", "seeds"):
        return f"{name}={value!r} must be a whole number"
    if name in CHOICES:
        return f"{name}={value!r} is not known: {suggest(value, CHOICES[name])}"
    kind = next((field.type for field in fields(RunSpec) if field.name == name), str)
    kinds = get_args(kind) if isinstance(kind, UnionType) else (kind,)
    return f"{name}={value!r} must be " + " or ".join(_in_words(kind) for kind in kinds)


def _in_words(kind: Any) -> str:
    """A field's type as a reader says it."""
    if isinstance(kind, UnionType):
        return " or ".join(map(_in_words, get_args(kind)))
    words = NAMES_OF_TYPES.get(get_origin(kind) or kind, str(kind))
    return f"{words}, each entry {_in_words(get_args(kind)[0])}," if get_origin(kind) is list else words
