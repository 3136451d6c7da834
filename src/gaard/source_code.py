"""Where a function or class stands, what its source is, and whose it is: the user's, a library's or gaard's."""

import dis
import functools
import inspect
import json
import sys
import sysconfig
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from gaard.content import as_json, short_hash
from gaard.syntax import code_text
from gaard.user_code import HASH, LINES, file_of_module

CONSTANTS = (type(None), bool, int, float, complex, str, bytes, tuple, frozenset)
SCRIPT = ("__main__", "__mp_main__")  # the second is the script in the processes that it starts
UNTOLD = ", not told"
GENERATED = "<string>"  # what dataclasses call the file of the functions that they write
WRITTEN_BY_DATACLASSES = {*dir(object), "__replace__"}
LIBRARIES = tuple(Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib"))


def is_shipped(thing: object) -> bool:
    """Whether a function, class or object is of gaard's own code, whose version a run records."""
    return module_name(thing).split(".")[0] == "gaard"


def module_name(thing: Any) -> str:
    """The module that a function, class or object comes from; of the script that runs always the same."""
    # A decorated function has the __module__ of the function inside it.
    name = thing.__globals__.get("__name__") if isinstance(thing, types.FunctionType) else None
    name = str(name or getattr(thing, "__module__", None) or "")
    return SCRIPT[0] if name in SCRIPT else name


def place(thing: Any) -> str:
    """Where a function, class or object is defined: file or module, and its name there."""
    if not isinstance(getattr(thing, "__qualname__", None), str):
        thing = type(thing)
    name = thing.__code__.co_qualname if isinstance(thing, types.FunctionType) else thing.__qualname__
    file = file_of_module(module_name(thing))
    return f"{file.name if file else module_name(thing) or 'builtins'}:{name}"


def code_words(thing: Any) -> str:
    """The hash of a user's function or class, for what is told of it."""
    if is_shipped(thing):
        return ""
    module = sys.modules.get(module_name(thing))
    functions = _functions(thing)
    namespace = functions[0].__globals__ if functions else vars(module) if module else {}
    if HASH in namespace:  # of the content that was imported, whatever the file holds by now
        return f" {short_hash(f'{namespace[HASH]} {_positions(functions, namespace)}')}"
    own = _own_source(thing)
    return f" {short_hash(own + _source(module))}" if own else UNTOLD


def _positions(functions: list[types.FunctionType], namespace: dict[str, Any]) -> list[int]:
    """Which of their file's functions they are, counted from its top; -1 for one that was not written there."""
    lines, codes = namespace[LINES], [function.__code__ for function in functions]
    here = [code.co_filename == namespace["__file__"] and code.co_firstlineno in lines for code in codes]
    return [lines.index(code.co_firstlineno) if known else -1 for code, known in zip(codes, here, strict=True)]


def is_read(function: types.FunctionType) -> bool:
    """Whether it is known what a function does."""
    return HASH in function.__globals__ or bool(_own_source(function))


def written_functions(kind: type) -> list[types.FunctionType]:
    """Those in the body of a class that a user wrote."""
    return [one for one in _functions(kind) if not _is_generated(one)]


def _is_generated(function: types.FunctionType) -> bool:
    """Whether ``dataclasses`` wrote it, from the fields of the class."""
    return function.__code__.co_filename == GENERATED and function.__name__ in WRITTEN_BY_DATACLASSES


def _own_source(thing: Any) -> str:
    """Of a function, a class, or the body of a class that a notebook holds; nothing where there is none."""
    try:
        return code_text(inspect.getsource(thing.__code__ if isinstance(thing, types.FunctionType) else thing))
    except (OSError, TypeError):
        return _body(thing) if isinstance(thing, type) else ""


def _body(kind: type) -> str:
    """The functions of a class, and its constants beside them; nothing where a function cannot be read."""
    functions = written_functions(kind)
    if not all(map(is_read, functions)):
        return ""
    constants = {
        name: as_json(value, lambda other: type(other).__name__)
        for name, value in vars(kind).items()
        if isinstance(value, CONSTANTS) and not name.startswith("__")
    }
    return "".join(map(_own_source, functions)) + json.dumps(constants, sort_keys=True)


def _source(module: types.ModuleType | None) -> str:
    """Of a whole module; nothing for the script that runs, where a user changes settings too."""
    try:
        return "" if module is None or module.__name__ in SCRIPT else code_text(inspect.getsource(module))
    except (OSError, TypeError):
        return ""


def module_hash(module: types.ModuleType) -> str:
    """Of a module of the user's, which a function uses as ``module.function``."""
    if not _is_users_module(module):
        return ""
    return f" {vars(module)[HASH] if HASH in vars(module) else short_hash(_source(module))}"


def _is_users_module(module: types.ModuleType) -> bool:
    return module.__name__.split(".")[0] != "gaard" and not _is_library_module(module.__name__)


def is_library(thing: Any) -> bool:
    """Whether a class or function belongs to Python or an installed package."""
    return _is_library_module(module_name(thing))


def _is_library_module(name: str) -> bool:
    module = sys.modules.get(name)
    if name in SCRIPT or module is None:
        return False
    file = getattr(module, "__file__", None)
    return file is None or any(Path(file).is_relative_to(folder) for folder in LIBRARIES)


def global_names(code: types.CodeType) -> Iterator[str]:
    """The names that a function, and those within it, look up at the top level of its module."""
    yield from (step.argval for step in dis.get_instructions(code) if step.opname == "LOAD_GLOBAL")
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from global_names(constant)


def counts(value: Any, script: bool = False) -> bool:
    """Whether what a function uses or a library's object holds is told; constants are in a script alone."""
    if isinstance(value, (functools.partial, types.MethodType, torch.nn.Module)):
        return True
    if isinstance(value, types.ModuleType):
        return _is_users_module(value)
    if isinstance(value, (type, types.FunctionType)):
        return not is_shipped(value) and not is_library(value)
    if isinstance(value, CONSTANTS):
        return script
    if hasattr(value, "__wrapped__"):
        return counts(value.__wrapped__)
    return callable(value) and (is_shipped(type(value)) or not is_library(type(value)))


def _functions(thing: Any) -> list[types.FunctionType]:
    """The function itself, or those of its module in the body of a class."""
    if isinstance(thing, types.FunctionType):
        return [thing]
    found: list[types.FunctionType] = []
    for value in vars(thing).values():
        held = value.fget if isinstance(value, property) else getattr(value, "__func__", getattr(value, "func", value))
        both = (held, inspect.unwrap(held)) if callable(held) else ()  # a decorator of another module hides its own
        for one in both:
            if isinstance(one, types.FunctionType) and module_name(one) == module_name(thing) and one not in found:
                found.append(one)
    return found
