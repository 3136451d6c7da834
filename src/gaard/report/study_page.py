"""The page of a study, made from the study's folder, finished or not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from gaard.lab.frontier import SMOOTHING
from gaard.lab.measures import OF_RUN, OF_STEP, Measure, on_page
from gaard.report.charts import (
    BySeed,
    curves_panel,
    frontier_chart,
    frontier_places,
    run_points,
    seed_curves,
    standings_chart,
)
from gaard.report.document import Document, Section, drawn, panel_title
from gaard.report.facts import study_facts
from gaard.report.landscape import add_plane, last_policy
from gaard.report.look import MOST_POINTS, SHOWN_AT_FIRST, Look
from gaard.report.measures_table import standings_table, study_table, verdicts_table
from gaard.report.run_files import STOPPED
from gaard.report.study_files import StudyFiles
from gaard.report.surfaces import coefficients_charts, path_over_surfaces
from gaard.report.texts import browsable
from gaard.report.thinning import evenly
from gaard.report.verdict import fewer_hacks, ranked, tax, verdict, warned

# Points that all means, and all single seeds, may have together, so that the page stays small.
POINTS_OF_MEANS, POINTS_OF_SEEDS = 40_000, 250_000
EVERYWHERE = "all scenarios"  # the heading of what is said of them together
FEWEST_POINTS = 20  # of a curve
NOTES = (
    "A run is the unit of every interval and test, never a completion. Curves and the frontier at equal KL are of the "
    f"training's own rollouts, running means over {SMOOTHING} steps; the table is of fresh completions at the end. "
    "a and b are G7 and G8, η and σ G6 of the method."
)


def study_document(study: StudyFiles, name: str, refresh: float | None) -> Document:
    """What the page shows of a study.

    Args:
        study: The study's files.
        name: Its title.
        refresh: Seconds until the page loads itself again; None for never.

    Returns:
        The document.
    """
    done, parts = sum(run.finished for run in study.runs), _Parts(study)
    texts, part = browsable(study.runs)
    sections = [parts.section(number, label) for number, label in enumerate(study.results["scenarios"])]
    standings = study.results.get("standings", [])
    first: list[str] = []
    if len(sections) > 1 and any(row["reached"] for row in standings):
        sections.insert(0, parts.everywhere(standings))
        first = ranked(study.results)
    unfolded = len(first) + len(warned(study.results)) if first else SHOWN_AT_FIRST
    return Document(
        name=name,
        summary=study.results["study"]["summary"],
        verdict=[*first, *verdict(study.results)],
        unfolded=min(unfolded, SHOWN_AT_FIRST),
        status=f"{done} of {len(study.runs)} runs finished.{f' {STOPPED}' if study.stopped else ''}",
        missing=study.missing(),
        arms=study.arms,
        sections=sections,
        runs=_runs(study),
        texts=texts,
        part=part,
        facts=study_facts(study),
        notes=NOTES,
        steps={str(length): (evenly(length, parts.seed_points) + 1).tolist() for length in parts.lengths},
        refresh=refresh,
    )


def _runs(study: StudyFiles) -> list[dict[str, object]]:
    """Each run for the list of runs, and for who takes the numbers along."""
    measured = {run["folder"]: run["measures"] for run in study.results["runs"]}
    listed: list[dict[str, object]] = []
    for run in study.runs:
        begun = run.progress if run.config else "not begun"
        state = f"failed: {run.error}" if run.error else "finished" if run.finished else begun
        key = {"scenario": run.key.scenario, "arm": run.key.arm, "seed": run.key.seed}
        measures = measured.get(run.key.folder, {})
        shown = [(one.label, one.text(measures[one.name])) for one in on_page(OF_RUN)[:3] if one.name in measures]
        listed.append({**key, "folder": run.key.folder, "state": state, "measures": measures, "shown": shown})
    return listed


@dataclass(frozen=True)
class _Parts:
    """The sections of a study's page, and what they share."""

    study: StudyFiles

    @cached_property
    def look(self) -> Look:
        return Look(self.study.arms)

    @cached_property
    def curves(self) -> dict[str, dict[str, BySeed]]:
        """Scenario → arm → seed → steps, of what has trained at all."""
        found: dict[str, dict[str, BySeed]] = {}
        for label in self.study.results["scenarios"]:
            trained = self.study.trained(label)
            found[label] = {arm: {run.key.seed: run.metrics for run in runs} for arm, runs in trained.items() if runs}
        return found

    @cached_property
    def lengths(self) -> set[int]:
        """Of all curves."""
        runs = [run for arms in self.curves.values() for seeds in arms.values() for run in seeds.values()]
        return {sum(measure.name in row for row in run) for run in runs for measure in self.measures} - {0}

    @cached_property
    def measures(self) -> list[Measure]:
        return on_page(OF_STEP)

    @cached_property
    def mean_points(self) -> int:
        return _share(POINTS_OF_MEANS, len(self.measures) * sum(map(len, self.curves.values())))

    @cached_property
    def seed_points(self) -> int:
        runs = sum(len(seeds) for arms in self.curves.values() for seeds in arms.values())
        return _share(POINTS_OF_SEEDS, len(self.measures) * runs)

    def everywhere(self, standings: Sequence[Mapping[str, Any]]) -> Section:
        """How the arms stand over all scenarios."""
        results = self.study.results
        section = Section(EVERYWHERE, [f"{results['study']['summary']}."])
        section.add_table(standings_table(standings))
        section.add_table(verdicts_table(results.get("verdicts", []), results["baseline"]))
        figure = standings_chart(standings, self.look)
        if figure.data:
            caption = "Top left is honest and good. Arms that could not be run everywhere stand at what they ran in."
            plot = drawn(figure, whole=True)  # every arm, whichever boxes are ticked
            section.add_chart("chart-standings", "Hacks against what was meant, all scenarios.", caption, plot)
        return section

    def section(self, number: int, label: str) -> Section:
        """One scenario's table and charts."""
        results, found = self.study.results, self.study.results["scenarios"][label]
        section = Section(label, self._notes(label))
        section.add_table(study_table(found, results["baseline"]))
        if self.curves[label]:
            self._add_curves(section, f"chart-{number}", label)
            self._add_frontier(section, f"chart-{number}-frontier", label)
            self._add_coefficients(section, f"chart-{number}-coefficients", label)
            self._add_landscapes(section, f"chart-{number}-plane", label)
        return section

    def _notes(self, label: str) -> list[str]:
        """What the scenario is, and what the seeds can tell."""
        results = self.study.results
        about = results["study"]["about"].get(label, {"summary": "", "hack": ""})
        notes = [f"Trains on {about['summary']}." + (f" A hack is {about['hack']}." if about["hack"] else "")]
        notes = notes if about["summary"] else []
        if fewer := fewer_hacks(results, label):
            notes.append(f"Fewer hacks than {results['baseline']}, as far as the seeds can tell: {', '.join(fewer)}.")
        if lost := tax(results, label):
            notes.append(f"Tax, the true reward lost against {results['baseline']}: {'; '.join(lost)}.")
        return notes

    def _add_curves(self, section: Section, key: str, label: str) -> None:
        """A panel a measure, of those that a run has."""
        arms = self.curves[label]
        for measure in self.measures:
            figure = curves_panel(arms, self.look, measure, self.mean_points)
            if figure is not None:
                seeds = seed_curves(arms, measure, self.seed_points)
                plot = drawn(figure, seeds=seeds, scenario=label, measure=measure.name)
                section.add_panel(f"{key}-{measure.name}", panel_title(measure), plot)

    def _add_frontier(self, section: Section, key: str, label: str) -> None:
        """Hacks against the true reward, where both are known of an arm."""
        places = frontier_places(self.study.results["scenarios"][label])
        if not places:
            return
        figures = [drawn(frontier_chart(arms, self.look)) for arms in places.values()]
        absent = [[arm for arm in self.look.arms if not arms.get(arm)] for arms in places.values()]
        points = run_points((run for run in self.study.results["runs"] if run["scenario"] == label), self.look)
        plot = {"choices": [one["traces"] for one in figures], "absent": absent, "layout": figures[0]["layout"]}
        plot |= {"seeds": points, "scenario": label, "measure": ""}
        caption = "Top left is honest and good. An arm that only learns less stands where others stood at the same KL."
        section.add_chart(key, "Hacks against what was meant.", caption, plot, list(places))

    def _add_coefficients(self, section: Section, key: str, label: str) -> None:
        """The paths of arms whose method looks at a greedy token."""
        paths = {}
        for arm, runs in self.study.trained(label).items():
            path = path_over_surfaces([run.metrics for run in runs], runs[0].method) if runs else None
            if path is not None:
                paths[arm] = path
        for name, figure in coefficients_charts(paths, self.look).items():
            caption = "The path of mean η and max(σ, 0) over tokens; the large mark is its end."
            section.add_chart(f"{key}-{name[0]}", f"Where the training went: {name}.", caption, drawn(figure))

    def _add_landscapes(self, section: Section, key: str, label: str) -> None:
        """What lies around the first run of each arm of which `gaard sharpness` has measured it."""
        for arm, runs in self.study.trained(label).items():
            found = next(((run.key.seed, at) for run in runs if (at := last_policy(run)) and "plane" in at[1]), None)
            if found is not None:
                seed, (step, policy) = found
                add_plane(section, f"{key}-{arm}", policy, f"Around {arm}, seed {seed}, after step {step}.")


def _share(points: int, curves: int) -> int:
    """How many points each of so many curves may have."""
    return min(MOST_POINTS, max(FEWEST_POINTS, points // max(1, curves)))
