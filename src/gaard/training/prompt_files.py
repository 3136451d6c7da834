"""Prompts from files: one a line, or rows of JSON."""

import json
import os
from pathlib import Path
from typing import Any

from gaard.errors import ConfigError
from gaard.user_code import expanded

ENDINGS = {".txt": "with one prompt a line", ".jsonl": "with one row of JSON a line"}
KNOWN = " or ".join(f"{ending} ({content})" for ending, content in ENDINGS.items())


def read_prompts(prompts: list[Any] | str | os.PathLike[str]) -> list[Any]:
    """Prompts as given, or from the file that is named.

    Args:
        prompts: A list, or the path of a .txt or .jsonl file; ``~`` is the home folder.

    Returns:
        Strings, or rows with a ``prompt``.

    Raises:
        ConfigError: If there are none, or the file cannot be read.
    """
    if not prompts:
        raise ConfigError(
            "prompts is empty: give a list of prompts, or the path of a .txt or .jsonl file; a scenario's "
            "come with gaard.lab.scenarios.with_scenario(settings)"
        )
    if not isinstance(prompts, (str, os.PathLike)):
        return list(prompts)
    where = f"prompts={str(prompts)!r}"
    path = expanded(Path(prompts), "prompts")
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise ConfigError(f"{where} is no prompt file that gaard reads: give a list, or a file {KNOWN}")
    lines = _numbered_lines(path, where)
    return [line for _, line in lines] if ending == ".txt" else [_row(line, f"{where}, line {n}") for n, line in lines]


def _numbered_lines(path: Path, where: str) -> list[tuple[int, str]]:
    """The lines that are not blank, with their numbers."""
    try:
        # "sig": a byte order mark is no part of the text. Not splitlines(), which also splits at line separators inside
        # a prompt.
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise ConfigError(f"{where}: {error.strerror}: give a list, or the path of a file") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{where} is not text in UTF-8 ({error}): save it as such") from None
    found = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not found:
        raise ConfigError(f"{where} holds no prompt: write one a line")
    return found


def _row(line: str, where: str) -> Any:
    try:
        return json.loads(line)
    except ValueError as error:
        raise ConfigError(f"{where} is not JSON, one row a line: {error}") from None
