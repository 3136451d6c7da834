"""What differs between two runs, in words: a line a setting, and whose code has changed."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from gaard.messages import shortened

HASHES = {  # what stands in a run's record as a hash
    "model_sha256": "the model's weights",
    "model_setup.config": "the model's configuration",
    "model_setup.adapters": "the adapters",
    "model_setup.trainable": "the choice of weights that train",
    "model_setup.tokenizer": "the tokenizer",
    "model_setup.value_head": "the critic's weights",
}
ROLES = {  # of a reward in a run's record: the setting that gives it, and what it is
    "proxy": ("reward_funcs", "reward"),
    "true": ("true_reward_funcs", "true reward"),
    "judge": ("judge_reward_funcs", "judge reward"),
    "detector": ("hack_detector", "hack detector"),
    "ensemble": ("ensemble_reward_funcs", "reward"),
}
OF_CODE = ("class", "code")  # of a user's method, estimator or regularizer
CODE = re.compile(r"(.+) [0-9a-f]{16,64}")  # a function, class or module, and the hash of its code
HASH = re.compile(r"[0-9a-f]{16,64}")
HASHED = ("sha256", "array", "tensor")  # keys under which hashes stand
CALLED = ("function", "class", "reward", "partial", "method", "model")  # keys that say what holds the others


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What changed between two mappings, a line each.

    Args:
        old: Before: settings and facts as ``run.json`` has them, flat.
        new: Now.

    Returns:
        For example ``learning_rate: 1e-05 there, 2e-05 now``, or ``the code of reward mine.py:score changed``.
    """
    lines: list[str] = []
    for key in sorted(old.keys() | new.keys()):
        one, other = old.get(key), new.get(key)
        if one == other:
            continue
        if key == "rewards" and isinstance(one, Mapping) and isinstance(other, Mapping):
            lines += _of_rewards(one, other)
        else:
            lines += _of_setting(key, one, other)
    return lines


def _of_setting(key: str, old: Any, new: Any) -> list[str]:
    """A setting; of what has options, those that differ, if it is the same otherwise."""
    if key in HASHES:
        return [f"{key}: {HASHES[key]} changed"]
    if isinstance(old, Mapping) and isinstance(new, Mapping) and old.get("name") == new.get("name"):
        names = [name for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]
        options = [name for name in names if name not in OF_CODE]
        lines = [line for name in options for line in _of_setting(f"{key}.{name}", old.get(name), new.get(name))]
        code = [f"the code of {key} {old['name']!r} changed"] if options != names else []
        return lines + code
    names = _names(old)
    if names and names == _names(new):
        changed = [three for three in zip(names, old, new, strict=True) if three[1] != three[2]]
        return [line for name, one, other in changed for line in _of_setting(f"{key}.{name}", one, other)]
    return [f"{key}: {shortened(_named(old))} there, {shortened(_named(new))} now"]


def _names(value: Any) -> list[str]:
    """Of a list of things with options, such as regularizers; empty for anything else."""
    whole = isinstance(value, list) and all(isinstance(one, Mapping) and "name" in one for one in value)
    return [one["name"] for one in value] if whole else []


def _named(value: Any) -> Any:
    """A thing with options by its name, several by theirs, other values as they are."""
    if isinstance(value, Mapping):
        return value.get("name", "other values")
    return _names(value) or value


def _of_rewards(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """The rewards of a run, role by role; a file whose code changed is named once."""
    lines: list[str] = []
    files: set[str] = set()
    for role, (setting, noun) in ROLES.items():
        if old.get(role) != new.get(role):
            lines.append(f"{setting}: {_told(old.get(role))} there, {_told(new.get(role))} now")
            continue
        before, now = (one.get("functions", {}).get(role) for one in (old, new))
        for path, one, other in _leaves(before, now):
            place = _changed_code(one, other)
            if place is None:
                lines.append(_of_value(setting, path, one, other))
            elif (file := place.partition(":")[0]) not in files:
                files.add(file)
                lines.append(f"the code of {noun} {place} changed")
    return list(dict.fromkeys(lines)) or ["the rewards changed"]


def _leaves(old: Any, new: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any, Any]]:
    """Path, old and new value of each part that differs."""
    if old == new:
        return
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        # What holds the others first: it names them.
        for key in sorted(old.keys() | new.keys(), key=lambda name: (name not in CALLED, name)):
            yield from _leaves(old.get(key), new.get(key), (*path, key))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from _leaves(one, other, (*path, index))
    else:
        yield path, old, new


def _changed_code(old: Any, new: Any) -> str | None:
    """File and name of a function or class whose code alone has changed."""
    found = [CODE.fullmatch(one) if isinstance(one, str) else None for one in (old, new)]
    if found[0] and found[1] and found[0][1] == found[1][1]:
        return found[0][1]
    return None


def _of_value(setting: str, path: tuple[Any, ...], old: Any, new: Any) -> str:
    """What a reward was given."""
    names = [name for name in path if isinstance(name, str) and name not in (*HASHED, *CALLED, *ROLES, "functions")]
    what = ", ".join([setting, *names[-1:]])
    one, other = _told(old), _told(new)
    hashed = all(isinstance(value, str) and HASH.fullmatch(value) for value in (old, new))
    return f"{what} changed" if hashed or one == other else f"{what}: {one} there, {other} now"


def _told(value: Any) -> str:
    """A function or object by its name, without its hash; another value as it is, if it is short."""
    if isinstance(value, Mapping):
        return next((_told(value[key]) for key in CALLED if key in value), "other values")
    if value is None:
        return "none"
    if isinstance(value, str):
        found = CODE.fullmatch(value)
        return found[1] if found else value
    return shortened(value)
