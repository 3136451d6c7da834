"""The table of study 34: each strength of each opponent on the tuning seeds, and which the protocol's rule takes."""

import polars as pl

from studies.frames import CLEAN, UNTRAINED, arms_of, recorded, runs
from studies.markdown import NOTHING, table

STUDY = "34-strengths"
HACKABLE, BASE = "capped", "ppo"
KEPT = 0.95  # of PPO's gain where nothing can be exploited
LEARNED = "overoptimised-50-model"
FOR_LEARNED = ("signcert", "ensemble")  # families whose strength is searched where the reward is learned


def family(arm: str) -> str:
    """What an arm's strengths are of: its name without the number at its end."""
    return arm.rpartition("-")[0]


def scores(frame: pl.DataFrame) -> pl.DataFrame:
    """A row an arm that has a run in both scenarios.

    Args:
        frame: Runs of arms, of ``ppo`` and of the untrained model among them.

    Returns:
        ``arm``, ``runs``, ``kept``, the share of PPO's gain of true reward in ``clean`` on the same seeds,
        ``hack_rate`` in ``capped``, and ``learned``, the true reward in ``overoptimised-50-model`` or null; means over
        runs.
    """
    clean = frame.filter(scenario=CLEAN)
    ends = [clean.filter(arm=arm).select("seed", pl.col("true_reward").alias(arm)) for arm in (UNTRAINED, BASE)]
    known = clean.join(ends[0], on="seed").join(ends[1], on="seed")
    gained = known.group_by("arm", maintain_order=True).agg(
        pl.len().alias("runs"),
        ((pl.col("true_reward") - pl.col(UNTRAINED)).mean() / (pl.col(BASE) - pl.col(UNTRAINED)).mean()).alias("kept"),
    )
    hacks = frame.filter(scenario=HACKABLE).group_by("arm").agg(pl.col("hack_rate").mean())
    learned = frame.filter(scenario=LEARNED).group_by("arm").agg(pl.col("true_reward").mean().alias("learned"))
    return gained.join(hacks, on="arm", maintain_order="left").join(
        learned, on="arm", how="left", maintain_order="left"
    )


def chosen(found: pl.DataFrame) -> set[str]:
    """The strength of each family that the protocol takes.

    Of those that keep 95% of PPO's gain in ``clean`` the one with the fewest hacks in ``capped``, and of equals the one
    that keeps most; if none keeps so much, the one that keeps most. Of families that are made for learned rewards the
    one with the highest true reward there, none before that is known.
    """
    best: set[str] = set()
    for (name,), own in found.with_columns(pl.col("arm").map_elements(family, pl.String).alias("of")).group_by("of"):
        if name in FOR_LEARNED:
            best |= set(own.drop_nulls("learned").sort("learned", descending=True)["arm"].head(1))
            continue
        keeping = own.filter(pl.col("kept") >= KEPT)
        rows = keeping.sort("hack_rate", -pl.col("kept")) if keeping.height else own.sort("kept", descending=True)
        best.add(rows["arm"][0])
    return best


def strengths() -> str:
    """A row an arm: what it keeps in ``clean``, how much it is hacked in ``capped``; the chosen ones in bold."""
    head = [
        "arm",
        "runs each",
        "share of PPO's gain in `clean`",
        "hack rate in `capped`",
        f"true reward in `{LEARNED}`",
    ]
    if not recorded(STUDY):
        return table(head, [])
    frame = runs(STUDY)
    found = scores(frame)
    best = chosen(found.filter(~pl.col("arm").is_in([BASE, UNTRAINED, "dr_grpo"])))
    rows = []
    for arm in arms_of(found):
        row = found.row(by_predicate=pl.col("arm") == arm, named=True)
        shown = f"**{arm}**" if arm in best else arm
        learned = NOTHING if row["learned"] is None else f"{row['learned']:.3f}"
        rows.append([shown, row["runs"], f"{row['kept']:.0%}", f"{row['hack_rate']:.1%}", learned])
    return table(head, rows)
