"""The place on a run's page for what looked too good: patterns of texts that the reward paid unusually well."""

from collections.abc import Mapping, Sequence
from typing import Any

from gaard.report.run_files import RunFiles

TITLE = "What looked too good"
COLUMNS = {"pattern": "pattern", "kind": "kind", "share": "share of texts", "lift": "lift", "examples": "examples"}


def suspects_of(run: RunFiles) -> list[dict[str, Any]]:
    """The rows of the table: the one place where a finder of hacks comes in.

    Args:
        run: The run.

    Returns:
        None yet: the page does not ask :mod:`gaard.finder`.
    """
    return []


def suspects_table(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """The table as the page takes it.

    Args:
        rows: ``pattern``, ``kind``, ``share`` (of texts), ``lift`` and ``examples`` (texts) each; what is not known
            may be missing.

    Returns:
        ``title``, ``headings`` and ``rows`` of texts, which the page escapes; None if there are no rows.
    """
    if not rows:
        return None
    return {
        "title": TITLE,
        "headings": list(COLUMNS.values()),
        "rows": [[_cell(row, key) for key in COLUMNS] for row in rows],
    }


def _cell(row: Mapping[str, Any], key: str) -> str:
    """One entry as a reader has it."""
    value = row.get(key)
    if value is None:
        return "–"
    if key == "share":
        return f"{value:.1%}"
    if key == "lift":
        return f"{value:+.3f}"
    return "\n".join(map(str, value)) if key == "examples" else str(value)
