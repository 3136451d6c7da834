"""The rules of size: what does not fit on a screen or two has more than one idea."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(path for folder in ("src", "benchmarks", "studies", "scripts") for path in (ROOT / folder).rglob("*.py"))
DOCUMENTS = sorted(
    path for path in ROOT.rglob("*.md") if not set(path.relative_to(ROOT).parts) & {".venv", ".cache", "runs", "site"}
)
FILE, FUNCTION, LINE = 300, 50, 120


def of(paths):
    """The paths as parameters that are told apart by their names."""
    return [pytest.param(path, id=str(path.relative_to(ROOT))) for path in paths]


@pytest.mark.parametrize("path", of(SOURCES))
def test_files_and_functions_are_short(path):
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= FILE
    long = [
        f"{node.name}: {node.end_lineno - node.lineno + 1} lines"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef) and node.end_lineno - node.lineno + 1 > FUNCTION
    ]
    assert not long


@pytest.mark.parametrize("path", of(DOCUMENTS))
def test_lines_of_prose_fit_a_screen(path):
    long, code = [], False
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        code ^= line.startswith("```")
        table = line.lstrip().startswith("|")
        link = re.fullmatch(r"\s*[-*]?\s*!?\[.*\]\(\S+\)\S*", line)  # a link cannot be broken
        if len(line) > LINE and not table and not link:
            long.append(f"line {number}: {len(line)} characters")
    assert not long


def test_there_is_something_to_check():
    assert len(SOURCES) > 80
    assert len(DOCUMENTS) > 10
