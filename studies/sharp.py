"""The tables and the figure of study 33: how sharp the policies of each arm are."""

from collections.abc import Callable, Mapping
from functools import cache

import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from gaard.lab.statistics import Difference, mean_interval, paired_difference
from studies.frames import STUDIES, UNTRAINED
from studies.markdown import NOTHING, table

FOLDER = STUDIES / "33-sharpness"
PPO, SIMILAR_KL = "ppo", "similar KL"
PLACES = (UNTRAINED, SIMILAR_KL, "equal steps")
HACKED = ("capped", PPO)
Which = tuple[str, str | None, str | None]
# Heading → measure, function and block: what is sampled at a policy and along the lines through it, and its curvature.
COLUMNS: dict[str, Which] = {
    "hack rate": ("hack_rate", None, None),
    "KL": ("kl", None, None),
    "fall of the proxy along the gradient": ("drop", "proxy", "gradient"),
    "fall of the proxy at random": ("drop", "proxy", "random"),
    "fall ÷ gain of the proxy along the gradient": ("share", "proxy", "gradient"),
    "fall ÷ gain of the proxy at random": ("share", "proxy", "random"),
    "fall of the true reward along the gradient": ("drop", "true", "gradient"),
    "fall of the true reward at random": ("drop", "true", "random"),
}
FELL = {name: which for name, which in COLUMNS.items() if name != "hack rate"}
CURVED: dict[str, Which] = {
    "top eigenvalue, all": ("top", "reward", "all"),
    "top eigenvalue, unembedding": ("top", "reward", "unembedding"),
    "adaptive top, all": ("adaptive_top", "reward", "all"),
    "top eigenvalue of the KL, all": ("top", "kl", "all"),
}
# What Johnson published: the second difference along the top eigenvector at 0.05, and the fall of the proxy at 1.
PUBLISHED: dict[str, Which] = {
    "second difference, all": ("second_difference", "reward", "all"),
    "second difference, unembedding": ("second_difference", "reward", "unembedding"),
    "fall of the proxy, all": ("drop", "proxy", "eigenvector-all"),
    "fall of the proxy, unembedding": ("drop", "proxy", "eigenvector-unembedding"),
}
NEAR = (0.05, 0.1, 0.25, 0.5)  # down the gradient: nearer than where a fall has come to its end
LOST: dict[str, Which] = {f"lost of its gain at {at}": ("lost", "proxy", f"gradient -{at}") for at in NEAR}
DRAWN = {HACKED: "ppo, where a word pays", ("capped", "gaa-expected"): "gaa-expected, where a word pays"}
DRAWN[("clean", PPO)] = "ppo, where none does"
REWARDS = {"proxy": ("proxy", "#c2410c"), "true": ("true reward", "#1d4ed8")}
BOUNDS = {"hack rate": (0.0, 1.0)}


@cache
def record(name: str) -> pl.DataFrame | None:
    """A table of the study, as :mod:`studies.sharp_measured` writes it; None before there is one."""
    path = FOLDER / f"{name}.parquet"
    return pl.read_parquet(path) if path.exists() else None


def recorded(name: str, make: Callable[[pl.DataFrame], str]) -> str:
    """What is made of a table of the study; a table without rows before there is one."""
    found = record(name)
    return table(["policy"], []) if found is None else make(found)


def by_arm(record: pl.DataFrame, place: str, function: str) -> str:
    """Each measure of one function, by arm and block: mean over seeds and its 95% interval (Student).

    Args:
        record: As :mod:`studies.sharp_measured` writes it.
        place: ``equal steps``, ``similar KL`` or ``untrained``.
        function: Such as ``reward``.

    Returns:
        A Markdown table: a row a block and measure, a column an arm. The untrained model is one for all seeds.
    """
    own = record.filter(place=place, function=function)
    arms = own.select("scenario", "arm").unique(maintain_order=True).rows()
    rows = []
    for block, measure in own.select("block", "measure").unique(maintain_order=True).rows():
        cells = []
        for scenario, arm in arms:
            which = own.filter(scenario=scenario, arm=arm, block=block, measure=measure)
            values = which["value"].drop_nulls().to_list()
            cells.append(with_interval(values[:1] if place == UNTRAINED else values))
        rows.append([block, f"`{measure}`", *cells])
    return table(["block", "measure", *(f"`{arm}` in `{scenario}`" for scenario, arm in arms)], rows)


def by_policy(record: pl.DataFrame, columns: Mapping[str, Which]) -> str:
    """A row a policy that has any of some measures: means with 95% intervals.

    Args:
        record: As :mod:`studies.sharp_measured` writes it.
        columns: Heading → which measure.

    Returns:
        A Markdown table. Of the untrained model, which all seeds share, one number without an interval.
    """
    rows, record = [], with_shares(record)
    for place in PLACES:
        for scenario, arm in record.select("scenario", "arm").unique(maintain_order=True).rows():
            own = record.filter(place=place, scenario=scenario, arm=arm)
            if not own.height:
                continue
            seeds = own.filter(seed=own["seed"][0]) if place == UNTRAINED else own
            name = place if place == UNTRAINED else f"`{arm}`"
            found = {heading: list(of_seeds(seeds, *which).values()) for heading, which in columns.items()}
            if count := max(map(len, found.values())):
                cells = [with_interval(values, BOUNDS.get(heading), count) for heading, values in found.items()]
                rows.append([name, f"`{scenario}`", place, count, *cells])
    return table(["policy", "scenario", "at", "seeds", *columns], rows)


def with_shares(record: pl.DataFrame) -> pl.DataFrame:
    """A record and, as measure ``share``, each fall of the proxy over what training had gained of it.

    A hacked policy is paid more and has more to fall. Null for the untrained policy, which has gained nothing.
    """
    key = ["scenario", "arm", "seed", "place"]
    proxy = record.filter(pl.col("measure") == "proxy").select(*key, pl.col("value").alias("here"))
    start = proxy.filter(place=UNTRAINED).group_by("scenario").agg(pl.col("here").first().alias("start"))
    gained = proxy.join(start, on="scenario").select(*key, (pl.col("here") - pl.col("start")).alias("gained"))
    falls = record.filter(measure="drop", function="proxy").join(gained, on=key, maintain_order="left")
    share = pl.when(pl.col("gained") > 0).then(pl.col("value") / pl.col("gained"))
    shares = falls.with_columns(share.alias("value"), pl.lit("share").alias("measure"))
    return pl.concat([record, shares.select(record.columns)])


def of_seeds(record: pl.DataFrame, measure: str, function: str | None, block: str | None) -> dict[int, float]:
    """Seed → a measure; of several blocks with that beginning, as the two random lines, their mean."""
    own = record.filter(pl.col("measure") == measure, pl.col("function").eq_missing(pl.lit(function)))
    own = own if block is None else own.filter(pl.col("block").str.starts_with(block))
    means = own.drop_nulls("value").group_by("seed", maintain_order=True).agg(pl.col("value").mean())
    return dict(means.rows())


def against_hacked(record: pl.DataFrame, columns: Mapping[str, Which]) -> str:
    """A row a policy: its measures less those of the hacked one, paired by seed; bold where the interval leaves out 0.

    Args:
        record: As :mod:`studies.sharp_measured` writes it.
        columns: Heading → which measure.

    Returns:
        A Markdown table.
    """
    rows, record = [], with_shares(record)
    for place in PLACES[1:]:
        here = record.filter(place=place)
        hacked = here.filter(scenario=HACKED[0], arm=HACKED[1])
        for scenario, arm in here.select("scenario", "arm").unique(maintain_order=True).rows():
            if (scenario, arm) == HACKED:
                continue
            own = here.filter(scenario=scenario, arm=arm)
            apart = [paired_difference(of_seeds(own, *which), of_seeds(hacked, *which)) for which in columns.values()]
            if known := [one.n for one in apart if one is not None]:
                cells = [_apart(one, max(known)) for one in apart]
                rows.append([f"`{arm}` in `{scenario}`", place, max(known), *cells])
    return table([f"policy, less `{HACKED[1]}` in `{HACKED[0]}`", "at", "pairs", *columns], rows)


def lost(lines: pl.DataFrame) -> pl.DataFrame:
    """Which share of what had been gained of the proxy is lost at some distances down its gradient.

    Args:
        lines: As :mod:`studies.sharp_measured` writes them.

    Returns:
        Rows as of a record: the measure ``lost`` of the blocks ``gradient -0.05`` and so on; none of a policy that has
        no line, or has gained nothing.
    """
    key = ["scenario", "arm", "seed", "place"]
    along = lines.filter(line="gradient")
    here = along.filter(at=0.0).select(*key, pl.col("proxy").alias("here"))
    start = here.filter(place=UNTRAINED).group_by("scenario").agg(pl.col("here").first().alias("start"))
    known = along.join(here, on=key).join(start, on="scenario").filter(pl.col("here") > pl.col("start"))
    down = known.filter(pl.col("at").is_in([-at for at in NEAR]))
    value = (pl.col("here") - pl.col("proxy")) / (pl.col("here") - pl.col("start"))
    return down.select(
        *key, value.alias("value"), pl.format("gradient {}", "at").alias("block"), pl.lit("lost").alias("measure"),
        pl.lit("proxy").alias("function"),
    )  # fmt: skip


def losses(lines: pl.DataFrame) -> str:
    """A row a policy: what it loses of its gain near by, and how much less or more that is than the hacked policy."""
    whole, rows = lost(lines), []
    for place in PLACES[1:]:
        hacked = whole.filter(place=place, scenario=HACKED[0], arm=HACKED[1])
        for scenario, arm in lines.select("scenario", "arm").unique(maintain_order=True).rows():
            own = whole.filter(place=place, scenario=scenario, arm=arm)
            count, cells = own["seed"].n_unique(), []
            for which in LOST.values():
                values = of_seeds(own, *which)
                apart = paired_difference(values, of_seeds(hacked, *which)) if (scenario, arm) != HACKED else None
                less = f"; {_apart(apart, count)}" if apart else ""
                cells.append(with_interval(list(values.values()), usual=count) + less)
            rows.append([f"`{arm}` in `{scenario}`", place, count, *cells])
    return table(["policy; less the hacked one", "at", "seeds", *LOST], rows)


def _apart(found: Difference | None, usual: int) -> str:
    """A difference; in bold where it is one, with how many pairs it is of where these are not as many as usual."""
    if found is None:
        return NOTHING
    pairs = "" if found.n == usual else f", {found.n} pairs"
    if found.low is None or found.high is None:
        return f"{found.mean:+.2g}{pairs}"
    text = f"{found.mean:+.2g} [{found.low:.2g}, {found.high:.2g}]{pairs}"
    return f"**{text}**" if found.low > 0 or found.high < 0 else text


def figure(record: pl.DataFrame) -> go.Figure:
    """Proxy and true reward along the gradient through policies at similar KL: means over seeds and 95% intervals.

    Args:
        record: The lines, as :mod:`studies.sharp_measured` writes them.
    """
    found = make_subplots(1, len(DRAWN), subplot_titles=[*DRAWN.values()], shared_yaxes=True, horizontal_spacing=0.03)
    for column, (scenario, arm) in enumerate(DRAWN, 1):
        own = record.filter(scenario=scenario, arm=arm, place=SIMILAR_KL, line="gradient")
        for reward, (label, colour) in REWARDS.items():
            by_place = own.group_by("at", maintain_order=True).agg(pl.col(reward)).sort("at")
            ends = [mean_interval(values) for values in by_place[reward].to_list()]
            x = [round(at, 4) for at in by_place["at"].to_list()]
            y = [round(end.mean, 4) for end in ends]
            spread = [0.0 if end.high is None else round(end.high - end.mean, 4) for end in ends]
            found.add_scatter(
                x=x, y=y, name=label, mode="lines+markers", line={"color": colour, "width": 2.5},
                error_y={"array": spread, "thickness": 1, "width": 2}, showlegend=column == 1, row=1, col=column,
            )  # fmt: skip
    found.update_xaxes(title="step along the gradient of the proxy")
    found.update_yaxes(title="mean reward", col=1)
    return found.update_yaxes(range=[0, 1.02])


def with_interval(values: list[float], bounds: tuple[float, float] | None = None, usual: int | None = None) -> str:
    """Mean and interval, three digits, with how many seeds they are of where these are not as many as usual."""
    if not values:
        return NOTHING
    found = mean_interval(values, bounds)
    count = "" if found.n == usual else f", {found.n} seed{'s' * (found.n > 1)}"
    ends = "" if found.low is None else f" [{found.low:.3g}, {found.high:.3g}]"
    return f"{found.mean:.3g}{ends}{count}"
