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

from gaard.errors import ConfigError
from gaard.lab.arms import UNTRAINED
from gaard.lab.frontier import SMOOTHING
from gaard.lab.scenarios import find_scenario
from gaard.report.charts import Look, coefficients_chart, curves_chart, frontier_chart
from gaard.report.study_files import StudyFiles, read_study_files
from gaard.report.texts import browsable
from gaard.report.verdict import fewer_hacks, verdict
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
    "seconds_per_step": ("s a step", "median wall-clock time", 2),
}
COMPARED = ("hack_rate", "true_reward")  # with their difference to the baseline


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
        ("curves", "Over the training.", "Mean over seeds and its 95% interval.", curves_chart(trained, look)),
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
    summary, hack = _described(study.results["study"]["scenarios"][label])
    about = {"label": label, "summary": summary, "hack": hack, "fewer": fewer_hacks(study.results, label)}
    return Section({**about, "headings": headings, "rows": rows, "charts": shown}, charts)


def _described(settings: Mapping[str, Any]) -> tuple[str, str]:
    """What trains and what a hack is, where the scenario can still be found."""
    try:
        scenario = find_scenario(settings["scenario"])
    except (KeyError, ConfigError):
        return "", ""
    return scenario.summary, scenario.hack


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
                cells.append(_difference_cell(differences.get(name)))
        seeds = max(measure["n"] for measure in measures.values())
        rows.append({"arm": arm, "seeds": f"{seeds} {'seed' if seeds == 1 else 'seeds'}", "cells": cells})
    return headings, rows


def _cell(measure: Mapping[str, Any] | None, digits: int) -> dict[str, Any]:
    """Mean and interval."""
    if measure is None:
        return {"value": "", "mean": "–", "range": ""}
    return {
        "value": measure["mean"],
        "mean": f"{measure['mean']:.{digits}f}",
        "range": "" if measure["low"] is None else f"[{measure['low']:.{digits}f}, {measure['high']:.{digits}f}]",
    }


def _difference_cell(difference: Mapping[str, Any] | None) -> dict[str, Any]:
    """A difference, its interval and p."""
    cell = _cell(difference, 3)
    if difference is None:
        return cell
    cell["mean"] = f"{difference['mean']:+.3f}"
    if difference["p_holm"] is not None:
        cell["range"] += f" p {difference['p_holm']:.2g}"
    return cell
