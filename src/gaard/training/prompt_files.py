"""Prompts from files and from data sets of the Hugging Face hub."""

import importlib.util
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

from gaard.errors import ConfigError
from gaard.messages import one_line
from gaard.user_code import expanded


def read_prompts(prompts: list[Any] | str | os.PathLike[str]) -> list[Any]:
    """Prompts as given, or from the file or data set that is named.

    Args:
        prompts: A list; the path of a .txt, .jsonl, .csv or .parquet file, ``~`` being the home folder; or a data set
            of the hub, ``owner/name`` or ``owner/name:split``, by default its split ``train``.

    Returns:
        Strings, or rows with a ``prompt``.

    Raises:
        ConfigError: If there are none, or they cannot be read.
    """
    if not prompts:
        raise ConfigError(
            f"prompts is empty: give a list of prompts, or {KNOWN}; a scenario's come with "
            "gaard.lab.scenarios.with_scenario(settings)"
        )
    if not isinstance(prompts, (str, os.PathLike)):
        return list(prompts)
    where = f"prompts={str(prompts)!r}"
    path = expanded(Path(prompts), "prompts")
    read = READERS.get(path.suffix.lower())
    if read is not None:
        return read(path, where)
    name, _, split = str(prompts).partition(":")
    if path.exists() or name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise ConfigError(f"{where} is nothing that gaard reads prompts from: give a list, or {KNOWN}")
    return _data_set(name, split or "train", where)


def _lines(path: Path, where: str) -> list[str]:
    return [line for _, line in _numbered_lines(path, where)]


def _json_lines(path: Path, where: str) -> list[Any]:
    return [_row(line, f"{where}, line {number}") for number, line in _numbered_lines(path, where)]


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


def _csv(path: Path, where: str) -> list[Any]:
    """Rows of text by the names in the first line: what a number or a date is, the user's reward knows."""
    return _table(lambda: pl.read_csv(path, infer_schema=False), where)


def _parquet(path: Path, where: str) -> list[Any]:
    return _table(lambda: pl.read_parquet(path), where)


def _table(read: Callable[[], pl.DataFrame], where: str) -> list[Any]:
    """Rows of a table with a column of prompts."""
    try:
        frame = read()
    except (OSError, pl.exceptions.PolarsError) as error:
        raise ConfigError(f"{where}: {one_line(error)}: give a file that can be read") from error
    return _with_prompts(frame.columns, frame.to_dicts(), where)


def _data_set(name: str, split: str, where: str) -> list[Any]:
    """A split of a data set of the hub."""
    if importlib.util.find_spec("datasets") is None:
        raise ConfigError(f"{where} is taken for a data set of the hub: pip install 'gaard[datasets]', or give {KNOWN}")
    from datasets import load_dataset

    try:
        found = load_dataset(name, split=split)
    except Exception as error:  # the hub's, the file's and the network's, of many classes
        raise ConfigError(f"{where}: {one_line(error)}: check name and split, and the network") from error
    return _with_prompts(found.column_names, list(found), where)


def _with_prompts(columns: list[str], rows: list[Any], where: str) -> list[Any]:
    if "prompt" not in columns:
        raise ConfigError(f"{where} has no column 'prompt', only {', '.join(columns) or 'none'}: rename one to that")
    if not rows:
        raise ConfigError(f"{where} holds no prompt")
    return rows


READERS: dict[str, Callable[[Path, str], list[Any]]] = {
    ".txt": _lines,
    ".jsonl": _json_lines,
    ".csv": _csv,
    ".parquet": _parquet,
}
KNOWN = (
    "a file that ends in .txt (a prompt a line), .jsonl (a row of JSON a line), .csv or .parquet (with a column "
    "'prompt'), or a data set of the hub, owner/name:split"
)
