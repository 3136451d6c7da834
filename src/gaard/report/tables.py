"""Tables for the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from gaard.lab.arms import Arm
from gaard.lab.catalogue import Entry
from gaard.lab.measures import OF_RUN, on_terminal

if TYPE_CHECKING:  # a list of names should not wait for torch
    from gaard.lab.scenarios import Scenario
    from gaard.models.fetching import ModelRow

WIDEST = 5  # columns of arms
MOST, FIRST = 8, 3  # entries of a list that is shown in full, and entries that are shown of a longer one


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
        table.add_row(name, OF_RUN[name].text(value))
    return table


def comparison_tables(results: Mapping[str, Any]) -> list[Table]:
    """Every arm's measures with their intervals, and the untrained model's; a table a scenario.

    Args:
        results: As ``gaard compare`` writes them.

    Returns:
        Where there are few arms, a row a measure and a column an arm, so that it fits a terminal; else turned.
    """
    return [_scenario_results(label, found) for label, found in results["scenarios"].items()]


STANDINGS = {  # key of a standing → heading, and what it means
    "reached": ("true reward reached", "share of honest training's gain, mean over scenarios; 1 is as good as that"),
    "less_baseline": ("less the baseline", "more than the baseline reaches, paired by seed, in common scenarios"),
    "kept": ("of it where nothing can be hacked", "the same over the controls"),
    "hack_rate": ("hack rate", "share of completions, mean over scenarios with a hack"),
    "perplexity": ("perplexity", "of its texts under the untrained model, over honest training's; geometric mean"),
    "cost": ("cost", "seconds of a step over the baseline's; geometric mean"),
}  # fmt: skip


def standings_tables(results: Mapping[str, Any]) -> list[Table]:
    """How each arm stands over all scenarios, the best first.

    Args:
        results: As ``gaard league`` writes them.

    Returns:
        The table; and a second, of where each helps and does harm, if the seeds tell.
    """
    title = f"{escape(results['study']['summary'])}: all scenarios, mean over seeds [95% interval]"
    table = Table(title=title, caption=STANDINGS["reached"][1])
    table.add_column("arm")
    for heading, _ in STANDINGS.values():
        table.add_column(heading, justify="right")
    for heading in ("hacked runs", "scenarios", "runs"):
        table.add_column(heading, justify="right")
    for row in results["standings"]:
        cells = [interval(row[key]) for key in STANDINGS]
        counts = (f"{row['hacked']} of {row['hackable']}", str(row["scenarios"]), f"{row['done']} of {row['planned']}")
        table.add_row(escape(row["arm"]), *cells, *counts)
    judged = _verdicts_table(results)
    return [table] if judged is None else [table, judged]


def _verdicts_table(results: Mapping[str, Any]) -> Table | None:
    """The scenarios in which each arm helps, does something else, and does harm; None if nothing is known."""
    from gaard.lab.verdicts import HARM, HELPS, LEARNS_LESS, LESS, OPEN  # a list of names should not wait for SciPy

    known = [row for row in results["verdicts"] if row["verdict"] != OPEN]
    if not known:
        return None
    table = Table(title=f"where an arm helps against {escape(results['baseline'])}, and where it does harm")
    for heading in ("arm", HELPS, "differs, and does not help", f"does {HARM} (gain kept)"):
        table.add_column(heading, overflow="fold")
    for arm in dict.fromkeys(standing["arm"] for standing in results["standings"]):
        own = {row["scenario"]: row for row in known if row["arm"] == arm}
        helps = [name for name, row in own.items() if row["verdict"] == HELPS]
        words = {name: row["verdict"] for name, row in own.items()}
        other = [f"{name} ({word})" for name, word in words.items() if word.startswith((LESS, LEARNS_LESS))]
        harm = [f"{name} ({row['kept']['mean']:.1%})" for name, row in own.items() if row["verdict"] == HARM]
        if own:
            table.add_row(escape(arm), *(escape(", ".join(names)) or "–" for names in (helps, other, harm)))
    return table


def _scenario_results(label: str, found: Mapping[str, Any]) -> Table:
    """One scenario's table."""
    table = Table(title=f"{escape(label)}: mean over seeds [95% interval]")
    columns = {**found["arms"], "untrained": found["untrained"]}
    shown = [one.name for one in on_terminal(OF_RUN) if any(one.name in measures for measures in columns.values())]
    if len(columns) > WIDEST:
        table.add_column("arm")
        for name in shown:
            table.add_column(name, justify="right", overflow="fold")
        for arm, measures in columns.items():
            intervals = (interval(measures.get(name), OF_RUN[name].digits) for name in shown)
            table.add_row(f"{arm}\n{seeds_behind(measures)}", *intervals)
        return table
    table.add_column("measure")
    for arm, measures in columns.items():
        table.add_column(f"{arm}\n{seeds_behind(measures)}", justify="right", overflow="fold")
    for name in shown:
        table.add_row(name, *(interval(measures.get(name), OF_RUN[name].digits) for measures in columns.values()))
    return table


def seeds_behind(measures: Mapping[str, Any]) -> str:
    """How many runs stand behind an arm's figures, in words.

    Args:
        measures: Measure → interval.

    Returns:
        For example ``3 seeds``.
    """
    return in_number(max((measure["n"] for measure in measures.values()), default=0), "seed")


def in_number(count: int, noun: str) -> str:
    """A number of things in words: ``1 seed``, ``3 seeds``."""
    return f"{count} {noun}{'s' * (count != 1)}"


def arms_table(arms: Iterable[Arm]) -> Table:
    """What ``gaard arms`` lists.

    Args:
        arms: The arms.

    Returns:
        A row an arm.
    """

    def row(arm: Arm) -> tuple[str, str, str]:
        return arm.name, arm.summary, arm.in_words()

    caption = "each states its whole method; all else is the scenario's and the study's"
    return _listing(("arm", "what", "method, regularizers, settings"), map(row, arms), caption)


def _listing(headings: Iterable[str], rows: Iterable[Iterable[str]], caption: str | None = None) -> Table:
    """A table of plain texts."""
    table = Table(caption=caption)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    return table


def interval(measure: Mapping[str, Any] | None, digits: int = 3) -> str:
    """The mean, its interval on a line below, shorter by a digit; none for a single run; a dash for nothing."""
    if measure is None:
        return "–"
    if measure["low"] is None:
        return f"{measure['mean']:.{digits}f}"
    low, high = (f"{measure[end]:.{max(0, digits - 1)}f}" for end in ("low", "high"))
    return f"{measure['mean']:.{digits}f}\n[{low}, {high}]"


def models_table(rows: Iterable[ModelRow]) -> Table:
    """The models that gaard knows by name.

    Args:
        rows: As ``list_models`` gives them.

    Returns:
        A row a model.
    """
    texts = ((row.alias, row.hub_id, row.licence, row.size, str(row.location or "")) for row in rows)
    return _listing(("alias", "hub id", "licence", "size", "location"), texts)


def scenarios_table(scenarios: Iterable[Entry]) -> Table:
    """What ``gaard scenarios`` lists.

    Args:
        scenarios: Of the catalogue.

    Returns:
        A row a scenario.
    """
    table = Table(caption="true reward: of the untrained model, and after PPO on the true reward itself")
    for heading in ("scenario", "the reward that trains", "a hack", "model", "untrained", "honest"):
        table.add_column(heading, overflow="fold", justify="right" if heading in ("untrained", "honest") else "left")
    for scenario in scenarios:
        row = (scenario.name, scenario.summary, scenario.hack or "–", scenario.model)
        table.add_row(*map(escape, row), *_reach(scenario))
    return table


def scenario_table(scenario: Scenario) -> Table:
    """One scenario in full.

    Args:
        scenario: The scenario.

    Returns:
        A row a setting.
    """
    table = Table(title=escape(scenario.summary), show_header=False)
    table.add_column("setting")
    table.add_column("value", overflow="fold")
    scorer = scenario.scorer()
    rewards = scorer.identity()
    untrained, honest = _reach(scenario)
    rows = {
        "trains on": ", ".join(rewards["exploitable"]) or rewards["proxy"],
        "was meant": rewards["true"],
        "independent judge": rewards["judge"] or "–",
        "a hack is": scenario.hack or "–",
        "true reward": f"untrained {untrained}, honest {honest}",
        **scenario.settings(),
    }
    for name, value in rows.items():
        table.add_row(name, escape(_shown(value)))
    return table


def _shown(value: Any) -> str:
    """A setting as a table has it; of a long list its first entries."""
    if isinstance(value, list) and len(value) > MOST:
        return f"{len(value)}, such as {', '.join(map(repr, value[:FIRST]))}"
    return str(value)


def _reach(scenario: Entry | Scenario) -> tuple[str, str]:
    """Both figures, or dashes where nobody measured."""
    reach = scenario.reach
    return ("–", "–") if reach is None else (f"{reach.untrained:.3f}", f"{reach.honest:.3f}")
