"""Arms as users give them: by name, from a file of their own, or stated in a study."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gaard.errors import ConfigError
from gaard.lab.arms import ARMS, RECOMMENDED_ARM, WHOLE_METHOD, Arm
from gaard.lab.files import in_python_file
from gaard.lab.spec import layered
from gaard.methods import GAA, METHODS, PPO, Method
from gaard.settings import suggest
from gaard.user_code import file_of

PARTS = re.compile(r"[-._+=]")  # what parts the words of a name


def find_arm(given: Any) -> Arm:
    """An arm by name, from a user's file, or stated in place.

    Args:
        given: One of ``ARMS``; or ``path/to/file.py``, whose one ``Arm`` is taken, or ``path/to/file.py:variable``; or
            a mapping of ``name``, perhaps ``base``, the arm that it starts from, ``method``, ``regularizers`` and
            settings; or an :class:`Arm`.

    Returns:
        The arm.

    Raises:
        ConfigError: For what is none of these, or is another arm than its name says.
    """
    arm = _found(given)
    _check_name(arm)
    return arm


def _check_name(arm: Arm) -> None:
    """Refuse an arm whose name is that of a known one, or of a method, that it is not."""
    known = ARMS.get(arm.name)
    if known and any(getattr(arm, key) != getattr(known, key) for key in (*WHOLE_METHOD, "settings")):
        raise ConfigError(
            f"arm {arm.name!r} has the name of one of gaard's ({known.in_words()}) and is another ({arm.in_words()}): "
            "name it otherwise"
        )
    if GAA.name in PARTS.split(arm.name.lower()) and not arm.method.observes.of_likely_tokens:
        raise ConfigError(
            f"arm {arm.name!r} is called {GAA.name}, and its method, {arm.method.name}, looks at no greedy token: name "
            "it otherwise"
        )


def _found(given: Any) -> Arm:
    """What is given as an arm, whatever its name."""
    if isinstance(given, Arm):
        return given
    if isinstance(given, Mapping):
        return _stated(given)
    if not isinstance(given, str):
        raise ConfigError(f"arms: {given!r} is neither a name nor a mapping of name, base and settings")
    if given in ARMS:
        return ARMS[given]
    if given in METHODS:
        raise ConfigError(
            f"arms: {given!r} is a method, not an arm: choose from "
            f"{', '.join(name for name, arm in ARMS.items() if arm.method.name == given)}"
        )
    remedy = "derive a class from gaard.methods.Method, "
    found = in_python_file(given, Arm, f"arms: {given!r}", _of_method, remedy)
    if found is None:
        raise ConfigError(
            f"arms: {given!r} is not known: {suggest(given, ARMS, '`gaard arms`')}; a Python file of your own is named "
            "by its path"
        )
    return found


def _of_method(held: Any) -> Arm | None:
    """An arm of what a user's file holds, if that is a method of the user's own."""
    if not isinstance(held, type) or not issubclass(held, Method) or file_of(held) is None:
        return None
    return Arm(held.name, (held.__doc__ or "").strip().partition("\n")[0], f"{file_of(held)}:{held.__qualname__}")


def _stated(given: Mapping[str, Any]) -> Arm:
    """An arm of a study's file."""
    settings = dict(given)
    name, base = settings.pop("name", None), settings.pop("base", None)
    if name is None:
        raise ConfigError(f"arms: {dict(given)!r} has no name: give it one")
    if base is None and "method" not in settings:
        raise ConfigError(f"arm {name!r} states no method: give it one, such as method: fold, or a base")
    start = replace(find_arm(base), name=name) if base else Arm(name)
    summary = settings.pop("summary", None)
    whole = {key: settings.pop(key) for key in WHOLE_METHOD if key in settings}
    try:
        arm = replace(start, settings=layered(start.settings, settings), **whole)
        return replace(arm, summary=arm.in_words() if summary is None else str(summary))
    except ConfigError as error:
        message = str(error)
        raise ConfigError(message if message.startswith("arm ") else f"arm {name!r}: {message}") from None


def find_arms(given: object) -> list[Arm]:
    """The arms of a comparison.

    Args:
        given: A list of what :func:`find_arm` takes.

    Returns:
        The arms in that order.

    Raises:
        ConfigError: For none, one that is not known, or two of one name.
    """
    if not isinstance(given, list | tuple) or not given:
        raise ConfigError(f"arms={given!r} is no list of arms: name some, such as {PPO.name},{RECOMMENDED_ARM}")
    arms = [find_arm(one) for one in given]
    names = [arm.name for arm in arms]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ConfigError(f"arms names {twice!r} twice")
    return arms
