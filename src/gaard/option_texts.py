"""What help says of the fields of a run: in which order, in how many words, and what a value looks like."""

import functools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, fields
from typing import Any

import docstring_parser

from gaard.lab.spec import CHOSEN, RunSpec
from gaard.reward_names import HONEYPOT
from gaard.settings import choices, field_type
from gaard.training.config import GAAConfig

NESTED = ("method", "advantages", "honeypot")  # fields whose parts are options too, such as --method.threshold
# The first two groups are what `--help` shows; `--help all` shows the others too.
SHORT = {
    "what is trained, on what": (
        *("scenario", "model", "prompts", "reward_funcs", "true_reward_funcs", "hack_detector", "output_dir"),
    ),
    "settings that are changed most": (
        *("method", "regularizers", "max_steps", "batch_size", "learning_rate", "kl_coef", "max_completion_length"),
        *("temperature", "seed", "eval_completions"),
    ),
}
LONG = {
    "options of the method and of advantages (docs/methods.md)": ("method.", "advantages", "advantages."),
    "further rewards": ("reward_weights", "honeypot", "honeypot.", "judge_reward_funcs"),
}
REST = "all other settings"
VALUES = {
    **{"scenario": "NAME", "model": "NAME", "prompts": "FILE", "output_dir": "FOLDER", "method": "NAME"},
    **{
        "reward_funcs": "NAME",
        "true_reward_funcs": "NAME",
        "judge_reward_funcs": "NAME",
        "hack_detector": "FILE.py:FUNCTION",
        "regularizers": "LIST",
    },
    **{"hack_detector": "NAME", "advantages": "NAME", "honeypot": "MAPPING", "report_to": "NAME"},
}
ON_COMMAND_LINE = ("config", "overwrite")  # each command says what they are
MARKUP = re.compile(r":\w+:`~?([^`]+)`|`+([^`]+)`+")


def groups() -> Iterator[tuple[str, list[str]]]:
    """The options of a run under the headings of help, each once; a field's parts as ``field.part``.

    Yields:
        Heading and names.
    """
    left = [field.name for field in fields(RunSpec) if field.name not in ON_COMMAND_LINE]
    for heading, names in {**SHORT, **LONG}.items():
        shown = [name for given in names for name in (_parts(given) if given.endswith(".") else [given])]
        left = [name for name in left if name not in shown]
        yield heading, shown
    yield REST, left


def _parts(given: str) -> list[str]:
    """``method.`` as ``method.threshold`` and all others."""
    return [f"{given}{part}" for part in parts(given[:-1])]


@functools.cache
def parts(name: str) -> Mapping[str, str]:
    """What may stand behind the dot of a field.

    Args:
        name: One of ``NESTED``.

    Returns:
        Part → what it is, and whose.
    """
    if name == "honeypot":
        return HONEYPOT
    owned: dict[str, list[str]] = {}
    kinds: Mapping[str, type] = CHOSEN[name]
    for known, kind in kinds.items():
        for option in fields(kind):
            words = _with_default(_described(kind)[option.name], option.default)
            owned.setdefault(option.name, []).append(f"{known}: {words}")
    return {option: " ".join(lines) for option, lines in owned.items()}


def text(name: str, whole: bool) -> str:
    """What help says of an option.

    Args:
        name: A field, or a field's part.
        whole: Whether all that is to be said; else the first clause.

    Returns:
        A phrase, with the default where there is one.
    """
    field_name, _, part = name.partition(".")
    if part:
        return parts(field_name)[part]
    words = _described(RunSpec).get(name) or _described(GAAConfig)[name]
    if not whole:
        words = re.split(r"[;.] ", words)[0].rstrip(".")
    elif name == "regularizers":
        words = f"{words} Each may be a mapping, such as '[{{name: sam, radius: 0.01}}]'. {_options_of_regularizers()}"
    return _with_default(words, next(field.default for field in fields(RunSpec) if field.name == name))


def _with_default(words: str, default: Any) -> str:
    """The words, and the default where it says something."""
    return words if default in (None, MISSING, ()) else f"{words} (default: {default})"


def _options_of_regularizers() -> str:
    """Every option of each, in a line: several may stand in one list, so none is an option of the command line."""
    known = [
        f"{name}: " + "; ".join(f"{key}, {words[:1].lower()}{words[1:].rstrip('.')}" for key, words in _options(kind))
        for name, kind in CHOSEN["regularizers"].items()
    ]
    return f"Options of {'. Of '.join(known)}."


def _options(kind: type) -> list[tuple[str, str]]:
    """Name and description of a class's options."""
    return [(option.name, _described(kind)[option.name]) for option in fields(kind)]


def value(name: str) -> str:
    """What an option's value looks like, such as ``N``."""
    kind = _kind(name)
    if names := choices(kind):
        return "{" + ",".join(map(str, names)) + "}"
    return VALUES.get(name) or ("N" if _is(kind, int) else "X" if _is(kind, float) else "VALUE")


def _kind(name: str) -> Any:
    """The type of an option's value; a part's as its first owner has it."""
    field_name, _, part = name.partition(".")
    if not part:
        return field_type(RunSpec, name)
    owners: Iterable[type] = CHOSEN.get(field_name, {}).values()
    return next((field_type(kind, part) for kind in owners if part in _described(kind)), None)


def _is(kind: Any, plain: type) -> bool:
    """Whether a field holds such a number, perhaps with bounds, perhaps None."""
    return kind is plain or any(_is(part, plain) for part in getattr(kind, "__args__", ()))


@functools.cache
def _described(kind: type) -> dict[str, str]:
    """Field → what its docstring says of it, as plain text."""
    found = docstring_parser.parse(str(kind.__doc__)).params
    return {one.arg_name: MARKUP.sub(r"\1\2", " ".join(str(one.description).split())) for one in found}
