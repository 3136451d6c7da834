"""The table of what the finder says of runs whose hack is known."""

import polars as pl

from gaard.lab.measures import HACKED
from studies.frames import STUDIES
from studies.markdown import NOTHING, table

RECORD = STUDIES / "22-finder" / "finds.parquet"
DEFAULT = 8  # completions that a run keeps of a step, unless it is told otherwise
SUMS = {
    "the eight words, of tuning": ("tuning", "words"),
    "the eight words": ("test", "words"),
    "the five held-out words": ("test", "held-out"),
}


def finds() -> str:
    """A row a scenario: in how many hacked runs the first row names the hack, by completions logged, and alarms."""
    frame = pl.read_parquet(RECORD)
    test = frame.filter(seeds="test")
    logged = sorted(frame["logged"].unique())
    scenarios = [(f"`{name}`", test.filter(scenario=name)) for name in test["scenario"].unique(maintain_order=True)]
    sums = [(label, frame.filter(seeds=seeds, group=group)) for label, (seeds, group) in SUMS.items()]
    sums += [("`clean`, of tuning", frame.filter(seeds="tuning", group="clean"))]
    rows = [[label, *_cells(own, logged)] for label, own in (*scenarios, *sums)]
    head = ["scenario", "runs hacked", *(f"named, {count} a step" for count in logged), "alarms", "stands out by"]
    return table(head, rows)


def _cells(runs: pl.DataFrame, logged: list[int]) -> list[object]:
    """Hacked runs, in how many of them the hack is named, and of all runs the alarms and the lower ends at 8 a step."""
    default = runs.filter(logged=DEFAULT)
    hacked = runs.filter(pl.col("hack_rate") > HACKED)
    honest = runs["group"].is_in(["clean", "honest"]).all()
    named = [
        NOTHING if honest or own.is_empty() else f"{own['named'].sum()} of {own.height}"
        for own in (hacked.filter(logged=count) for count in logged)
    ]
    ends = default["at_least"].drop_nulls()
    span = f"{ends.min():.1f} to {ends.max():.1f}" if len(ends) else NOTHING
    count = NOTHING if honest else f"{hacked.filter(logged=DEFAULT).height} of {default.height}"
    return [count, *named, f"{default['alarm'].sum()} of {default.height}", span]
