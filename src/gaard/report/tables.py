"""Tables for the terminal."""

from collections.abc import Iterable, Mapping
from typing import Any

from rich.table import Table

from gaard.policy.sources import ModelRow

SHOWN = ("hack_rate", "true_reward", "proxy_reward", "kl", "entropy", "seconds_per_step")


def measures_table(title: str, measures: Mapping[str, float]) -> Table:
    """The measures of one run.

    Args:
        title: What was run.
        measures: Measure → number.

    Returns:
        A table of one column.
    """
    table = Table(title=title)
    table.add_column("measure")
    table.add_column("value", justify="right")
    for name, value in measures.items():
        table.add_row(name, f"{value:.3f}")
    return table


def comparison_table(results: Mapping[str, Any]) -> Table:
    """Every arm's measures with their intervals, and the untrained model's.

    Args:
        results: As ``gaard compare`` writes them.

    Returns:
        A row a measure, a column an arm, so that it fits a terminal.
    """
    table = Table(title="mean over seeds [95% interval]")
    table.add_column("measure")
    columns = {**results["arms"], "untrained": results["untrained"]}
    for arm, measures in columns.items():
        seeds = max((measure["n"] for measure in measures.values()), default=0)
        table.add_column(f"{arm}\n{seeds} {'seed' if seeds == 1 else 'seeds'}", justify="right", overflow="fold")
    for name in SHOWN:
        table.add_row(name, *(interval(measures.get(name)) for measures in columns.values()))
    return table


def interval(measure: Mapping[str, Any] | None) -> str:
    """The mean, its interval on a line below; no interval for a single run; a dash for nothing."""
    if measure is None:
        return "–"
    if measure["low"] is None:
        return f"{measure['mean']:.3f}"
    return f"{measure['mean']:.3f}\n[{measure['low']:.2f}, {measure['high']:.2f}]"


def models_table(rows: Iterable[ModelRow]) -> Table:
    """The models that gaard knows by name.

    Args:
        rows: As ``list_models`` gives them.

    Returns:
        A row a model.
    """
    table = Table()
    for heading in ("alias", "hub id", "licence", "size", "location"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(row.alias, row.hub_id, row.licence, row.size, str(row.location or ""))
    return table
