"""What the tables share: the studies' runs and curves, and the rows of arms."""

from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from gaard.lab import analysis
from gaard.lab.measures import OF_RUN
from studies.markdown import NOTHING, said, table

STUDIES = Path(__file__).parent
HONEYPOTS, CLEAN, UNTRAINED = ("capped", "uncapped"), "clean", analysis.UNTRAINED
FOLD, NORM = "fold", "ppo-gradient-norm"
ONE_TEXT = 0.05  # nats a token: below, a policy writes one text
BEST = 0.5  # the most that true reward can be on the pocket model
MAIN = ("hack_rate", "true_reward", "judge_reward", "entropy", "kl_untrained")


def recorded(study: str) -> bool:
    """Whether there are runs of it."""
    return (STUDIES / study / "runs.parquet").exists()


@cache
def runs(*names: str) -> pl.DataFrame:
    """The runs of some studies."""
    return analysis.load_runs(*(STUDIES / name / "runs.parquet" for name in names))


@cache
def steps(*names: str) -> pl.DataFrame:
    """The curves of some studies."""
    return analysis.load_steps(*(STUDIES / name / "steps.parquet" for name in names))


def arms_of(frame: pl.DataFrame) -> list[str]:
    """Arms in their order, the untrained model last."""
    return sorted(frame["arm"].unique(maintain_order=True), key=lambda arm: arm == UNTRAINED)


def of(frame: pl.DataFrame, **which: str) -> dict[str, Any]:
    """The one row with those values; nothing if there is none."""
    found = frame.filter(pl.col(key) == value for key, value in which.items())
    return found.to_dicts()[0] if found.height else {}


def only(frame: pl.DataFrame, column: str, values: Iterable[str]) -> pl.DataFrame:
    """The rows with one of some values."""
    return frame.filter(pl.col(column).is_in(list(values)))


def counted(row: dict[str, Any]) -> str:
    """Hacked runs of how many."""
    return f"{row['hacked']} of {row['runs']}" if row else NOTHING


def outcomes(study: str, baseline: str | None, measures: Sequence[str] = MAIN) -> str:
    """A row a scenario and arm: means, and how much true reward it has more than the baseline, if there is one."""
    frame = runs(study)
    mean = analysis.means(frame, *measures)
    less = analysis.differences(frame, baseline, "true_reward") if baseline else mean.clear()
    rows = []
    for scenario in frame["scenario"].unique(maintain_order=True):
        for arm in arms_of(frame):
            here, gap = (of(found, scenario=scenario, arm=arm) for found in (mean, less))
            cells = [said(here[name], name) for name in measures]
            if baseline:
                cells.insert(2, said(gap.get("true_reward"), "true_reward", signed=True))
            rows.append([f"`{scenario}`", arm, here["runs"], *cells])
    labels = [OF_RUN[name].label for name in measures]
    gap_label = [f"less {baseline}"] if baseline else []
    return table(["scenario", "arm", "runs", *labels[:2], *gap_label, *labels[2:]], rows)


def index() -> str:
    """A row a study: what it is about, and how many runs there are of it."""
    rows = []
    for file in sorted(STUDIES.glob("*/study.yaml")):
        name = file.parent.name
        summary = yaml.safe_load(file.read_text(encoding="utf-8"))["summary"]
        count = runs(name).filter(pl.col("arm") != UNTRAINED).height if recorded(name) else NOTHING
        rows.append([f"[{name}]({name}/README.md)", summary, count])
    return table(["study", "what", "runs"], rows)
