"""YAML as gaard reads it: numbers as people write them, and errors that name the file."""

import re
from pathlib import Path
from typing import Any

import yaml

from gaard.errors import ConfigError
from gaard.user_code import expanded

NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
WHOLE = re.compile(r"[-+]?[0-9]+(_[0-9]+)*$")
FRACTION = re.compile(
    r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?$|[-+]?\.inf$|\.nan$", re.IGNORECASE
)


MOST = 1_000_000  # values of a file


class UnusableError(yaml.constructor.ConstructorError):
    """YAML that says nothing that can be used."""


class _Loader(yaml.SafeLoader):
    """Numbers are what they look like. YAML 1.1 reads 1e-5 as a text, 010 as 8 and 1:30 as 90.

    A key stands once in a mapping; YAML would take the last.
    """

    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in NUMBERS]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """A mapping as it is written, before ``<<`` is merged into it."""
        node = super().compose_mapping_node(anchor)
        keys = [(key.tag, key.value) for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for number, key in enumerate(keys):
            if key in keys[:number]:
                raise UnusableError(None, None, f"the key {key[1]!r} is given twice: leave one out", node.start_mark)
        return node


def _whole(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    try:
        return int(node.value)
    except ValueError:  # Python reads no whole number of thousands of digits
        raise UnusableError(None, None, f"a number of {len(node.value)} digits is too long", node.start_mark) from None


_Loader.add_implicit_resolver(NUMBERS[0], WHOLE, list("-+0123456789"))
_Loader.add_constructor(NUMBERS[0], _whole)
_Loader.add_implicit_resolver(NUMBERS[1], FRACTION, list("-+0123456789."))


def yaml_value(text: str) -> Any:
    """What a text means in YAML.

    Args:
        text: For example ``1e-5`` or ``[a, b]``.

    Returns:
        The value.

    Raises:
        yaml.YAMLError: If it is not YAML, or says more than anybody means: an alias of itself, or aliases of aliases
            that stand for more than ``MOST`` values.
    """
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        if _size(node, {}) > MOST:
            raise UnusableError(None, None, f"it stands for more than {MOST:,} values: write fewer aliases")
        return loader.construct_document(node)
    except RecursionError:
        raise UnusableError(None, None, "it is nested too deeply") from None
    # What PyYAML's constructors end on where a text is not of its tag, such as a date of the 32nd.
    except (ValueError, TypeError, AttributeError, KeyError, OverflowError) as error:
        raise UnusableError(None, None, f"a value is not what its form or tag says ({error})") from None
    finally:
        loader.dispose()


def _size(node: yaml.Node, known: dict[int, int]) -> int:
    """How many values a node stands for, each alias counted as what it repeats; none repeats itself."""
    if id(node) in known:
        size = known[id(node)]
        if not size:
            raise UnusableError(None, None, "an alias stands inside what it repeats", node.start_mark)
        return size
    known[id(node)] = 0
    inside = node.value if isinstance(node, yaml.CollectionNode) else []
    pairs = (one if isinstance(one, tuple) else (one,) for one in inside)
    known[id(node)] = 1 + sum(_size(part, known) for pair in pairs for part in pair)
    return known[id(node)]


def read_mapping(path: str | Path, where: str) -> dict[str, Any]:
    """The keys and values of a YAML file.

    Args:
        path: The file.
        where: What an error calls it.

    Returns:
        Its content.

    Raises:
        ConfigError: If it cannot be read, or is not a mapping of names to values.
    """
    try:
        content = yaml_value(expanded(path, where).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"{where}: {error.strerror}: check the path") from None
    except UnusableError as error:
        raise ConfigError(f"{where}: {error.problem}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{where} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{where} must hold 'key: value' lines, not {type(content).__name__}")
    if odd := next((key for key in content if not isinstance(key, str)), None):
        raise ConfigError(f"{where}: the key {odd!r} is no name: keys are texts, such as max_steps")
    return content
