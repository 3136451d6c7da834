"""How a configuration file or the command line names rewards."""

import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from gaard.errors import ConfigError, ModelError, did_you_mean
from gaard.messages import one_line, shortened
from gaard.reward_names import FORMS, HONEYPOT, check_function_name, check_reward_name, is_server, names_function
from gaard.rewards.classifier import ClassifierReward
from gaard.rewards.combination import checked_weights, combine
from gaard.rewards.honeypot import check_honeypot
from gaard.rewards.honeypot import honeypot as put_honeypot
from gaard.rewards.human import HumanReward
from gaard.rewards.protocol import RewardFunction
from gaard.rewards.sentiment import LexiconSentiment
from gaard.rewards.server import RewardServer
from gaard.user_code import expanded, import_file

BUILT_IN: dict[str, type[LexiconSentiment] | type[HumanReward]] = {
    LexiconSentiment.name: LexiconSentiment,
    HumanReward.name: HumanReward,
}


def reward_from_name(name: str) -> RewardFunction:
    """Find the reward function that a name stands for.

    Args:
        name: One of
            - `lexicon`: `LexiconSentiment`; `human`: `HumanReward`;
            - `path/to/file.py:function`: from a Python file, relative to the working directory;
            - `package.module:function`: from an installed package;
            - `http://…` or `https://…`: a reward server, as `RewardServer`;
            - `org/model` or a folder: a sequence classification model, as `ClassifierReward`.
            A class in place of a function is instantiated without arguments.

    Returns:
        The reward function.

    Raises:
        ConfigError: It is a plain word and none of these, an address that cannot be asked, or the file, module or
            function is missing, fails on import, or is not callable.
        ModelError: The model cannot be loaded.
    """
    if not isinstance(name, str) or not name.strip():
        raise ConfigError(f"a reward is named {name!r}: write {FORMS}")
    if name in BUILT_IN:
        return BUILT_IN[name]()
    check_reward_name(name)
    if is_server(name):
        return RewardServer(name)
    if found := _own_function(name, f"the reward {name!r}"):
        return found
    try:
        return ClassifierReward(str(expanded(name, "a reward")) if name.startswith("~") else name)
    except ModelError as error:
        hint = did_you_mean(name, BUILT_IN)
        raise ModelError(f"{error}. If {name!r} is not meant as a model: a reward is {FORMS}.{hint}") from error


def function_from_name(name: str, field: str) -> Callable[..., Any]:
    """Find a function of the user's.

    Args:
        name: `path/to/file.py:function`, or `package.module:function`.
        field: That it is given for.

    Returns:
        The function.

    Raises:
        ConfigError: It is missing, fails on import, or is no such name.
    """
    found = _own_function(name, f"{field}={name!r}") if isinstance(name, str) else None
    if found is None:
        raise ConfigError(f"{field}={name!r} names no function: write path/to/file.py:function")
    return found


def _own_function(name: str, what: str) -> Any:
    """What stands behind the colon of a name; None if it is no name of a function."""
    if name.endswith(".py") or names_function(name):
        check_function_name(name, what)
        source, _, attribute = name.rpartition(":")
        module = import_file(Path(source), what) if source.endswith(".py") else _import_module(source, what)
        return _callable_in(module, source, attribute, what)
    return None


def build_rewards(
    reward_funcs: Sequence[str | RewardFunction],
    reward_weights: Sequence[float] | None = None,
    honeypot: Mapping[str, Any] | None = None,
) -> RewardFunction:
    """Build the reward of a configuration: the weighted sum of its functions, in a honeypot where it asks for one.

    Args:
        reward_funcs: Names as `reward_from_name` reads them, or functions.
        reward_weights: One weight a function; None weighs each with 1.
        honeypot: `word`, and optionally `mode`, `bonus`, `base_weight` and `after`, as in `gaard.rewards.honeypot`;
            None for no honeypot.

    Returns:
        A `Honeypot` around the sum where one is asked for, else a `CombinedReward`.

    Raises:
        ConfigError: A list, weight, name or honeypot setting that is wrong.
        ModelError: A model that cannot be loaded.
    """
    if isinstance(reward_funcs, str) or callable(reward_funcs):
        raise ConfigError(f"reward_funcs is {reward_funcs!r}, not a list: write [{reward_funcs}]")
    # Everything that can be refused at once is, before a model is loaded.
    weights = checked_weights(reward_weights, len(reward_funcs))
    if honeypot is not None:
        _check_honeypot_keys(honeypot)
        check_honeypot(**honeypot)
    functions = [func if callable(func) else reward_from_name(func) for func in reward_funcs]
    combined = combine(functions, weights)
    return combined if honeypot is None else put_honeypot(combined, **honeypot)


def _check_honeypot_keys(settings: Mapping[str, Any]) -> None:
    if not isinstance(settings, Mapping):
        raise ConfigError(f"honeypot is {settings!r}: give a mapping with the keys {', '.join(HONEYPOT)}")
    for key in settings:
        if key not in HONEYPOT:
            raise ConfigError(
                f"honeypot has the unknown key {key!r}: known are {', '.join(HONEYPOT)}.{did_you_mean(key, HONEYPOT)}"
            )
    if "word" not in settings:
        raise ConfigError(f"honeypot is {dict(settings)!r}, without `word`: name the word or phrase that pays")


def _import_module(source: str, what: str) -> ModuleType:
    try:
        return importlib.import_module(source)
    except Exception as error:
        raise ConfigError(
            f"{what}: the module {source!r} could not be imported: {one_line(error)}. Install it, put its "
            "folder on PYTHONPATH, or name a file as path/to/file.py:function"
        ) from error


def _callable_in(module: ModuleType, source: str, attribute: str, what: str) -> RewardFunction:
    """The function `attribute` of a module, or an instance where it is a class."""
    if not hasattr(module, attribute):
        own = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise ConfigError(
            f"{what}: {source} has no {attribute!r}; it has {', '.join(own) or 'no function'}."
            f"{did_you_mean(attribute, own)}"
        )
    found = getattr(module, attribute)
    if inspect.isclass(found):
        try:
            found = found()
        except Exception as error:
            raise ConfigError(
                f"{what}: {attribute}() failed with {one_line(error)}. A class is instantiated without "
                f"arguments: give them defaults, or define an instance in {source} and name that"
            ) from error
    if not callable(found):
        raise ConfigError(
            f"{what}: {attribute!r} in {source} is {shortened(found)}, which cannot be called: name a "
            "function, a callable object or a class of such objects"
        )
    return found
