"""Python files and classes that a user wrote: imported by path, told apart by their content."""

import hashlib
import importlib.util
import inspect
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from gaard.errors import ConfigError, did_you_mean
from gaard.messages import one_line

T = TypeVar("T")
FROM_FILE, HASH = "gaard_file_", "__gaard_sha256__"
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
    file = expanded(path, what).resolve()
    if not file.is_file():
        raise ConfigError(f"{what} names the file {file}, which does not exist: check the path")
    # Two files of one name are two modules.
    module_name = f"{FROM_FILE}{hashlib.sha256(str(file).encode()).hexdigest()[:12]}_{file.stem}"
    spec = importlib.util.spec_from_file_location(module_name, file)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{what} names the file {file}, which Python cannot import")
    module = importlib.util.module_from_spec(spec)
    content = file.read_bytes()
    setattr(module, HASH, hashlib.sha256(content).hexdigest())
    sys.modules[module_name] = module  # dataclasses and pickle look a class's module up there
    try:
        # Not by the loader: its cache of compiled files knows a file by length and second alone, and the code that runs
        # has to be the code whose hash is kept.
        exec(compile(content, str(file), "exec"), vars(module))
    except Exception as error:
        del sys.modules[module_name]
        raise ConfigError(f"{what}: {file} failed on import with {one_line(error)}; fix it") from error
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
    file = IN_FILE.fullmatch(name)
    if file is None:
        return None
    module = import_file(Path(file[1]), what)
    own = {
        key: value
        for key, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, base) and value.__module__ == module.__name__
    }
    if file[2] is None and len(own) == 1:
        return next(iter(own.values()))
    if file[2] in own:
        return own[file[2]]
    asked = f"no {file[2]!r}.{did_you_mean(file[2], own)} It holds" if file[2] else "not one, but"
    raise ConfigError(
        f"{what}: {file[1]} holds {asked} {', '.join(own) or 'none'}: derive a class from "
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


def code_hash(thing: Any) -> str | None:
    """A sha256 of what a user's class or function does, as far as it can be told.

    Args:
        thing: A class or function.

    Returns:
        Of the whole file that it stands in, since what it calls may stand beside it; in the script that runs, whose
        settings may change, of its own source. None where there is none to read.
    """
    module = sys.modules.get(str(getattr(thing, "__module__", "")))
    if file_of(thing) is not None:
        return str(vars(module)[HASH])
    whole = thing if module is None or module.__name__ == "__main__" else module
    try:
        return hashlib.sha256(inspect.getsource(whole).encode()).hexdigest()
    except (OSError, TypeError):
        return None
