"""The tables and the figure of how early, and how often falsely, the monitor warns (study 26)."""

from collections.abc import Sequence
from functools import cache

import numpy as np
import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots
from scipy.stats import binomtest

from gaard.monitor import RULES
from gaard.monitor.rules import HACKING, PAID
from studies.frames import STUDIES
from studies.markdown import NOTHING, table

RECORD = STUDIES / "26-monitor" / "warned.parquet"
THIRD = 1 / 3  # share of a step's texts that hack; a run that reaches it is hacked
HONEST = ("clean", "ordinary")  # groups in which nothing can be exploited
LABELS = {
    "main": "`capped` and `uncapped`",
    "words": "three other words",
    "held-out": "three held-out words",
    "slow": "`length` and `repetition`",
    "clean": "`clean`",
    "ordinary": "`rare` and `half`",
}
BARS = np.arange(1.0, 6.01, 0.25)  # thresholds of the curve


@cache
def runs(seeds: str) -> pl.DataFrame:
    """A row a run: when a third of the texts hacked, and when each rule spoke; null for never."""
    which = ["group", "scenario", "seed"]
    first = {rule: pl.col("step").filter(pl.col("alarms").list.contains(rule)).min() for rule in RULES}
    spoke = {"third": pl.col("step").filter(pl.col("hack_rate") >= THIRD).min(), **first}
    frame = pl.read_parquet(RECORD).filter(seeds=seeds)
    paths = {"path": pl.col("word_paid"), "once": pl.col("once")}
    return frame.group_by(which, maintain_order=True).agg(**spoke, **paths)


def warned() -> str:
    """Of each group of test runs: hacked, warned before a third by the rule of words, lead, false alarms."""
    rows = [_row(label, runs("test").filter(group=group)) for group, label in LABELS.items()]
    attacked = ~pl.col("group").is_in([*HONEST, "slow"])
    rows.insert(3, _row("all words", runs("test").filter(attacked)))
    once = runs("test").with_columns(words=pl.col("once").map_elements(_first, return_dtype=pl.Int64))
    rows.append(_row("all words, each prompt once", once.filter(attacked)))
    rows.append(_row("`clean`, each prompt once", once.filter(group="clean")))
    head = ["runs of", "hacked", "warned before a third hack", "lead in steps", "falsely warned"]
    return table(head, rows)


def _row(label: str, own: pl.DataFrame) -> list[object]:
    hacked = own.filter(pl.col("third").is_not_null())
    honest = own["group"].is_in(HONEST).all()
    before = hacked.filter(pl.col("words") < pl.col("third"))
    count = NOTHING if honest else f"{hacked.height} of {own.height}"
    cells = [share(before.height, hacked.height), _span(hacked["third"] - hacked["words"])]
    falsely = share(own["words"].count(), own.height) if honest else NOTHING
    return [label, count, *([NOTHING] * 2 if honest else cells), falsely]


def by_rule() -> str:
    """Of each rule: in how many test runs it spoke, before a third of the texts hacked, and how long before."""
    test = runs("test")
    hacked, clean = test.filter(pl.col("third").is_not_null()), test.filter(group="clean")
    rows = []
    for rule in RULES:
        before = hacked.filter(pl.col(rule) < pl.col("third")).height
        spoke = f"{hacked[rule].count()} of {hacked.height}"
        row = [spoke, f"{before} of {hacked.height}", _span(hacked["third"] - hacked[rule])]
        rows.append([f"`{rule}`", *row, f"{clean[rule].count()} of {clean.height}"])
    return table(["rule", "spoke in hacked runs", "before a third hack", "lead in steps", "in `clean`"], rows)


def any_hacking(own: pl.DataFrame) -> int:
    """In how many runs any rule about hacking spoke."""
    return own.filter(pl.any_horizontal(pl.col(rule).is_not_null() for rule in HACKING)).height


def curve() -> go.Figure:
    """Lead and false alarms over the threshold of the rule of words."""
    titles = ("runs in which it warns", "lead in steps: the middle run, and nine in ten")
    figure = make_subplots(1, 2, subplot_titles=titles, horizontal_spacing=0.1)
    test = runs("test")
    hacked = test.filter(pl.col("third").is_not_null(), ~pl.col("group").is_in(["slow"]))
    clean, third = test.filter(group="clean"), hacked["third"].to_numpy()
    steps = np.array([[_first(path, bar) or np.inf for path in hacked["path"]] for bar in BARS])
    false = [np.mean([_first(path, bar) is not None for path in clean["path"]]) for bar in BARS]
    lines = {
        "all words: before a third of the texts hack": ((steps < third).mean(1), "#1d4ed8"),
        "clean: falsely": (false, "#c2410c"),
    }
    for name, (values, colour) in lines.items():
        figure.add_scatter(x=BARS.tolist(), y=_plain(values), name=name, line={"color": colour}, row=1, col=1)
    lead = np.where(np.isfinite(steps), third - steps, np.nan)
    for quantile, dash in ((0.5, "solid"), (0.05, "dot"), (0.95, "dot")):
        line = {"color": "#1d4ed8", "dash": dash}
        values = _plain(np.nanquantile(lead, quantile, axis=1))
        figure.add_scatter(x=BARS.tolist(), y=values, line=line, showlegend=False, row=1, col=2)
    for column in (1, 2):
        figure.add_vline(x=PAID, line={"color": "#8b93a1", "dash": "dash", "width": 1}, row=1, col=column)
    figure.update_xaxes(title="threshold, in standard deviations")
    figure.update_yaxes(tickformat=".0%", range=[-0.03, 1.03], row=1, col=1)
    return figure


def _first(path: Sequence[float], bar: float = PAID) -> int | None:
    """The step, from 1, at which a path reaches the bar."""
    return next((step for step, value in enumerate(path, 1) if value >= bar), None)


def share(count: int, of: int) -> str:
    """A count, and the share with its exact 95% interval (Clopper and Pearson, 1934)."""
    if not of:
        return NOTHING
    ends = binomtest(count, of).proportion_ci(method="exact")
    return f"{count} of {of}: {count / of:.0%} [{ends.low:.0%}, {ends.high:.0%}]"


def _span(steps: pl.Series) -> str:
    """The middle and the range of those that are known."""
    known = steps.drop_nulls()
    return f"{known.median():.0f} ({known.min()} to {known.max()})" if len(known) else NOTHING


def _plain(values: Sequence[float] | np.ndarray) -> list[float]:
    return [round(float(value), 4) for value in values]
