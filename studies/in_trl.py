"""The table of runs in TRL's own loop."""

import polars as pl

from gaard.lab import analysis
from studies.frames import STUDIES, counted, of
from studies.markdown import NOTHING, said, table

RECORD = STUDIES / "25-trl"


def in_trl() -> str:
    """A row a scenario and arm: hacked runs, means over them, and how many completions of a rollout were turned."""
    runs = pl.read_parquet(RECORD / "runs.parquet")
    mean, hacked = analysis.means(runs, "hack_rate", "true_reward"), analysis.hacked(runs)
    by = ["scenario", "arm"]
    others = runs.group_by(by).agg(pl.col("distinct").mean())
    turned = pl.read_parquet(RECORD / "steps.parquet").group_by(by).agg(pl.col("turned").mean())
    rows = []
    for scenario, arm in runs.select(by).unique(maintain_order=True).iter_rows():
        which = {"scenario": scenario, "arm": arm}
        here, share = of(mean, **which), of(turned, **which)["turned"]
        cells = [counted(of(hacked, **which)), *(said(here[name], name) for name in ("hack_rate", "true_reward"))]
        cells += [f"{of(others, **which)['distinct']:.0%}", NOTHING if share is None else f"{share:.1%}"]
        rows.append([f"`{scenario}`", arm, *cells])
    return table(["scenario", "method", "hacked runs", "hack rate", "true reward", "texts not copied", "turned"], rows)
