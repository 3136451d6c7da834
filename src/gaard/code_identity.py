"""What tells a user's reward or method from another: its code, whatever wraps it, and what it was given.

A function is named by place and by a hash. Its place is the name of its file (without the folder, so that a study keeps
its identity elsewhere) or its module. Its hash is of the whole file, or of the whole module; of a function in the
script that runs, it is of the function alone, and the functions and constants that it uses are told beside it.
Comments, docstrings and layout are no part of what is hashed (``gaard.syntax``).

Limits: these can change without another identity.
- What cannot be read: functions in C or without source, and objects without attributes, such as locks. The identity
  names them, with ", not told".
- What a reward or method reads as it runs: files, servers, the environment.
- The versions of installed libraries, and what objects of their classes hold but for models and functions.
- In the script that runs: lists and mappings at its top level, which often grow while a reward scores.
- Docstrings that are read otherwise than as ``__doc__`` in the same file, as by ``inspect.getdoc``.
- Two lambdas in one line, modules that are imported within a function, and what modules that are used as
  ``module.function`` use of others.

An object counts as it is when the identity is taken. What changes while it scores, such as a cache, it may leave out in
its ``__getstate__``, as it would for pickling.
"""

import functools
import json
import types
from collections.abc import Mapping
from typing import Any

import torch

from gaard.content import as_json, short_hash
from gaard.disclosure import without_secrets
from gaard.source_code import (
    SCRIPT,
    code_words,
    counts,
    global_names,
    is_library,
    is_read,
    is_shipped,
    module_hash,
    module_name,
    place,
    written_functions,
)
from gaard.user_code import file_of_module

HELD = ("functions", "base", "true_reward", "model")  # attributes in which gaard's rewards hold others
LONG = (str, int, list, tuple, set, frozenset, Mapping)
LONGEST, LONGEST_OF_OBJECTS = 200, 5000  # characters of such a value that are written out


def identity_of(functions: Mapping[str, object]) -> dict[str, Any]:
    """What tells functions from others that may have the same names.

    Args:
        functions: Role → reward function, detector or None.

    Returns:
        Role → a text, or a mapping that says what holds what; JSON, the same in every process. Of what holds a secret
        it has a hash. See the module for what it cannot tell.
    """
    teller = _Teller()
    told = {role: None if function is None else teller.told(function) for role, function in functions.items()}
    return without_secrets(told, lambda secret: {"sha256": short_hash(secret)})


def code_of(kind: type) -> str | None:
    """A hash of what the objects of a user's class do, whatever the name of its file.

    Args:
        kind: The class.

    Returns:
        Of the class, the user's classes that it derives from, and what their functions use. None if the body of one of
        these classes cannot be read.
    """
    bases = [base for base in kind.__mro__[1:] if not is_shipped(base) and not is_library(base)]
    if not all(is_read(function) for one in (kind, *bases) for function in written_functions(one)):
        return None
    told = json.dumps(_Teller(kind).told(kind), sort_keys=True)
    file = file_of_module(module_name(kind))
    return short_hash(told.replace(f'"{file.name}:', '"') if file else told)


class _Teller:
    """Tells functions and objects, each the first time that it is met."""

    def __init__(self, whole: type | None = None) -> None:
        self.whole = whole  # a class that is told in full, though it may stand in a library
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
            return f"module {thing.__name__}{module_hash(thing)}"
        if id(thing) in self.met:
            return f"{self.met[id(thing)][1]}, again"
        self.met[id(thing)] = thing, f"{place(thing)}, no. {len(self.met) + 1}"
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
        holds = {**self._given(function), "uses": {} if is_shipped(function) else self._used(function)}
        return _joined("function", f"{place(function)}{code_words(function)}", holds)

    def _given(self, function: types.FunctionType) -> dict[str, Any]:
        """What a function was given where it was defined."""
        cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        return {
            "defaults": self.value(function.__defaults__ or ()),
            "keyword_defaults": self.values(function.__kwdefaults__ or {}),
            "closure": {name: self._cell(cell) for name, cell in cells if name != "__class__"},
        }

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
            for name in sorted(set(global_names(function.__code__)) & here.keys()):
                value = here[name]
                if counts(value, script=here.get("__name__") in SCRIPT):
                    told[name] = self.value(value)
        return told

    def _class(self, kind: type) -> Any:
        if kind is not self.whole and (is_shipped(kind) or is_library(kind)):
            return place(kind)
        functions = written_functions(kind)
        bases = [base for base in kind.__mro__[1:] if not is_shipped(base) and not is_library(base)]
        given = {one.__qualname__: {k: v for k, v in self._given(one).items() if v} for one in functions}
        holds = {
            "bases": [self.told(base) for base in bases],
            "given": {name: held for name, held in given.items() if held},
            "uses": self._used(*functions),
        }
        return _joined("class", f"{place(kind)}{code_words(kind)}", holds)

    def _model(self, model: torch.nn.Module) -> Any:
        weights = short_hash(json.dumps(as_json(model.state_dict(), self.told), sort_keys=True))
        told = {"model": self._class(type(model)), "weights": weights}
        if is_library(type(model)):
            return told
        own = {name: value for name, value in vars(model).items() if name[0] != "_" and name != "training"}
        return {**told, "attributes": self.values(own)}

    def _shipped(self, thing: Any) -> Any:
        """One of gaard's rewards: its repr says its parameters."""
        if hasattr(thing, "identity"):
            return thing.identity()
        plain = type(thing).__repr__ is object.__repr__
        name = place(type(thing)) if plain else repr(thing)
        return _joined("reward", name, {key: self._held(vars(thing)[key]) for key in HELD if key in vars(thing)})

    def _held(self, value: Any) -> Any:
        return [self.told(one) for one in value] if isinstance(value, tuple) else self.told(value)

    def _object(self, thing: Any) -> Any:
        """An object of a user's class with all that it holds, one of a library's with its functions and models."""
        kind = type(thing)
        if hasattr(thing, "__wrapped__"):  # such as functools.lru_cache
            return {"class": place(kind), "wraps": self.told(thing.__wrapped__)}
        if not is_library(kind):
            return _joined("class", self.told(kind), {"attributes": self.value(_state(thing))})
        if isinstance(thing, (types.BuiltinFunctionType, types.BuiltinMethodType)):
            return f"{place(thing)}, not told"
        held = {name: value for name, value in getattr(thing, "__dict__", {}).items() if counts(value)}
        return {"class": place(kind), "holds": self.values(held)} if held else f"{place(kind)}, not told"


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
