"""Every field of a run and every option of what may be chosen, for tests that go through them all."""

import dataclasses
from typing import Any, get_args, get_type_hints

from gaard import GAAConfig
from gaard.lab.spec import CHOSEN

FIELDS = {field.name: field for field in dataclasses.fields(GAAConfig)}
# field.name.option → the class that has it
OPTIONS = {
    f"{field}.{name}.{option.name}": kind
    for field in CHOSEN
    for name, kind in CHOSEN[field].items()
    for option in dataclasses.fields(kind)
}


def chosen(option: str, **value: Any) -> dict[str, Any]:
    """The setting that chooses what has an option, the option perhaps given."""
    field, name, last = option.split(".")
    one = {"name": name} | ({last: value["given"]} if value else {})
    return {field: [one] if field == "regularizers" else one}


def kinds(name: str) -> tuple[Any, ...]:
    """The types that the annotation of a field or an option allows."""
    annotation = get_type_hints(OPTIONS.get(name, GAAConfig))[name.rpartition(".")[2]]
    return get_args(annotation) or (annotation,)
