"""Options as dataclasses: a field's bounds stand in its type, pydantic holds them, and errors name field and value."""

import functools
import inspect
import json
import numbers
import operator
import os
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Annotated, Any, ClassVar, Generic, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from gaard.errors import ConfigError, suggest
from gaard.messages import shortened

Count = Annotated[int, Field(gt=0)]
Several = Annotated[int, Field(ge=2)]
Whole = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
PositiveShare = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
Gain = Annotated[float, Field(gt=0, lt=5, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
ShareBelowOne = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]

T = TypeVar("T")
O = TypeVar("O", bound="Options")  # noqa: E741

LONGEST_VALUE = 200  # characters of a value in an error
OF_RUNS = "`gaard train --help all`"  # lists the fields of a run
PHRASES = {
    "greater_than": "must be greater than {gt:g}",
    "greater_than_equal": "must be {ge:g} or more",
    "less_than_equal": "must be {le:g} or less",
    "less_than": "must be less than {lt:g}",
    "finite_number": "must be finite",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be True or False",
    "string_type": "must be a text",
    "list_type": "must be a list",
    "dict_type": "must be a mapping of names to values",
    "mapping_type": "must be a mapping of names to values",
    "callable_type": "must be a function, or an object that can be called",
}


def check_fields(settings: Any, skip: Iterable[str] = ()) -> None:
    """Hold every field of a dataclass to its type and bounds; whole numbers become what the field holds.

    Args:
        settings: An instance, frozen or not.
        skip: Fields that are checked elsewhere.

    Raises:
        ConfigError: Naming the first field that is wrong, its value and what it must be.
    """
    kind: type = type(settings)
    for name, adapter in _adapters(kind).items():
        if name in skip:
            continue
        value = getattr(settings, name)
        if isinstance(value, numbers.Integral) and not isinstance(value, int):
            value = operator.index(value)
        try:
            object.__setattr__(settings, name, adapter.validate_python(value, strict=True))
        except ValidationError as error:
            wrong = _in_words(error, value, field_type(kind, name))
            raise ConfigError(f"{name}={shortened(value, LONGEST_VALUE)} {wrong}") from None


@functools.cache
def _adapters(kind: type) -> dict[str, TypeAdapter[Any]]:
    """What checks each field of a class."""
    return {
        field.name: TypeAdapter(field_type(kind, field.name), config=ConfigDict(arbitrary_types_allowed=True))
        for field in fields(kind)
        if not isinstance(vars(_owner(kind, field.name)).get(field.name), Named)
    }


def _owner(kind: type, name: str) -> type:
    """The class whose body has the field."""
    return next(base for base in kind.__mro__ if name in inspect.get_annotations(base))


@functools.cache
def field_type(kind: type, name: str) -> Any:
    """The type of a dataclass's field, with its bounds."""
    return get_type_hints(kind, include_extras=True)[name]


def _in_words(error: ValidationError, value: Any, kind: Any) -> str:
    """What is wrong with a value."""
    problem = error.errors()[0]
    if problem["type"] == "literal_error":
        return f"is not known: {suggest(str(value), choices(kind))}"
    phrase = PHRASES.get(problem["type"])
    return phrase.format(**problem.get("ctx", {})) if phrase else f"is not valid: {problem['msg']}"


def choices(kind: Any) -> tuple[Any, ...]:
    """The values of a ``Literal``, alone or in a union; none for other types."""
    if get_origin(kind) in (Union, types.UnionType):
        return tuple(value for part in get_args(kind) for value in choices(part))
    return get_args(kind) if str(get_origin(kind)) == "typing.Literal" else ()


def check_keys(given: Iterable[Any], known: Iterable[str], where: str, listed: str = OF_RUNS) -> None:
    """Refuse keys that no field has.

    Args:
        given: Keys found.
        known: Field names.
        where: The file or place they were found in.
        listed: A command that lists the fields, if they are many.

    Raises:
        ConfigError: Naming the first unknown key and its nearest neighbour.
    """
    known = list(known)
    for key in given:
        if key not in known:
            raise ConfigError(f"{where}: unknown key {key!r}: {suggest(str(key), known, listed)}")


@dataclass(frozen=True)
class Options:
    """A named choice with options of its own: a method, an estimator of advantages, a regulariser.

    A subclass is a frozen dataclass with a ``name``; its fields are its options.
    """

    kind: ClassVar[str] = "choice"
    name: ClassVar[str] = ""

    def __init_subclass__(cls, **kwargs: Any):
        """Refuse an ``__init__`` of one's own: what it takes would be no option, and stand in no record."""
        super().__init_subclass__(**kwargs)
        owner = next(base for base in cls.__mro__ if "__init__" in vars(base))
        if "__dataclass_fields__" not in vars(owner):  # then no dataclass has made it
            raise ConfigError(
                f"the class {cls.__name__} has an __init__ of its own ({owner.__name__}'s): leave it out; the options "
                "of a class are its fields, such as limit: float = 2.0, under @dataclass(frozen=True)"
            )

    def __post_init__(self) -> None:
        """Check every option, and keep what tells the code of a user's own class, as it is now.

        Raises:
            ConfigError: Naming the choice, the option, its value and the remedy; or a class whose code cannot be read.
        """
        own = vars(type(self))
        noted = {name for name, kind in inspect.get_annotations(type(self)).items() if "ClassVar" not in str(kind)}
        options = noted | (own.keys() & {field.name for field in fields(self)})
        if "__dataclass_fields__" not in own and options:  # of which Python would take no notice
            name = type(self).__name__
            raise ConfigError(f"the class {name} is no dataclass: write @dataclass(frozen=True) above it")
        try:
            check_fields(self)
            for field in fields(self):
                _plain(field.name, getattr(self, field.name))
        except ConfigError as error:
            raise ConfigError(f"{self.kind} {self.name!r}: {error}") from None
        if not type(self).__module__.startswith("gaard."):
            object.__setattr__(self, "_code", self._told())

    def record(self) -> dict[str, Any]:
        """The name and every option, as ``run.json`` has them; of a user's own class also what tells its code."""
        options = {field.name: _plain(field.name, getattr(self, field.name)) for field in fields(self)}
        record = {"name": self.name, **options}
        if type(self).__module__.startswith("gaard."):
            return record
        code = vars(self).get("_code") or self._told()  # a class whose own __post_init__ forgot this one's has none
        return {**record, "class": type(self).__qualname__, "code": code}

    def _told(self) -> str:
        """What tells the code of a user's own class."""
        from gaard.user_code import code_of_class

        return code_of_class(type(self), f"{self.kind} {self.name!r}")

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process imports the file of a user's own class by its path."""
        from gaard.user_code import rebuilding

        return rebuilding(type(self), {field.name: getattr(self, field.name) for field in fields(self)})


def _plain(name: str, value: Any) -> Any:
    """An option's value as JSON has it."""
    try:
        return json.loads(json.dumps(value, default=asdict))
    except (TypeError, ValueError, RecursionError):
        raise ConfigError(
            f"{name}={shortened(value)} cannot stand in a run's record, run.json: make it a number, a text, or a list "
            "or mapping of them, such as str(path)"
        ) from None


class Choice(Generic[O]):
    """How a choice of one kind may be given: an object, a name, or a mapping of name and options.

    Args:
        base: The class of what is chosen.
        known: Name → class of those that come with gaard.
        field: The field that holds it, where that is not named as the kind is.
    """

    def __init__(self, base: type[O], known: Mapping[str, type[O]], field: str = ""):
        self.base, self.known, self.field = base, known, field or base.kind

    def __call__(self, given: Any, default: str | None = None) -> O:
        """The chosen object.

        Args:
            given: An instance; a name; ``path/to/file.py``, whose one class of this kind is taken, or
                ``path/to/file.py:Class``; or a mapping of ``name`` and options.
            default: The name that a mapping without one means.

        Returns:
            The object.

        Raises:
            ConfigError: For a name or an option that is not known, or a value that cannot be.
        """
        if isinstance(given, self.base):
            return given
        if isinstance(given, type) and issubclass(given, self.base):
            return given()
        options = {"name": given} if isinstance(given, str | os.PathLike) else given
        if not isinstance(options, Mapping):
            raise ConfigError(f"{self.field}={given!r} is neither a name nor a mapping of name and options")
        options = dict(options)
        name = options.pop("name", default)
        if "code" in options:  # a run's record; the name is the class's, and may be that of one of gaard's
            raise ConfigError(f"{self.field}={name!r} came from a file of your own: name the file, path/to/file.py")
        if name is None:
            raise ConfigError(f"{self.field}={options!r} has no name: choose from {', '.join(sorted(self.known))}")
        kind = self._class_of(str(name))
        for option in options:
            if option not in {field.name for field in fields(kind)}:
                raise ConfigError(f"{kind.kind} {name!r} has no option {option!r}: {self._whose(option, kind)}")
        for field in fields(kind):
            if field.name not in options and field.default is MISSING and field.default_factory is MISSING:
                remedy = "give it, or a default in its class"
                raise ConfigError(f"{kind.kind} {name!r} needs the option {field.name!r}: {remedy}")
        return kind(**options)

    def _class_of(self, name: str) -> type[O]:
        """The class of a name or of a user's file."""
        from gaard.user_code import class_in_file

        found = self.known.get(name) or class_in_file(name, self.base, f"{self.field}={name!r}")
        if found is None:
            own = "or name a Python file of your own, path/to/file.py"
            if (start := name.partition("-")[0]) in self.known:
                own += f". An arm of `gaard arms` is no {self.field}: did you mean {start!r}?"
            raise ConfigError(f"{self.field}={name!r} is not known: {suggest(name, self.known)}, {own}")
        if not found.name:
            raise ConfigError(f'{self.base.kind}={name!r}: the class {found.__name__} has no name: write name = "…"')
        return found

    def _whose(self, option: str, kind: type[O]) -> str:
        """Whose option it is, or what there is."""
        owners = [name for name, other in self.known.items() if option in {field.name for field in fields(other)}]
        if owners:
            return f"it is an option of {' and '.join(owners)}"
        names = [field.name for field in fields(kind)]
        return suggest(option, names) if names else "it has none"


class Named(Generic[T]):
    """A dataclass field that takes what ``find`` takes, and holds what it finds.

    Args:
        find: For example a :class:`Choice`.
        default: What it is given where nothing is.
    """

    def __init__(self, find: Callable[[Any], T], default: Any):
        self.find, self.default = find, default

    def __set_name__(self, owner: type, name: str) -> None:
        self.slot = f"_{name}"

    def __get__(self, instance: Any, owner: type | None = None) -> T:
        # A dataclass asks its class for the default of a field.
        return self.default if instance is None else getattr(instance, self.slot)

    def __set__(self, instance: Any, value: Any) -> None:
        object.__setattr__(instance, self.slot, self.find(value))
