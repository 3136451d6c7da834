"""The page of a study: one file that needs no network, made from the study's folder, finished or not."""

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from plotly.graph_objects import Figure
from plotly.offline import get_plotlyjs
from plotly.utils import PlotlyJSONEncoder

from gaard.lab.arms import UNTRAINED
from gaard.lab.frontier import SMOOTHING
from gaard.lab.measures import OF_RUN, OF_TOKEN, Measure, on_page
from gaard.report.charts import curves_chart, frontier_chart, frontier_places
from gaard.report.look import SHOWN_AT_FIRST, Look
from gaard.report.study_files import StudyFiles, read_study_files
from gaard.report.surfaces import coefficient_surfaces, coefficients_chart, path_over_surfaces
from gaard.report.tables import seeds_behind
from gaard.report.texts import browsable
from gaard.report.verdict import fewer_hacks, tax, verdict
from gaard.training.checkpoint import write_file
from gaard.version import __version__

PAGE = "report.html"
ASSETS = "assets/page"
COEFFICIENTS = "coefficients.html"


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
    columns = {measure.name: {"label": measure.label, "title": measure.title} for measure in on_page(OF_TOKEN)}
    scripts = [get_plotlyjs(), files("gaard").joinpath(ASSETS, "page.js").read_text(encoding="utf-8")]
    environment = Environment(
        loader=PackageLoader("gaard", ASSETS), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template("page.html.j2").render(
        name=name,
        arms=study.arms,
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
        data=_embedded({"charts": charts, "texts": texts, "columns": columns}),
    )


def _script_hash(script: str) -> str:
    """What the page's policy lets run, and nothing else."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _embedded(data: Mapping[str, Any]) -> str:
    """JSON that cannot end the element that it stands in."""
    return json.dumps(data, cls=PlotlyJSONEncoder, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def write_coefficients(folder: Path) -> Path:
    """The surfaces of G7 and G8 as one page that needs no network.

    Args:
        folder: Made if it is not there.

    Returns:
        The file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / COEFFICIENTS
    coefficient_surfaces().write_html(path, include_plotlyjs=True)
    return path


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
    found = study.results["scenarios"][label]
    shown, charts = [], {}
    for kind, title, caption, names, chart in _charts(study, label):
        key = f"{prefix}-{kind}"
        charts[key] = chart
        height = chart["layout"]["height"]
        shown.append({"key": key, "title": title, "caption": caption, "choices": names, "height": height})
    headings, rows = _table(found, study.results["baseline"])
    about = study.results["study"]["about"].get(label, {"summary": "", "hack": ""})
    words = {"label": label, **about, "fewer": fewer_hacks(study.results, label), "tax": tax(study.results, label)}
    return Section({**words, "headings": headings, "rows": rows, "charts": shown}, charts)


def _charts(study: StudyFiles, label: str) -> Iterator[tuple[str, str, str, list[str], dict[str, Any]]]:
    """Of one scenario that has trained at all: kind, title, caption, names of the choices, and what Plotly draws."""
    trained = {arm: runs for arm, runs in study.trained(label).items() if runs}
    if not trained:
        return
    look = Look(study.arms)
    steps = {arm: [run.metrics for run in runs] for arm, runs in trained.items()}
    caption = "Mean over seeds and its 95% interval, of those seeds that got so far."
    yield "curves", "Over the training.", caption, [], _drawn(curves_chart(steps, look))
    places = frontier_places(study.results["scenarios"][label])
    figures = [_drawn(frontier_chart(arms, look)) for arms in places.values()]
    absent = [[arm for arm in look.arms if not arms.get(arm)] for arms in places.values()]
    chart = {"choices": [one["traces"] for one in figures], "absent": absent, "layout": figures[0]["layout"]}
    caption = "An arm that only learns less stands where others stood at the same KL."
    yield "frontier", "Hacks against what was meant.", caption, list(places), chart
    over = {arm: path_over_surfaces(steps[arm], runs[0].method) for arm, runs in trained.items()}
    paths = {arm: path for arm, path in over.items() if path is not None}
    if paths:
        caption = (
            "The path of mean η and max(σ, 0) over tokens; the large mark is its end; the surfaces go on to σ = 2."
        )
        yield "coefficients", "Where the training went.", caption, [], _drawn(coefficients_chart(paths, look))


def _drawn(figure: Figure) -> dict[str, Any]:
    """A figure as the page's script takes it."""
    found = figure.to_plotly_json()
    return {"traces": found["data"], "layout": found["layout"]}


def _table(found: Mapping[str, Any], baseline: str) -> tuple[list[tuple[str, str]], list[dict[str, Any]]]:
    """Headings, and a row an arm that has results."""
    arms = {arm: measures for arm, measures in {**found["arms"], UNTRAINED: found["untrained"]}.items() if measures}
    shown = [one for one in on_page(OF_RUN) if any(one.name in measures for measures in arms.values())]
    headings = []
    for one in shown:
        headings.append((one.label, _hint(one)))
        if one.compared:
            headings.append((f"Δ {one.label}", f"less that of {baseline} on common seeds"))
    rows = []
    for arm, measures in arms.items():
        differences = found["differences"].get(arm, {})
        cells = []
        for one in shown:
            cells.append(_cell(measures.get(one.name), one.digits))
            if one.compared:
                cells.append(_difference_cell(differences.get(one.name), measures.get(one.name), one.digits))
        rows.append({"arm": arm, "seeds": seeds_behind(measures), "cells": cells})
    return headings, rows


def _hint(measure: Measure) -> str:
    """What a heading says under the pointer: unit, meaning, which way is better."""
    better = f"{measure.better} is better" if measure.better else ""
    return "; ".join(filter(None, [measure.unit, measure.meaning.partition(" ([")[0].replace("`", ""), better]))


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


def _difference_cell(
    difference: Mapping[str, Any] | None, own: Mapping[str, Any] | None, digits: int
) -> dict[str, Any]:
    """A difference, its interval and p, and of how many seeds where they are fewer than the arm's own."""
    cell = _cell(difference, digits)
    if difference is None or own is None:
        return cell
    notes = [] if difference["p_holm"] is None else [f"p {difference['p_holm']:.2g}"]
    notes += [f"{difference['n']} common"] if difference["n"] < own["n"] else []
    return {**cell, "mean": f"{difference['mean']:+.{digits}f}", "range": " ".join([cell["range"], *notes]).strip()}
