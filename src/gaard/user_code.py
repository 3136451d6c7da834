"""Python files and classes that a user wrote: imported by path, told apart by their code."""

import hashlib
import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from gaard.errors import ConfigError, did_you_mean
from gaard.messages import one_line
from gaard.syntax import code_text, function_lines

T = TypeVar("T")
FROM_FILE = "gaard_file_"
# Of a module: a hash of its code, and the lines in which its functions begin, both of the content that was imported.
HASH, LINES = "__gaard_sha256__", "__gaard_lines__"
IN_FILE = re.compile(r"(.+\.py)(?::(\w+))?")


def expanded(path: str | Path, what: str) -> Path:
    """A path with ``~`` as the home folder.

    Args:
        path: As given.
        what: What names it, for messages.

    Returns:
        The path.

    Raises:
        ConfigError: ``~name`` stands for the home folder of somebody who is not there.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise ConfigError(f"{what} names {str(path)!r}, and there is no such home folder ({error})") from None


def named_file(name: str) -> tuple[Path, str | None] | None:
    """The file, and what of it, that ``path/to/file.py`` or ``path/to/file.py:name`` names.

    Args:
        name: As given.

    Returns:
        Path and name, None where it has none; None if it is not that of a Python file.
    """
    found = IN_FILE.fullmatch(name)
    return None if found is None else (Path(found[1]), found[2])


def existing_file(path: Path, what: str) -> Path:
    """Where a file is.

    Args:
        path: As given, relative to the working directory.
        what: What names it, for messages.

    Returns:
        The whole path.

    Raises:
        ConfigError: There is no such file.
    """
    file = expanded(path, what).resolve()
    if not file.is_file():
        raise ConfigError(f"{what} names the file {file}, which does not exist: check the path")
    return file


def import_file(path: Path, what: str) -> ModuleType:
    """Run a Python file as a module of its own.

    Args:
        path: The file, relative to the working directory.
        what: What names it, for messages, such as "the reward 'mine.py:score'".

    Returns:
        The module.

    Raises:
        ConfigError: There is no such file, or it fails on import.
    """
    file = existing_file(path, what)
    # Two files of one name are two modules.
    module_name = f"{FROM_FILE}{hashlib.sha256(str(file).encode()).hexdigest()[:12]}_{file.stem}"
    spec = importlib.util.spec_from_file_location(module_name, file)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{what} names the file {file}, which Python cannot import")
    module = importlib.util.module_from_spec(spec)
    content = file.read_bytes()
    sys.modules[module_name] = module  # dataclasses and pickle look a class's module up there
    try:
        # Not by the loader: its cache of compiled files knows a file by length and second alone, and the code that runs
        # has to be the code whose hash is kept.
        code = compile(content, str(file), "exec")
        setattr(module, HASH, hashlib.sha256(code_text(content).encode()).hexdigest())
        setattr(module, LINES, function_lines(content))
        exec(code, vars(module))
    except Exception as error:
        del sys.modules[module_name]
        raise ConfigError(f"{what}: {file} failed on import with {one_line(error, file)}; fix it") from error
    return module


def class_in_file(name: str, base: type[T], what: str) -> type[T] | None:
    """The class that ``path/to/file.py``, where it is the only one of its kind, or ``path/to/file.py:Class`` names.

    Args:
        name: As given.
        base: What the class derives from.
        what: What an error calls the name.

    Returns:
        The class; None if the name is not that of a Python file.

    Raises:
        ConfigError: For a file without it.
    """
    file = named_file(name)
    if file is None:
        return None
    path, asked_for = file
    module = import_file(path, what)
    own = {
        key: value
        for key, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, base) and value.__module__ == module.__name__
    }
    if asked_for is None and len(own) == 1:
        return next(iter(own.values()))
    if asked_for in own:
        return own[asked_for]
    asked = f"no {asked_for!r}.{did_you_mean(asked_for, own)} It holds" if asked_for else "not one, but"
    raise ConfigError(
        f"{what}: {path} holds {asked} {', '.join(own) or 'none'}: derive a class from "
        f"{base.__module__}.{base.__name__}, and name it as path/to/file.py:Class where there are several"
    )


def file_of(thing: Any) -> Path | None:
    """The file that :func:`import_file` read a class or function from; None for others."""
    return file_of_module(str(getattr(thing, "__module__", "")))


def file_of_module(name: str) -> Path | None:
    """The file that :func:`import_file` read the module of this name from; None for others."""
    module = sys.modules.get(name)
    if module is None or not name.startswith(FROM_FILE) or module.__file__ is None:
        return None
    return Path(module.__file__)


def rebuilding(kind: type, state: dict[str, Any]) -> tuple[Any, ...]:
    """How pickle makes an object of a class anew in another process, which imports a user's file by its path.

    Args:
        kind: The class.
        state: What it is called with, by name.

    Returns:
        As ``__reduce__`` returns it.
    """
    file = file_of(kind)
    return (_rebuilt, (kind, state)) if file is None else (_rebuilt_from_file, (str(file), kind.__qualname__, state))


def _rebuilt(kind: type[T], state: dict[str, Any]) -> T:
    return kind(**state)


def _rebuilt_from_file(file: str, name: str, state: dict[str, Any]) -> Any:
    return getattr(import_file(Path(file), f"the class {name}"), name)(**state)


def code_of_class(kind: type, what: str) -> str:
    """What tells a user's class from another of its name.

    Args:
        kind: The class.
        what: What an error calls it.

    Returns:
        A hash (:func:`gaard.code_identity.code_of`).

    Raises:
        ConfigError: Its source cannot be read.
    """
    from gaard.code_identity import code_of  # imports torch

    code = code_of(kind)
    if code is None:
        raise ConfigError(
            f"{what}: the source of the class {kind.__qualname__} cannot be read, and without it no run could tell it "
            "from another: write it into a Python file, and name that file"
        )
    return code
