"""One HTML file that needs no network: what a page holds, filled into the template."""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from plotly.graph_objects import Figure
from plotly.offline import get_plotlyjs
from plotly.utils import PlotlyJSONEncoder

from gaard.lab.measures import OF_TOKEN, Measure, on_page
from gaard.report.look import SHOWN_AT_FIRST, Look
from gaard.report.run_files import moment
from gaard.version import __version__

ASSETS = "assets/page"
SCRIPTS = ("base.js", "charts.js", "downloads.js", "texts.js", "reload.js")  # in the order in which they run


@dataclass
class Section:
    """A part of the page: a scenario of a study, or the one of a run.

    Attributes:
        label: Its heading.
        notes: Paragraphs below it.
        tables: Of measures, if there are any.
        panels: Of the curves: ``key``, ``title``, ``height`` each.
        charts: The others: ``caption`` and ``choices`` besides.
        plots: Key → what Plotly draws there.
    """

    label: str
    notes: list[str] = field(default_factory=list)
    tables: list[dict[str, Any]] = field(default_factory=list)
    panels: list[dict[str, Any]] = field(default_factory=list)
    charts: list[dict[str, Any]] = field(default_factory=list)
    plots: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add_table(self, table: dict[str, Any] | None) -> None:
        """One of :mod:`gaard.report.measures_table`, if there is anything to show."""
        if table is not None:
            self.tables.append(table)

    def add_panel(self, key: str, title: str, plot: dict[str, Any]) -> None:
        """One of the charts that stand side by side where there is room."""
        self.plots[key] = plot
        self.panels.append({"key": key, "title": title, "height": plot["layout"]["height"]})

    def add_chart(self, key: str, title: str, caption: str, plot: dict[str, Any], choices: Sequence[str] = ()) -> None:
        """A chart of its own."""
        self.plots[key] = plot
        height = plot["layout"]["height"]
        self.charts.append({"key": key, "title": title, "caption": caption, "choices": choices, "height": height})


@dataclass
class Document:
    """All that a page shows.

    Attributes:
        name: Its title.
        summary: A line below it.
        verdict: What was found, a sentence each.
        unfolded: How many of these are shown before anybody asks for more.
        alarms: What calls for a look, a sentence each.
        status: How much is done.
        missing: What is not, a line each.
        arms: In the charts; none of a run alone.
        sections: The parts with numbers.
        runs: Scenario, arm, seed, folder and state of each run, and its measures; none of a run alone.
        suspects: What the reward pays for, as :meth:`gaard.report.suspects.Found.section` has it; None of a study.
        texts: By run and step.
        part: In words which part of all texts they are; empty if they are all.
        facts: How the numbers came about.
        notes: A paragraph at the end.
        steps: Length of a curve → the steps at which it is drawn, for curves that leave them out.
        refresh: Seconds after which the page loads itself again; None for one that is done.
        root: What leads from the page to the folders of ``runs``: nothing, or a path with a slash at its end.
    """

    name: str
    summary: str
    verdict: list[str]
    status: str
    sections: list[Section]
    facts: dict[str, Any]
    notes: str
    unfolded: int = SHOWN_AT_FIRST
    alarms: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    arms: Sequence[str] = ()
    runs: list[dict[str, Any]] = field(default_factory=list)
    suspects: dict[str, Any] | None = None
    texts: list[dict[str, Any]] = field(default_factory=list)
    part: str = ""
    steps: dict[str, list[int]] = field(default_factory=dict)
    refresh: float | None = None
    root: str = ""

    def html(self) -> str:
        """The page.

        Returns:
            One document with everything in it; text of models and users is escaped, and no script runs but the page's
            own.
        """
        own = "\n".join(_asset(name) for name in SCRIPTS)
        scripts = [get_plotlyjs(), f'"use strict";\n(() => {{\n{own}\n}})();']
        environment = Environment(
            loader=PackageLoader("gaard", ASSETS), autoescape=True, undefined=StrictUndefined, trim_blocks=True
        )
        return environment.get_template("page.html.j2").render(
            page=self,
            keys=[Look(self.arms).key(arm) for arm in self.arms],
            version=__version__,
            made=moment(datetime.now().timestamp()),
            css=_asset("page.css"),
            scripts=scripts,
            script_hashes=" ".join(map(_script_hash, scripts)),
            data=_embedded(self._data()),
        )

    def _data(self) -> dict[str, Any]:
        """What the page's scripts read."""
        return {
            "charts": {key: plot for section in self.sections for key, plot in section.plots.items()},
            "texts": self.texts,
            "columns": {one.name: {"label": one.label, "title": one.title} for one in on_page(OF_TOKEN)},
            "runs": self.runs,
            "steps": self.steps,
            "refresh": self.refresh,
        }


def panel_title(measure: Measure) -> str:
    """What stands above a panel: label and unit, a reward's unit not twice."""
    return measure.label if measure.unit in measure.label.split() else measure.title


def drawn(figure: Figure, **more: Any) -> dict[str, Any]:
    """A figure as the page's script takes it.

    Args:
        figure: The figure.
        **more: What the script is to know beside it.

    Returns:
        ``traces``, ``layout`` and the rest.
    """
    found = figure.to_plotly_json()
    return {"traces": found["data"], "layout": found["layout"], **more}


def _asset(name: str) -> str:
    return files("gaard").joinpath(ASSETS, name).read_text(encoding="utf-8")


def _script_hash(script: str) -> str:
    """What the page's policy lets run, and nothing else."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _embedded(data: Mapping[str, Any]) -> str:
    """JSON that cannot end the element that it stands in."""
    return json.dumps(data, cls=PlotlyJSONEncoder, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
