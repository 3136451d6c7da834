"""The sampled texts that a page can hold: of every run, as many steps and completions as the page's size allows."""

import json
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.progress import track

from gaard.report.run_files import RunFiles
from gaard.report.thinning import evenly

BUDGET = 5_000_000  # characters of all texts together
DIGITS = 3
SHOWN = ("prompt", "reward", "true_reward", "hacked")  # of a completion, where it has them
# Columns of tokens, and the number by which they say that nothing happened: all of them in plain PPO.
SILENT = {"hack": 0, "turned": 0, "a": 1, "b": 0}
FEWEST_STEPS = 8  # before completions are left out
FEWEST_TOKENS = 16  # of a completion that has no room


def browsable(runs: Sequence[RunFiles], budget: int = BUDGET) -> tuple[list[dict[str, Any]], str]:
    """Texts by scenario, arm, seed and step.

    Args:
        runs: Of the study.
        budget: Characters that they may take.

    Returns:
        A dictionary a run with texts: ``scenario``, ``arm``, ``seed``, ``steps``, each of ``step`` and ``rows``; and in
        words what part of all there is that is, empty where it is everything.
    """
    trained = [run for run in runs if not run.error and run.metrics]
    console = Console(stderr=True)
    quiet = not console.is_terminal or len(trained) < 20
    found, kept, there = [], 0, 0
    for run in track(trained, "texts", console=console, disable=quiet):
        steps = _by_step(run)
        chosen = thinned(steps, budget // len(trained))
        there += sum(len(step["rows"]) for step in steps)
        kept += sum(len(step["rows"]) for step in chosen)
        if chosen:
            key = run.key
            found.append({"scenario": key.scenario, "arm": key.arm, "seed": key.seed, "steps": chosen})
    part = f"{kept} of {there} are here: the first ones of steps spread evenly over the training"
    return found, "" if kept == there else part


def _by_step(run: RunFiles) -> list[dict[str, Any]]:
    """A run's completions, shortened, by step; none from before tokens were kept."""
    samples = [row for row in run.samples() if isinstance(row.get("tokens"), dict)]
    silent = [
        name for name, nothing in SILENT.items() if not any(_says(row["tokens"].get(name), nothing) for row in samples)
    ]
    steps: dict[int, list[dict[str, Any]]] = {}
    for row in samples:
        steps.setdefault(row["step"], []).append(_shortened(row, silent))
    return [{"step": step, "rows": rows} for step, rows in steps.items()]


def _says(column: Sequence[float] | None, nothing: float) -> bool:
    """Whether a column says anything of any token."""
    return column is not None and any(x != nothing for x in column)


def _shortened(row: dict[str, Any], silent: Sequence[str]) -> dict[str, Any]:
    """Without what the page does not show, and without columns that say nothing of any token of the run."""
    tokens = {
        name: [round(x, DIGITS) for x in column] if column and isinstance(column[0], float) else column
        for name, column in row["tokens"].items()
        if name not in silent
    }
    return {key: row[key] for key in SHOWN if key in row} | {"tokens": tokens}


def thinned(steps: list[dict[str, Any]], budget: int) -> list[dict[str, Any]]:
    """Fewer steps, evenly spread with the last among them, then fewer completions, then fewer tokens, until they fit.

    Args:
        steps: ``step`` and ``rows`` each.
        budget: Characters of JSON.

    Returns:
        Some of them.
    """
    rows = sum(len(step["rows"]) for step in steps)
    size = sum(len(json.dumps(step)) for step in steps)
    if size <= budget or not rows:
        return steps
    part = budget * rows / size  # how many completions there is room for
    affordable = max(1, int(part))
    per_step = -(-rows // len(steps))
    count = min(len(steps), affordable, max(FEWEST_STEPS, affordable // per_step))
    chosen = [steps[i] for i in evenly(len(steps), count)]
    share = max(1, affordable // count)
    return [{**step, "rows": [_cut(row, part) for row in step["rows"][:share]]} for step in chosen]


def _cut(row: dict[str, Any], part: float) -> dict[str, Any]:
    """The first part of a completion, if it is less than a whole."""
    keep = None if part >= 1 else max(FEWEST_TOKENS, int(part * len(row["tokens"]["text"])))
    return {**row, "tokens": {name: column[:keep] for name, column in row["tokens"].items()}}
