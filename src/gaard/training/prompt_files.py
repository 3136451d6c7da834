"""Prompts from files and from data sets of the Hugging Face hub."""

import csv
import errno
import importlib.util
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gaard.errors import ConfigError
from gaard.messages import one_line
from gaard.user_code import expanded


def read_prompts(prompts: list[Any] | str | os.PathLike[str], field: str = "prompts") -> list[Any]:
    """Prompts as given, or from the file or data set that is named.

    Args:
        prompts: A list; the path of a .txt, .jsonl, .csv or .parquet file, ``~`` being the home folder; or a data set
            of the hub, ``owner/name`` or ``owner/name:split``, by default its split ``train``.
        field: What messages call them.

    Returns:
        Strings, or rows with a ``prompt``.

    Raises:
        ConfigError: If there are none, or they cannot be read.
    """
    check_prompts(prompts, field)
    if not isinstance(prompts, (str, os.PathLike)):
        return list(prompts)
    where = f"{field}={str(prompts)!r}"
    path = expanded(Path(prompts), field)
    read = READERS.get(path.suffix.lower())
    if read is not None:
        return read(path, where)
    name, _, split = str(prompts).partition(":")
    return _data_set(name, split or "train", where)


def check_prompts(prompts: list[Any] | str | os.PathLike[str], field: str = "prompts") -> None:
    """Refuse what names no prompts, without reading a file or asking the hub.

    Args:
        prompts: As for :func:`read_prompts`.
        field: What messages call them.

    Raises:
        ConfigError: If there are none, or the file is not there, or is of a kind that is not read.
    """
    if not prompts:
        raise ConfigError(
            f"{field} is empty: give a list of prompts, or {KNOWN}; a scenario's come with "
            "gaard.lab.scenarios.with_scenario(settings)"
        )
    if not isinstance(prompts, (str, os.PathLike)):
        return
    where = f"{field}={str(prompts)!r}"
    path = expanded(Path(prompts), field)
    if path.suffix.lower() in READERS:
        if not path.exists():
            raise ConfigError(f"{where}: {os.strerror(errno.ENOENT)}: {REMEDY}")
        return
    name = str(prompts).partition(":")[0]
    is_file = path.exists() or Path(name).suffix.lower() in (*READERS, *OF_FILES.split())
    if is_file or name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise ConfigError(f"{where} is nothing that gaard reads prompts from: give a list, or {KNOWN}")


def _lines(path: Path, where: str) -> list[str]:
    return [line for _, line in _numbered_lines(path, where)]


def _json_lines(path: Path, where: str) -> list[Any]:
    return [_row(line, f"{where}, line {number}") for number, line in _numbered_lines(path, where)]


def _numbered_lines(path: Path, where: str) -> list[tuple[int, str]]:
    """The lines that are not blank, with their numbers."""
    # Not splitlines(), which also splits at line separators inside a prompt.
    found = [(number, line) for number, line in enumerate(_text(path, where).split("\n"), 1) if line.strip()]
    if not found:
        raise ConfigError(f"{where} holds no prompt: write one a line")
    return found


def _text(path: Path, where: str) -> str:
    """A file's text."""
    try:
        return path.read_text(encoding="utf-8-sig")  # "sig": a byte order mark is no part of the text
    except OSError as error:
        raise ConfigError(f"{where}: {error.strerror}: {REMEDY}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{where} is not text in UTF-8 ({error}): save it as such") from None


def _row(line: str, where: str) -> Any:
    try:
        return json.loads(line)
    except ValueError as error:
        raise ConfigError(f"{where} is not JSON, one row a line: {error}") from None


def _csv(path: Path, where: str) -> list[Any]:
    """Rows of text by the names in the first line: what a number or a date is, the user's reward knows."""
    import polars as pl

    text = _text(path, where)
    first = text.strip().partition("\n")[0]
    if not first:
        raise ConfigError(f"{where} holds no prompt: its first line names the columns, one of them 'prompt'")
    other = next((name for sign, name in SEPARATORS.items() if sign in first and "," not in first), None)
    if other:
        raise ConfigError(f"{where} seems to be separated by {other}: save it with commas between the columns")
    try:
        frame = pl.read_csv(text.encode(), infer_schema=False)
    except pl.exceptions.PolarsError:
        raise ConfigError(f"{where} {_wrong_in_csv(text)}") from None
    return _with_prompts(frame.columns, frame.to_dicts(), where)


def _wrong_in_csv(text: str) -> str:
    """Why a table of comma-separated values cannot be read."""
    rows = csv.reader(io.StringIO(text))
    try:
        columns = len(next(rows))
        for row in rows:
            if len(row) > columns:
                found = f"has {len(row)} columns in line {rows.line_num}, and {columns} in its first line"
                return f"{found}: put a text that holds commas into double quotes"
    except csv.Error:  # such as a field without end
        pass
    return "is no table with commas between its columns: check that every double quote is closed"


def _parquet(path: Path, where: str) -> list[Any]:
    import polars as pl

    try:
        frame = pl.read_parquet(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{where}: {error.strerror}: {REMEDY}") from None
    except pl.exceptions.PolarsError:
        raise ConfigError(f"{where} is no Parquet file, or a damaged one: write it anew, or as .jsonl") from None
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
# Endings of files that are not read; else `data/prompts.json` would be looked for on the hub.
OF_FILES = (
    ".json .json5 .ndjson .tsv .tab .xls .xlsx .ods .yaml .yml .xml .html .md .doc .docx .pdf .arrow .feather .avro "
    ".pkl .pickle .npy .npz .db .sqlite .py .gz .bz2 .xz .zst .zip .tar"
)
SEPARATORS = {";": "';'", "\t": "tabs", "|": "'|'"}  # in place of commas
REMEDY = "give a list, or the path of a file that can be read"
KNOWN = (
    "a file that ends in .txt (a prompt a line), .jsonl (a row of JSON a line), .csv or .parquet (with a column "
    "'prompt'), or a data set of the hub, owner/name:split"
)
