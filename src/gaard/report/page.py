"""The page of a study: one file that needs no network, made from the study's folder, finished or not."""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from plotly.offline import get_plotlyjs
from plotly.utils import PlotlyJSONEncoder

from gaard.lab.arms import UNTRAINED
from gaard.lab.frontier import SMOOTHING
from gaard.report.charts import SHOWN_AT_FIRST, Look, coefficients_chart, curves_chart, frontier_chart
from gaard.report.study_files import StudyFiles, read_study_files
from gaard.report.tables import seeds_behind
from gaard.report.texts import browsable
from gaard.report.verdict import fewer_hacks, tax, verdict
from gaard.training.checkpoint import write_file
from gaard.version import __version__

PAGE = "report.html"
ASSETS = "assets/page"
# Measure → heading, what it is, digits.
COLUMNS = {
    "hack_rate": ("hack rate", "share of completions", 3),
    "true_reward": ("true reward", "what was meant", 3),
    "gold_reward": ("gold reward", "a judge that nothing trains on", 3),
    "proxy_reward": ("proxy reward", "what trains", 3),
    "kl": ("KL", "to the untrained model, nats a token", 3),
    "entropy": ("entropy", "nats a token", 3),
    "completion_length": ("length", "tokens a completion", 1),
    "distinct_2": ("distinct-2", "share of distinct pairs of tokens", 3),
    "untrained_perplexity": ("perplexity", "of a token, under the untrained model", 2),
    "frontier_area": ("area", "under honest share against true reward gained", 3),
    "seconds_per_step": ("s a step", "median wall-clock time", 2),
}
COMPARED = ("hack_rate", "true_reward", "kl", "frontier_area")  # with their difference to the baseline


def write_page(folder: Path) -> Path:
    """Make ``report.html`` from what there is of a study.

    Args:
        folder: Of the study.

    Returns:
        The file.

    Raises:
        ConfigError: If the folder holds no study.
    """
    study = read_study_files(folder)
    path = folder / PAGE
    write_file(path, page(study, folder.resolve().name))
    return path


def page(study: StudyFiles, name: str) -> str:
    """The page's HTML.

    Args:
        study: The study's files.
        name: Its title.

    Returns:
        One document with everything in it; text of models and users is escaped, and no script runs but the page's own.
    """
    scenarios, charts = [], {}
    for number, label in enumerate(study.results["scenarios"]):
        section = _section(study, label, f"chart-{number}")
        charts.update(section.charts)
        scenarios.append(section.shown)
    texts, part = browsable(study.runs)
    scripts = [get_plotlyjs(), files("gaard").joinpath(ASSETS, "page.js").read_text(encoding="utf-8")]
    environment = Environment(
        loader=PackageLoader("gaard", ASSETS), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template("page.html.j2").render(
        name=name,
        arms=[arm["name"] for arm in study.results["study"]["arms"]],
        shown_at_first=SHOWN_AT_FIRST,
        summary=study.results["study"]["summary"],
        verdict=verdict(study.results),
        done=sum(run.finished for run in study.runs),
        runs=len(study.runs),
        missing=study.missing(),
        baseline=study.results["baseline"],
        scenarios=scenarios,
        has_texts=bool(texts),
        thinned=part,
        smoothing=SMOOTHING,
        version=__version__,
        css=files("gaard").joinpath(ASSETS, "page.css").read_text(encoding="utf-8"),
        scripts=scripts,
        script_hashes=" ".join(map(_script_hash, scripts)),
        data=_embedded({"charts": charts, "texts": texts}),
    )


def _script_hash(script: str) -> str:
    """What the page's policy lets run, and nothing else."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _embedded(data: Mapping[str, Any]) -> str:
    """JSON that cannot end the element that it stands in."""
    return json.dumps(data, cls=PlotlyJSONEncoder, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


@dataclass(frozen=True)
class Section:
    """What the page shows of one scenario.

    Attributes:
        shown: What the template fills in.
        charts: Element → what Plotly draws there.
    """

    shown: dict[str, Any]
    charts: dict[str, dict[str, Any]]


def _section(study: StudyFiles, label: str, prefix: str) -> Section:
    """One scenario's table and charts."""
    found, trained = study.results["scenarios"][label], study.trained(label)
    look = Look(list(trained))
    offered: list[tuple[str, str, str, dict[str, Any] | None]] = [
        (
            "curves",
            "Over the training.",
            "Mean over seeds and its 95% interval, of those seeds that got so far.",
            curves_chart(trained, look),
        ),
        (
            "frontier",
            "Hacks against what was meant.",
            "An arm that only learns less stands where others stood at the same KL.",
            frontier_chart(found, look),
        ),
        (
            "coefficients",
            "Where the training went.",
            "The path of mean η and max(σ, 0) over tokens; the large mark is its end; the surfaces go on to σ = 2.",
            coefficients_chart(trained, look),
        ),
    ]
    shown, charts = [], {}
    for kind, title, caption, chart in offered:
        if chart is not None and any(trained.values()):
            key = f"{prefix}-{kind}"
            charts[key] = {name: part for name, part in chart.items() if name != "names"}
            choices = chart.get("names", [])
            height = chart["layout"]["height"]
            shown.append({"key": key, "title": title, "caption": caption, "choices": choices, "height": height})
    headings, rows = _table(found)
    about = study.results["study"]["about"].get(label, {"summary": "", "hack": ""})
    words = {"label": label, **about, "fewer": fewer_hacks(study.results, label), "tax": tax(study.results, label)}
    return Section({**words, "headings": headings, "rows": rows, "charts": shown}, charts)


def _table(found: Mapping[str, Any]) -> tuple[list[tuple[str, str]], list[dict[str, Any]]]:
    """Headings, and a row an arm that has results."""
    arms = {arm: measures for arm, measures in {**found["arms"], UNTRAINED: found["untrained"]}.items() if measures}
    names = [name for name in COLUMNS if any(name in measures for measures in arms.values())]
    headings = []
    for name in names:
        heading, meaning, _ = COLUMNS[name]
        headings.append((heading, meaning))
        if name in COMPARED:
            headings.append((f"Δ {heading}", "less the baseline on common seeds"))
    rows = []
    for arm, measures in arms.items():
        differences = found["differences"].get(arm, {})
        cells = []
        for name in names:
            cells.append(_cell(measures.get(name), COLUMNS[name][2]))
            if name in COMPARED:
                cells.append(_difference_cell(differences.get(name), measures.get(name)))
        rows.append({"arm": arm, "seeds": seeds_behind(measures), "cells": cells})
    return headings, rows


def _cell(measure: Mapping[str, Any] | None, digits: int) -> dict[str, Any]:
    """Mean and interval, and under the pointer the mean of the middle half of the seeds."""
    if measure is None:
        return {"value": "", "mean": "–", "range": "", "title": ""}
    cell = {"value": measure["mean"], "mean": f"{measure['mean']:.{digits}f}", "range": _between(measure, digits)}
    middle = measure.get("iqm")
    return {**cell, "title": f"IQM {middle['mean']:.{digits}f} {_between(middle, digits)}" if middle else ""}


def _between(interval: Mapping[str, Any], digits: int) -> str:
    """The ends of an interval, if it has any."""
    return "" if interval["low"] is None else f"[{interval['low']:.{digits}f}, {interval['high']:.{digits}f}]"


def _difference_cell(difference: Mapping[str, Any] | None, own: Mapping[str, Any] | None) -> dict[str, Any]:
    """A difference, its interval and p, and of how many seeds where they are fewer than the arm's own."""
    cell = _cell(difference, 3)
    if difference is None or own is None:
        return cell
    notes = [] if difference["p_holm"] is None else [f"p {difference['p_holm']:.2g}"]
    notes += [f"{difference['n']} common"] if difference["n"] < own["n"] else []
    return {**cell, "mean": f"{difference['mean']:+.3f}", "range": " ".join([cell["range"], *notes]).strip()}
