"""From records of runs to what they say: small functions from frames to frames, a row a run or a row a group.

A frame of runs has the columns of a study's ``runs.parquet``: ``scenario``, ``arm``, ``seed`` and measures
(:data:`gaard.lab.measures.OF_RUN`). A frame of steps has ``step`` beside them, and the measures of each step's
rollout. An interval is a struct of ``mean``, ``low``, ``high`` and ``n``, the number of runs; its ends are null for
one run.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from gaard.errors import ConfigError
from gaard.lab import frontier
from gaard.lab.arms import UNTRAINED
from gaard.lab.frontier import KL_LEVELS, SMOOTHING
from gaard.lab.measures import HACKED, OF_RUN
from gaard.lab.statistics import Difference, Interval, mean_interval, paired_difference

GOOD_SHARE = 0.95  # of what the baseline gains: as good as it
WHICH = ("scenario", "arm", "seed")
INTERVAL = pl.Struct({"mean": pl.Float64, "low": pl.Float64, "high": pl.Float64, "n": pl.Int64})
Row = Mapping[str, Any]


def load_runs(*files: str | Path) -> pl.DataFrame:
    """The finished runs of some studies.

    Args:
        files: ``runs.parquet`` of each. A run that stands in several counts once.

    Returns:
        A row a run. The scenario of a Python file has its short name, the one after the file's.

    Raises:
        ConfigError: Naming a file that is not such a table.
    """
    runs = pl.concat([_load(file, (*WHICH, "id", "error")) for file in files], how="diagonal_relaxed")
    runs = runs.filter(pl.col("error").is_null())
    return runs.with_columns(pl.col("scenario").str.replace(r"^.*\.py-", "")).unique(
        (*WHICH, "id"), keep="first", maintain_order=True
    )


def load_steps(*files: str | Path) -> pl.DataFrame:
    """The curves of some studies.

    Args:
        files: ``steps.parquet`` of each.

    Returns:
        A row a step, in the order of the steps, numbers in float64.

    Raises:
        ConfigError: Naming a file that is not such a table.
    """
    steps = pl.concat([_load(file, (*WHICH, "step")) for file in files], how="diagonal_relaxed")
    return steps.sort(*WHICH, "step", maintain_order=True).cast({pl.Float32: pl.Float64})


def _load(file: str | Path, columns: Sequence[str]) -> pl.DataFrame:
    """A Parquet file that has those columns."""
    try:
        table = pl.read_parquet(file)
    except (OSError, pl.exceptions.PolarsError):
        raise ConfigError(f"{file} is no Parquet file: name the runs.parquet or steps.parquet of a study") from None
    if missing := [name for name in columns if name not in table.columns]:
        raise ConfigError(f"{file} has no column {missing[0]!r}: it is not the table that is asked for")
    return table


def means(runs: pl.DataFrame, *names: str, by: Sequence[str] = ("scenario", "arm")) -> pl.DataFrame:
    """Mean of measures over the runs of each group, with Student's 95% interval.

    Args:
        runs: A row a run.
        names: Measures.
        by: What makes a group.

    Returns:
        A row a group, in the order in which groups come: ``by``, ``runs`` (how many), an interval a measure, null
        where no run of the group has it.
    """
    rows = []
    for key, group in runs.group_by(by, maintain_order=True):
        row: dict[str, Any] = {**dict(zip(by, key, strict=True)), "runs": group.height}
        for name in names:
            values = group[name].drop_nulls().to_list()
            row[name] = _struct(mean_interval(values, OF_RUN[name].bounds)) if values else None
        rows.append(row)
    return _frame(rows, runs, by, names)


def differences(runs: pl.DataFrame, baseline: str, *names: str, by: Sequence[str] = ("scenario",)) -> pl.DataFrame:
    """What each arm differs from the baseline by, paired by seed.

    Args:
        runs: A row a run.
        baseline: The arm that is taken off.
        names: Measures.
        by: What a pair has in common beside the seed; nothing compares whole frames.

    Returns:
        A row an arm of each group, the baseline and the untrained model left out: ``by``, ``arm``, ``runs`` (pairs), an
        interval a measure, null where no seed has both.
    """
    rows = []
    groups = runs.group_by(by, maintain_order=True) if by else [((), runs)]
    for key, group in groups:
        arms = group["arm"].unique(maintain_order=True).to_list()
        for arm in (arm for arm in arms if arm not in (baseline, UNTRAINED)):
            row = {**dict(zip(by, key, strict=True)), "arm": arm, "runs": 0}
            for name in names:
                found = paired_difference(
                    _by_seed(group, arm, name), _by_seed(group, baseline, name), OF_RUN[name].difference_bounds
                )
                row[name] = found and _struct(found)
                row["runs"] = max(row["runs"], found.n if found else 0)
            rows.append(row)
    return _frame(rows, runs, (*by, "arm"), names)


def _by_seed(runs: pl.DataFrame, arm: str, name: str) -> dict[int, float]:
    """Seed → a measure of an arm, of the runs that have it."""
    own = runs.filter(pl.col("arm") == arm, pl.col(name).is_not_null())
    return dict(zip(own["seed"], own[name], strict=True))


def _struct(found: Interval | Difference) -> dict[str, Any]:
    """An interval as a frame holds it; ends that are the same say nothing."""
    same = found.low == found.high
    return {
        "mean": found.mean,
        "low": None if same else found.low,
        "high": None if same else found.high,
        "n": found.n,
    }


def _frame(rows: Sequence[Row], like: pl.DataFrame, keys: Sequence[str], names: Sequence[str]) -> pl.DataFrame:
    """Rows of groups as a frame."""
    types = {key: like.schema[key] for key in keys} | {"runs": pl.Int64} | dict.fromkeys(names, INTERVAL)
    return pl.DataFrame(rows, types)


def hacked(runs: pl.DataFrame, by: Sequence[str] = ("scenario", "arm")) -> pl.DataFrame:
    """How many runs of each group are hacked, that is in more than half of their completions.

    Args:
        runs: A row a run.
        by: What makes a group.

    Returns:
        A row a group: ``by``, ``hacked``, ``runs``.
    """
    count = (pl.col("hack_rate") > HACKED).sum().cast(pl.Int64).alias("hacked")
    return runs.group_by(by, maintain_order=True).agg(count, pl.len().cast(pl.Int64).alias("runs"))


def over_scenarios(runs: pl.DataFrame, *scenarios: str) -> pl.DataFrame:
    """Each arm and seed's mean over scenarios.

    Args:
        runs: A row a run.
        scenarios: Which; all that are there if none are named. A seed counts where it has them all.

    Returns:
        A row an arm and seed with the measures.
    """
    wanted = list(scenarios) or runs["scenario"].unique().to_list()
    here = runs.filter(pl.col("scenario").is_in(wanted))
    measures = [pl.col(name).mean() for name in OF_RUN if name in runs.columns]
    there = here.group_by("arm", "seed", maintain_order=True).agg(pl.col("scenario").n_unique(), *measures)
    return there.filter(pl.col("scenario") == len(wanted)).drop("scenario")


def tax(runs: pl.DataFrame, control: str, baseline: str) -> pl.DataFrame:
    """What an arm costs where nothing can be exploited: true reward that the baseline has and it has not.

    Args:
        runs: A row a run.
        control: The scenario without anything to exploit.
        baseline: The arm that it is compared with.

    Returns:
        A row an arm: ``arm``, ``runs``, ``lost``, an interval, and ``share``, the same as a share of what the baseline
        gained over the untrained model.
    """
    here = runs.filter(pl.col("scenario") == control)
    mean = dict(here.group_by("arm").agg(pl.col("true_reward").mean()).iter_rows())
    gained = mean[baseline] - mean[UNTRAINED]
    rows = [
        {"arm": row["arm"], "runs": row["runs"], "lost": _scaled(row["true_reward"], -1.0)}
        for row in differences(here, baseline, "true_reward").to_dicts()
    ]
    for row in rows:
        row["share"] = _scaled(row["lost"], 1.0 / gained)
    return _frame(rows, runs, ("arm",), ("lost", "share"))


def _scaled(interval: Row, factor: float) -> dict[str, Any]:
    """An interval times a number."""
    ends = [None if interval[end] is None else factor * interval[end] for end in ("low", "high")]
    low, high = ends if factor > 0 else reversed(ends)
    return {"mean": factor * interval["mean"], "low": low, "high": high, "n": interval["n"]}


def smoothed(steps: pl.DataFrame, *names: str) -> pl.DataFrame:
    """Steps with running means of measures in their place, over the last few steps of the same run.

    Args:
        steps: A row a step, in order.
        names: Measures.
    """
    mean = [pl.col(name).rolling_mean(SMOOTHING, min_samples=1).over(WHICH) for name in names]
    return steps.with_columns(mean)


def at_steps(steps: pl.DataFrame, wanted: Sequence[int], *names: str) -> pl.DataFrame:
    """Where each run stood after some steps, as running means; a run that stopped before stays where it was.

    Args:
        steps: A row a step, in order.
        wanted: Numbers of steps, from 1.
        names: Measures.

    Returns:
        A row a run and number: ``scenario``, ``arm``, ``seed``, ``step`` and the measures.
    """
    mean = smoothed(steps, *names)
    last = [
        mean.filter(pl.col("step") <= step)
        .group_by(WHICH, maintain_order=True)
        .agg(pl.lit(step).alias("step"), *(pl.col(name).last() for name in names))
        for step in wanted
    ]
    return pl.concat(last)


def mean_path(steps: pl.DataFrame, *names: str) -> pl.DataFrame:
    """The mean over seeds of :func:`at_steps`, at each step of the longest run: ``scenario``, ``arm``, ``step``."""
    everywhere = range(1, int(steps["step"].max()) + 1)  # type: ignore[arg-type]
    mean = [pl.col(name).mean() for name in names]
    return at_steps(steps, everywhere, *names).group_by("scenario", "arm", "step", maintain_order=True).agg(mean)


def at_kl(steps: pl.DataFrame, levels: Sequence[float] = KL_LEVELS) -> pl.DataFrame:
    """Where each run stood when it had first moved so far from the untrained model (:func:`gaard.lab.frontier.at_kl`).

    Args:
        steps: A row a step; runs whose ``kl_ref`` is null, since their reference moved, are left out.
        levels: Nats a token, of :data:`gaard.lab.frontier.KL_LEVELS`.

    Returns:
        A row a run and level that it reached: ``scenario``, ``arm``, ``seed``, ``kl``, ``hack_rate``, ``true_reward``.
    """
    known = steps.filter(pl.col("kl_ref").is_not_null()).with_columns(pl.col("kl_ref").alias("kl"))
    rows = []
    for key, run in known.group_by(WHICH, maintain_order=True):
        reached = frontier.at_kl(run.to_dicts())
        for level in (level for level in levels if f"{level:g}" in reached):
            there = reached[f"{level:g}"]
            measures = {name: there[name] for name in ("hack_rate", "true_reward")}
            rows.append({**dict(zip(WHICH, key, strict=True)), "kl": level, **measures})
    numbers = dict.fromkeys(("kl", "hack_rate", "true_reward"), pl.Float64)
    return pl.DataFrame(rows, {**{name: steps.schema[name] for name in WHICH}, **numbers})


def as_good_as(steps: pl.DataFrame, control: str, baseline: str) -> pl.DataFrame:
    """How hacked each arm is once it is as good as the baseline: trained on the control until then, with the same seed.

    An arm is as good from the step on where the running mean of its true reward in the control reaches 95% of what the
    baseline gains there over its first rollout.

    Args:
        steps: A row a step, in order.
        control: The scenario without anything to exploit.
        baseline: The arm to be as good as.

    Returns:
        A row a run of the other scenarios: ``scenario``, ``arm``, ``seed``, ``step`` and ``hack_rate`` there, null
        where the arm never is as good. Seeds in which the baseline gains nothing are left out.
    """
    mean = smoothed(steps, "true_reward", "hack_rate")
    here = mean.filter(pl.col("scenario") == control)
    first, last = pl.col("true_reward").first(), pl.col("true_reward").last()
    goal = here.filter(pl.col("arm") == baseline).group_by("seed").agg(first.alias("first"), last.alias("last"))
    goal = goal.filter(pl.col("last") > pl.col("first"))
    enough = pl.col("true_reward") >= pl.col("first") + GOOD_SHARE * (pl.col("last") - pl.col("first"))
    there = here.join(goal, on="seed").group_by("arm", "seed").agg(pl.col("step").filter(enough).min().alias("there"))
    others = mean.filter(pl.col("scenario") != control).join(there, on=("arm", "seed"), maintain_order="left")
    reached = pl.col("hack_rate").filter(pl.col("step") <= pl.col("there")).last()
    return others.group_by(WHICH, maintain_order=True).agg(pl.col("there").first().alias("step"), reached)
