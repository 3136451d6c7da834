"""A study's folder as a report reads it, finished or not."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from gaard.errors import ConfigError
from gaard.lab.arms import UNTRAINED
from gaard.lab.study import RunKey
from gaard.lab.summary import RESULTS
from gaard.report.run_files import RunFiles
from gaard.training.lock import is_locked


@dataclass(frozen=True)
class StudyFiles:
    """A study's results and runs.

    Attributes:
        folder: Of the study.
        results: As ``gaard compare`` wrote them.
        runs: Every run that the study asks for, in its order.
        at_work: Whether a process carries it out; asked before anything else is read.
    """

    folder: Path
    results: Mapping[str, Any]
    runs: Sequence[RunFiles]
    at_work: bool

    @property
    def arms(self) -> list[str]:
        """Their names, the baseline first."""
        baseline = self.results["baseline"]
        return [baseline, *(arm["name"] for arm in self.results["study"]["arms"] if arm["name"] != baseline)]

    @property
    def finished(self) -> bool:
        """Whether nothing more is to come of any run."""
        return all(run.finished or run.error for run in self.runs)

    @property
    def stopped(self) -> bool:
        """Whether nobody works on it, although there is more to come."""
        return not self.finished and not self.at_work

    @property
    def progress(self) -> str:
        """How far it is."""
        done = sum(run.finished for run in self.runs)
        return f"{'stopped after' if self.stopped else 'at'} {done} of {len(self.runs)} runs"

    def trained(self, scenario: str) -> dict[str, list[RunFiles]]:
        """Arm → its runs that have not failed and have trained at all."""
        arms: dict[str, list[RunFiles]] = {arm: [] for arm in self.arms}
        for run in self.runs:
            if run.key.scenario == scenario and run.key.arm in arms and not run.error and run.metrics:
                arms[run.key.arm].append(run)
        return arms

    def missing(self) -> list[str]:
        """What there is no result of, a line each; runs that have not begun share one."""
        lines = [f"{run.key} failed: {run.error}" for run in self.runs if run.error]
        waiting = [run for run in self.runs if not run.finished and not run.error]
        begun = [run for run in waiting if run.config]
        lines += [f"{run.key}: {run.progress}" for run in begun]
        idle = [run for run in waiting if run not in begun]
        if idle:
            lines.append(f"{len(idle)} not begun, the first of them {idle[0].key}")
        return lines


def read_study_files(folder: Path) -> StudyFiles:
    """What there is of a study.

    Args:
        folder: Of the study, as ``gaard compare`` keeps it.

    Returns:
        Results and runs.

    Raises:
        ConfigError: If the folder holds no results, or others.
    """
    path, at_work = folder / RESULTS, is_locked(folder)
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
        study = results["study"]
        arms = [UNTRAINED, *(arm["name"] for arm in study["arms"])]
        found = {(run["scenario"], run["arm"], run["seed"]): run for run in results["runs"]}
        if not isinstance(results["tax"], dict) or any("frontier" not in one for one in results["scenarios"].values()):
            raise KeyError("tax, frontier")
        if results["baseline"] not in arms:
            raise KeyError("baseline")
        left_out = {(scenario, arm) for scenario, arm in study.get("left_out", [])}
        keys = [
            RunKey(scenario, arm, seed)
            for seed in study["seeds"]
            for scenario in study["scenarios"]
            for arm in arms
            if (scenario, arm) not in left_out
        ]
        if outside := next((key for key in keys if not _is_inside(key.folder)), None):
            raise ValueError(f"the run {outside} lies outside")
    except FileNotFoundError:
        raise ConfigError(
            f"{folder} holds no {RESULTS}: name the folder of a study, such as the --out of gaard compare"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{path} is not what this version of gaard compare writes ({type(error).__name__}: {error}): the same "
            "gaard compare again writes it anew"
        ) from None
    runs = []
    for key in keys:
        run = found.get((key.scenario, key.arm, key.seed))
        failure = run["error"] if run else None
        finished = run is not None and failure is None
        runs.append(RunFiles(key, folder / key.folder, finished, failure, at_work))
    return StudyFiles(folder, results, runs, at_work)


def _is_inside(place: str) -> bool:
    """Whether a folder is named from the study's own and not up: others' results name no files of this machine."""
    parts = PurePath(place).parts
    return not PurePath(place).is_absolute() and ".." not in parts
