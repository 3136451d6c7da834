"""The code of a Python source without what changes nothing of what it does: comments, docstrings, layout."""

import ast
from typing import Any

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
WITH_DOCSTRING = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def code_text(source: str | bytes) -> str:
    """What stands for the code of a source.

    Args:
        source: Of a file, or of a function or class within one, which may be indented.

    Returns:
        Equal for sources that differ in comments, blank lines, docstrings or formatting alone. Docstrings count where
        the source reads one (``__doc__``). A source that is no whole statement, such as a lambda within brackets, or
        that is nested too deeply, stands for itself.
    """
    text = source if isinstance(source, str) else source.decode(errors="backslashreplace")
    try:
        return repr(_plain(_parsed(source, text), with_docstrings="__doc__" in text))
    except (SyntaxError, ValueError, RecursionError):
        return text


def _parsed(source: str | bytes, text: str) -> ast.AST:
    """The tree of a source; of one that is indented, as a part of a file may be, that of a block."""
    try:
        return ast.parse(source)
    except IndentationError:
        return ast.parse(f"if 1:\n{text}")


def _plain(node: Any, with_docstrings: bool) -> Any:
    """A tree as nested tuples.

    Not ``ast.dump``, whose text depends on the version of Python: here fields that hold nothing are left out.
    """
    if isinstance(node, list):
        return tuple(_plain(one, with_docstrings) for one in node)
    if not isinstance(node, ast.AST):
        return node
    held = {name: value for name, value in ast.iter_fields(node) if value is not None and value != []}
    held.pop("kind", None)  # of a text, whether it is written as u"…"
    if not with_docstrings and isinstance(node, WITH_DOCSTRING) and _is_text(node.body[:1]):
        held["body"] = node.body[1:]
    return type(node).__name__, *((name, _plain(value, with_docstrings)) for name, value in held.items())


def _is_text(first: list[ast.stmt]) -> bool:
    """Whether the first statement of a body is a docstring."""
    return any(
        isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant) and isinstance(one.value.value, str)
        for one in first
    )


def function_lines(source: str | bytes) -> list[int]:
    """The lines in which functions begin, as their ``__code__`` has them.

    Args:
        source: Of a file.

    Returns:
        A line a function, in order: two of them in one line are two.
    """
    found = [node for node in ast.walk(ast.parse(source)) if isinstance(node, FUNCTIONS)]
    return sorted(min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", ()))]) for node in found)
