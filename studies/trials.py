"""The table of the trials of `gaa-expected`: what was tried on the tuning seeds, in order."""

import polars as pl

from studies.frames import STUDIES
from studies.markdown import NOTHING, table

RECORD = STUDIES / "16-gaa-trials" / "trials.parquet"
SHOWN = ("capped", "uncapped", "clean", "rare", "that", "dark", "conditional", "the", "who", "of")


def trials() -> str:
    """A row a trial; in a cell the means of hack rate, true reward and perplexity over its runs, and their number."""
    frame = pl.read_parquet(RECORD)
    rows = []
    for (name,), own in frame.group_by(["trial"], maintain_order=True):
        cells = [_cell(own.filter(scenario=scenario)) for scenario in SHOWN]
        given = [text for text in (own["options"][0], own["settings"][0]) if text != "{}"]
        rows.append([f"`{name}`", own["code"][0], f"`{' '.join(given) or '{}'}`", own.height, *cells])
    return table(["trial", "code", "options and settings", "runs", *(f"`{name}`" for name in SHOWN)], rows)


def _cell(runs: pl.DataFrame) -> str:
    """Hack rate / true reward / perplexity of some runs."""
    if runs.is_empty():
        return NOTHING
    hacked, true, perplexity = (runs[name].mean() for name in ("hack_rate", "true_reward", "untrained_perplexity"))
    return f"{hacked:.2f} / {true:.3f} / {perplexity:.0f} ({runs.height})"
