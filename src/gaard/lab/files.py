"""What a user wrote into files: YAML mappings, and objects in Python files that are named by their path."""

import re
from pathlib import Path
from typing import Any, TypeVar

import yaml

from gaard.errors import ConfigError, did_you_mean
from gaard.messages import one_line
from gaard.user_code import IN_FILE, expanded, import_file

T = TypeVar("T")


class _Loader(yaml.SafeLoader):
    """Numbers as YAML 1.2 has them: 1.1 reads 1e-5 as a text, 010 as 8 and 1:30 as 90."""

    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:int"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def _whole_number(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    text = loader.construct_scalar(node)
    return int(text, {"0x": 16, "0o": 8}.get(text[:2], 10))


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"([-+]?[0-9]+(_[0-9]+)*|0x[0-9a-fA-F]+|0o[0-7]+)$"), list("-+0123456789")
)
_Loader.add_constructor("tag:yaml.org,2002:int", _whole_number)


def read_mapping(path: str | Path, where: str) -> dict[str, Any]:
    """The keys and values of a YAML file.

    Args:
        path: The file.
        where: What an error calls it.

    Returns:
        Its content.

    Raises:
        ConfigError: If it cannot be read, or is not a mapping.
    """
    try:
        content = yaml.load(expanded(path, where).read_text(encoding="utf-8-sig"), _Loader)
    except OSError as error:
        raise ConfigError(f"{where}: {error.strerror}: check the path") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{where} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{where} must hold 'key: value' lines, not {type(content).__name__}")
    return content


def in_python_file(name: str, kind: type[T], where: str) -> T | None:
    """The object that ``path/to/file.py``, where it is the only one of its kind, or ``path/to/file.py:variable`` names.

    Args:
        name: As given; the variable may be a function without arguments that returns the object.
        kind: The object's class.
        where: What an error calls the name.

    Returns:
        The object; None if the name is not that of a Python file.

    Raises:
        ConfigError: For a file without it.
    """
    file = IN_FILE.fullmatch(name)
    if file is None:
        return None
    path, variable, noun = Path(file[1]), file[2], kind.__name__
    module = import_file(path, where)
    own = {key: value for key, value in vars(module).items() if isinstance(value, kind)}
    if variable is None and len(own) == 1:
        return next(iter(own.values()))
    if variable is None:
        raise ConfigError(
            f"{where}: {path} holds {len(own)} {noun.lower()}s ({', '.join(own) or 'none'}): assign one "
            f"{kind.__module__}.{noun} to a variable, or say which with path/to/file.py:variable"
        )
    found = getattr(module, variable, None)
    try:
        found = found() if callable(found) else found
    except Exception as error:
        raise ConfigError(
            f"{where}: {variable}() in {path} failed with {one_line(error)}: name a {noun}, or a function without "
            "arguments that returns one"
        ) from error
    if not isinstance(found, kind):
        raise ConfigError(f"{where}: {variable!r} in {path} is no {noun}.{did_you_mean(variable, own)}")
    return found
