"""What tells one reward from another: the code of its functions, whatever wraps them, and what they were given.

A function is named by place and by a hash. Its place is the name of its file (without the folder, so that a study keeps
its identity elsewhere) or its module. Its hash is of the whole file, or of the whole module; of a function in the
script that runs, it is of the function alone, and the functions and constants that it uses are told beside it.

Limits: these can change without another identity.
- What cannot be read: functions in C or without source, and objects without attributes, such as locks. The identity
  names them, with ", not told".
- What a reward reads as it scores: files, servers, the environment.
- The versions of installed libraries, and what objects of their classes hold but for models and functions.
- In the script that runs: lists and mappings at its top level, which often grow while a reward scores.
- Two lambdas in one line, and modules that are used as ``module.function``.

An object counts as it is when the identity is taken. What changes while it scores, such as a cache, it may leave out in
its ``__getstate__``, as it would for pickling.
"""

import dis
import functools
import inspect
import json
import sys
import sysconfig
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from gaard.content import as_json, short_hash
from gaard.user_code import HASH, file_of_module

HELD = ("functions", "base", "true_reward", "model")  # attributes in which gaard's rewards hold others
LONG = (str, int, list, tuple, set, frozenset, Mapping)
LONGEST, LONGEST_OF_OBJECTS = 200, 5000  # characters of such a value that are written out
CONSTANTS = (type(None), bool, int, float, complex, str, bytes, tuple, frozenset)
LIBRARIES = tuple(Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib"))


def identity_of(functions: Mapping[str, object]) -> dict[str, Any]:
    """What tells functions from others that may have the same names.

    Args:
        functions: Role → reward function, detector or None.

    Returns:
        Role → a text, or a mapping that says what holds what; JSON, the same in every process. See the module for what
        it cannot tell.
    """
    teller = _Teller()
    return {role: None if function is None else teller.told(function) for role, function in functions.items()}


def is_shipped(thing: object) -> bool:
    """Whether a function, class or object is of gaard's own code, whose version a run records."""
    return _module_name(thing).split(".")[0] == "gaard"


class _Teller:
    """Tells functions and objects, each the first time that it is met."""

    def __init__(self) -> None:
        self.met: dict[int, tuple[object, str]] = {}  # with the object: while it is held, no other gets its id

    def told(self, thing: Any) -> Any:
        """A function or an object."""
        if isinstance(thing, functools.partial):
            given = {"args": self.value(thing.args), "keywords": self.values(thing.keywords)}
            return {"partial": self.told(thing.func), **{key: value for key, value in given.items() if value}}
        if isinstance(thing, types.MethodType):
            return {"method": self.told(thing.__func__), "of": self.told(thing.__self__)}
        if isinstance(thing, types.BuiltinMethodType) and not isinstance(
            thing.__self__, (types.ModuleType, type(None))
        ):
            return {"method": thing.__name__, "of": self.value(thing.__self__)}
        if isinstance(thing, types.ModuleType):
            return f"module {thing.__name__}"
        if id(thing) in self.met:
            return f"{self.met[id(thing)][1]}, again"
        self.met[id(thing)] = thing, f"{_place(thing)}, no. {len(self.met) + 1}"
        if isinstance(thing, types.FunctionType):
            return self._function(thing)
        if isinstance(thing, type):
            return self._class(thing)
        if isinstance(thing, torch.nn.Module):
            return self._model(thing)
        if is_shipped(type(thing)):
            return self._shipped(thing)
        return self._object(thing)

    def value(self, value: Any) -> Any:
        """What an attribute or argument holds; its hash if it is long."""
        met = len(self.met)
        found = as_json(value, self.told)
        longest = LONGEST if len(self.met) == met else LONGEST_OF_OBJECTS
        if isinstance(value, LONG) and len(text := json.dumps(found, sort_keys=True)) > longest:
            return {"sha256": short_hash(text)}
        return found

    def values(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Several, by name."""
        return {str(name): self.value(values[name]) for name in sorted(values, key=str)}

    def _function(self, function: types.FunctionType) -> Any:
        code = function.__code__
        cells = zip(code.co_freevars, function.__closure__ or (), strict=True)
        holds = {
            "defaults": self.value(function.__defaults__ or ()),
            "keyword_defaults": self.values(function.__kwdefaults__ or {}),
            "closure": {name: self._cell(cell) for name, cell in cells},
            "uses": {} if is_shipped(function) else self._used(function),
        }
        return _joined("function", f"{_place(function)}{_code(function)}", holds)

    def _cell(self, cell: types.CellType) -> Any:
        try:
            return self.value(cell.cell_contents)
        except ValueError:  # not assigned yet
            return "empty"

    def _used(self, *functions: types.FunctionType) -> dict[str, Any]:
        """What functions of the user's name at the top level of their modules, and what tells it."""
        told = {}
        for function in functions:
            here = function.__globals__
            for name in sorted(set(_names(function.__code__)) & here.keys()):
                value = here[name]
                if _counts(value, script=here.get("__name__") == "__main__"):
                    told[name] = self.value(value)
        return told

    def _class(self, kind: type) -> Any:
        if is_shipped(kind) or _is_library(kind):
            return _place(kind)
        bases = [base for base in kind.__mro__[1:] if not is_shipped(base) and not _is_library(base)]
        holds = {"bases": [self.told(base) for base in bases], "uses": self._used(*_functions(kind))}
        return _joined("class", f"{_place(kind)}{_code(kind)}", holds)

    def _model(self, model: torch.nn.Module) -> Any:
        weights = short_hash(json.dumps(as_json(model.state_dict(), self.told), sort_keys=True))
        told = {"model": self._class(type(model)), "weights": weights}
        if _is_library(type(model)):
            return told
        own = {name: value for name, value in vars(model).items() if name[0] != "_" and name != "training"}
        return {**told, "attributes": self.values(own)}

    def _shipped(self, thing: Any) -> Any:
        """One of gaard's rewards: its repr says its parameters."""
        if hasattr(thing, "identity"):
            return thing.identity()
        plain = type(thing).__repr__ is object.__repr__
        name = _place(type(thing)) if plain else repr(thing)
        return _joined("reward", name, {key: self._held(vars(thing)[key]) for key in HELD if key in vars(thing)})

    def _held(self, value: Any) -> Any:
        return [self.told(one) for one in value] if isinstance(value, tuple) else self.told(value)

    def _object(self, thing: Any) -> Any:
        """An object of a user's class with all that it holds, one of a library's with its functions and models."""
        kind = type(thing)
        if hasattr(thing, "__wrapped__"):  # such as functools.lru_cache
            return {"class": _place(kind), "wraps": self.told(thing.__wrapped__)}
        if not _is_library(kind):
            return _joined("class", self.told(kind), {"attributes": self.value(_state(thing))})
        if isinstance(thing, (types.BuiltinFunctionType, types.BuiltinMethodType)):
            return f"{_place(thing)}, not told"
        held = {name: value for name, value in getattr(thing, "__dict__", {}).items() if _counts(value)}
        return {"class": _place(kind), "holds": self.values(held)} if held else f"{_place(kind)}, not told"


def _joined(what: str, name: Any, holds: dict[str, Any]) -> Any:
    """The name, alone if it holds nothing."""
    held = {key: value for key, value in holds.items() if value}
    return {what: name, **held} if held else name


def _state(thing: Any) -> Any:
    """The attributes of an object, as it gives them for pickling."""
    try:
        return thing.__getstate__()
    except Exception:  # it is not to be pickled
        return getattr(thing, "__dict__", None)


def _module_name(thing: Any) -> str:
    # A decorated function has the __module__ of the function inside it.
    name = thing.__globals__.get("__name__") if isinstance(thing, types.FunctionType) else None
    return str(name or getattr(thing, "__module__", None) or "")


def _place(thing: Any) -> str:
    """Where a function, class or object is defined: file or module, and its name there."""
    if not isinstance(getattr(thing, "__qualname__", None), str):
        thing = type(thing)
    name = thing.__code__.co_qualname if isinstance(thing, types.FunctionType) else thing.__qualname__
    file = file_of_module(_module_name(thing))
    return f"{file.name if file else _module_name(thing) or 'builtins'}:{name}"


def _code(thing: Any) -> str:
    """The hash of a user's function or class, for what is told of it."""
    if is_shipped(thing):
        return ""
    module = sys.modules.get(_module_name(thing))
    functions = _functions(thing)
    namespace = functions[0].__globals__ if functions else vars(module) if module else {}
    if HASH in namespace:  # of the content that was imported, whatever the file holds by now
        return f" {short_hash(f'{namespace[HASH]} {[function.__code__.co_firstlineno for function in functions]}')}"
    own = _own_source(thing)
    return f" {short_hash(own + _source(module))}" if own else ", not told"


def _own_source(thing: Any) -> str:
    """Of a function, a class, or the methods of a class that a notebook holds; nothing where there is none."""
    try:
        return inspect.getsource(thing.__code__ if isinstance(thing, types.FunctionType) else thing)
    except (OSError, TypeError):
        return "".join(map(_own_source, _functions(thing))) if isinstance(thing, type) else ""


def _source(module: types.ModuleType | None) -> str:
    """Of a whole module; nothing for the script that runs, where a user changes settings too."""
    try:
        return "" if module is None or module.__name__ == "__main__" else inspect.getsource(module)
    except (OSError, TypeError):
        return ""


def _is_library(thing: Any) -> bool:
    """Whether a class or function belongs to Python or an installed package."""
    name = _module_name(thing)
    module = sys.modules.get(name)
    if name == "__main__" or module is None:
        return False
    file = getattr(module, "__file__", None)
    return file is None or any(Path(file).is_relative_to(folder) for folder in LIBRARIES)


def _names(code: types.CodeType) -> Iterator[str]:
    """The names that a function, and those within it, look up at the top level of its module."""
    yield from (step.argval for step in dis.get_instructions(code) if step.opname == "LOAD_GLOBAL")
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


def _counts(value: Any, script: bool = False) -> bool:
    """Whether what a function uses or a library's object holds is told; constants are in a script alone."""
    if isinstance(value, (functools.partial, types.MethodType, torch.nn.Module)):
        return True
    if isinstance(value, (type, types.FunctionType)):
        return not is_shipped(value) and not _is_library(value)
    if isinstance(value, CONSTANTS):
        return script
    if hasattr(value, "__wrapped__"):
        return _counts(value.__wrapped__)
    return callable(value) and (is_shipped(type(value)) or not _is_library(type(value)))


def _functions(thing: Any) -> list[types.FunctionType]:
    """The function itself, or those of its module in the body of a class."""
    if isinstance(thing, types.FunctionType):
        return [thing]
    values = [v.fget if isinstance(v, property) else getattr(v, "__func__", v) for v in vars(thing).values()]
    return [v for v in values if isinstance(v, types.FunctionType) and _module_name(v) == thing.__module__]
