"""What a user wrote into files: objects in Python files that are named by their path."""

from collections.abc import Callable
from typing import Any, TypeVar

from gaard.errors import ConfigError, did_you_mean
from gaard.messages import one_line
from gaard.user_code import import_file, named_file

T = TypeVar("T")


def in_python_file(
    name: str, kind: type[T], where: str, made_of: Callable[[Any], T | None] = lambda held: None, remedy: str = ""
) -> T | None:
    """The object that ``path/to/file.py``, where it is the only one of its kind, or ``path/to/file.py:variable`` names.

    Args:
        name: As given; the variable may be a function without arguments that returns the object.
        kind: The object's class.
        where: What an error calls the name.
        made_of: Makes the object of another that the file holds in its place; None for what it cannot be made of.
        remedy: How to write what it is made of, for an error.

    Returns:
        The object; None if the name is not that of a Python file.

    Raises:
        ConfigError: For a file without it.
    """
    file = named_file(name)
    if file is None:
        return None
    (path, variable), noun = file, kind.__name__
    module = import_file(path, where)
    own = {key: value for key, value in vars(module).items() if isinstance(value, kind)}
    if variable is None and not own:
        made = {key: made_of(value) for key, value in vars(module).items()}
        own = {key: value for key, value in made.items() if value is not None}
    if variable is None and len(own) == 1:
        return next(iter(own.values()))
    if variable is None:
        raise ConfigError(
            f"{where}: {path} holds {len(own)} {noun.lower()}s ({', '.join(own) or 'none'}): {remedy}assign one "
            f"{kind.__module__}.{noun} to a variable, or say which with path/to/file.py:variable"
        )
    found = getattr(module, variable, None)
    if (instead := made_of(found)) is not None:
        return instead
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
