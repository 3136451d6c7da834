"""What may be shown and kept: texts without secrets, and without what a terminal would take for orders."""

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

HIDDEN = "***"
SHORTEST = 8  # letters of a secret in the environment; shorter ones are words that stand in any text
NAMED = re.compile(r"token(?!iz|s)|secret|passw|credential|(api|access|private)[_-]?key", re.I)  # anywhere in a name
OPTION = re.compile(r"--?([\w.-]+)(=.*)?", re.DOTALL)
KNOWN = re.compile(  # how the keys of services look, and passwords in addresses
    r"(?P<user>\b[a-z][a-z0-9+.-]*://)[^\s/@'\"]+@|\b(?:hf_[A-Za-z0-9]{20,}|sk-[\w-]{20,}|gh[pousr]_[A-Za-z0-9]{20,})"
)
# All that a terminal may act on, or that turns a line's direction: C0 but tab and newline, DEL, C1, Unicode's marks.
CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def visible(text: str) -> str:
    r"""A text as a terminal may have it.

    Args:
        text: Perhaps with words of a model, a file or another program in it.

    Returns:
        The same with control characters written out, as ``\x1b``; tabs and newlines stay.
    """
    return CONTROLS.sub(lambda found: repr(found[0])[1:-1], text)


def json_escaped(line: str) -> str:
    """JSON that stands for the same, with the control characters that JSON itself leaves written out.

    Args:
        line: JSON, whose control characters stand inside texts.

    Returns:
        The line.
    """
    return CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", line)


def secrets(environment: Mapping[str, str]) -> Iterator[str]:
    """The values of variables whose names say that they are secrets, such as ``HF_TOKEN`` and ``WANDB_API_KEY``.

    Args:
        environment: Name → value.

    Yields:
        The values, but very short ones and paths that are there, such as that of a file that holds a key.
    """
    for name, value in environment.items():
        value = value.strip()
        if NAMED.search(name) and len(value) >= SHORTEST and not _is_path(value):
            yield value


def _is_path(value: str) -> bool:
    """Whether a value looks like a path and is one that is there."""
    return value.startswith(("/", "~", ".")) and os.path.exists(os.path.expanduser(value))


def redacted(text: str) -> str:
    """A text without secrets: of the environment, in addresses, and of the forms that well-known services give.

    Args:
        text: Any.

    Returns:
        The same with ``***`` in their place.
    """
    for secret in sorted(secrets(os.environ), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return KNOWN.sub(lambda found: f"{found['user']}{HIDDEN}@" if found["user"] else HIDDEN, text)


def without_secrets(found: Any, hashed: Callable[[str], Any]) -> Any:
    """JSON whose secrets are no longer to be read: texts with one in them, and texts whose names say so.

    Args:
        found: JSON.
        hashed: What stands in the place of such a text.

    Returns:
        The same but for them.
    """
    if isinstance(found, Mapping):
        return {
            key: hashed(value) if isinstance(value, str) and NAMED.search(key) else without_secrets(value, hashed)
            for key, value in found.items()
        }
    if isinstance(found, list):
        return [without_secrets(value, hashed) for value in found]
    return hashed(found) if isinstance(found, str) and redacted(found) != found else found


def redacted_command(words: Sequence[str]) -> list[str]:
    """The words of a command line without secrets.

    Args:
        words: Of any program.

    Returns:
        As many, with ``***`` for what an option takes whose name says that it is a secret.
    """
    shown, hide = [], False
    for word in words:
        found = OPTION.fullmatch(word)
        named = found is not None and bool(NAMED.search(found[1]))
        if hide and found is None:
            shown.append(HIDDEN)
        elif found is not None and named and found[2]:
            shown.append(f"{word.partition('=')[0]}={HIDDEN}")
        else:
            shown.append(redacted(word))
        hide = named and found is not None and not found[2]
    return shown
