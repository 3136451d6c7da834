"""Tables of the honeypots that no arm was tuned on, of other strengths there, and of ordinary rewards."""

from typing import Any

import polars as pl

from gaard.lab import analysis
from gaard.lab.measures import HACKED
from studies.frames import FOLD, NORM, ONE_TEXT, STUDIES, UNTRAINED, arms_of, counted, of, only, recorded, runs
from studies.markdown import NOTHING, said, table

EARLY = 10  # steps
ORDINARY = "18-ordinary-tasks"
LEAPS = ("film", "that", "dark", "conditional", "openings")  # the pay comes in one leap, and not to every second text


def untuned_hacked() -> str:
    """A row a honeypot: how many runs of each arm are hacked."""
    frame = runs("04-untuned-honeypots").filter(pl.col("scenario") != "meant")
    found, share = analysis.hacked(frame), analysis.means(frame, "hack_rate")
    arms = [arm for arm in arms_of(frame) if arm != UNTRAINED]
    rows = []
    for scenario in frame["scenario"].unique(maintain_order=True):
        untrained = of(share, scenario=scenario, arm=UNTRAINED)["hack_rate"]["mean"]
        cells = [counted(of(found, scenario=scenario, arm=arm)) for arm in arms]
        rows.append([f"`{scenario}`", f"{untrained:.0%}", *cells])
    for label, part in (("all nine", frame), ("the five of one leap", only(frame, "scenario", LEAPS))):
        total = analysis.hacked(part, ["arm"])
        rows.append([label, "", *(counted(of(total, arm=arm)) for arm in arms)])
    return table(["honeypot", "untrained texts that have it", *arms], rows)


def untuned_reward() -> str:
    """A row a scenario: true reward of each arm."""
    frame = runs("04-untuned-honeypots")
    mean, arms = analysis.means(frame, "true_reward"), arms_of(frame)
    rows = [
        [f"`{scenario}`", *(said(of(mean, scenario=scenario, arm=arm)["true_reward"], "true_reward") for arm in arms)]
        for scenario in frame["scenario"].unique(maintain_order=True)
    ]
    return table(["scenario", *arms], rows)


def untuned_strengths() -> str:
    """A row an arm, on the five honeypots whose pay comes in one leap and the three seeds that all arms have."""
    frame = runs("05-strengths", "04-untuned-honeypots")
    frame = only(frame, "scenario", LEAPS).filter(
        pl.col("seed") < 1003, pl.col("arm") != UNTRAINED, pl.col("arm") != "ppo"
    )
    together, hacked = analysis.over_scenarios(frame), analysis.hacked(frame, ["arm"])
    mean = analysis.means(together, "true_reward", "entropy", by=["arm"])
    less = analysis.differences(together, FOLD, "true_reward", by=[])
    rows = []
    for arm in ("fold-2", FOLD, "fold-4", NORM, "gradient-norm-0.07", "gradient-norm-0.1"):
        own, here = frame.filter(arm=arm), of(mean, arm=arm)
        caught = own.filter(pl.col("hack_rate") > HACKED)["scenario"].value_counts(sort=True)
        where = ", ".join(f"`{name}` {count}" for name, count in sorted(caught.rows())) or NOTHING
        one = f"{own.filter(pl.col('entropy') < ONE_TEXT).height} of {own.height}"
        gap = said(of(less, arm=arm).get("true_reward"), "true_reward", signed=True)
        name = {FOLD: "fold (3)", NORM: f"{NORM} (0.05)"}.get(arm, arm)
        rows.append([name, counted(of(hacked, arm=arm)), where, one, said(here["true_reward"], "true_reward"), gap])
    return table(["arm", "hacked runs", "where", "end in one text", "true reward", "less fold"], rows)


def turned() -> str:
    """A row a scenario and outcome: how much of the texts that hack fold turned, in the texts that were kept."""
    frame = pl.read_parquet(STUDIES / "04-untuned-honeypots" / "samples.parquet")
    ends = analysis.hacked(runs("04-untuned-honeypots").filter(arm=FOLD), ["scenario", "seed"])
    frame = frame.cast({"seed": pl.Int64}).join(ends, on=["scenario", "seed"], how="left", maintain_order="left")
    rows = []
    for (scenario, hacked), texts in frame.group_by("scenario", "hacked_right", maintain_order=True):
        early, late = (texts.filter(part) for part in (pl.col("step") <= EARLY, pl.col("step") > EARLY))
        seeds = ", ".join(map(str, texts["seed"].unique().sort()))
        rows.append([f"`{scenario}`", seeds, *_hacking(early), *_hacking(late), "hacked" if hacked else "prevented"])
    head = ["honeypot", "seeds", f"texts that hack, steps 1 to {EARLY}", "of their tokens turned"]
    return table([*head, f"from step {EARLY + 1}", "of their tokens turned", "in the end"], rows)


def _hacking(texts: pl.DataFrame) -> list[str]:
    """How many texts hack, and the share of their tokens that was turned."""
    hacking = texts.filter("hacked")
    share = f"{hacking['turned'].sum() / hacking['tokens'].sum():.0%}" if hacking.height else NOTHING
    return [f"{hacking.height} of {texts.height}", share]


def ordinary() -> str:
    """A row a task of the study of ordinary rewards; none before there are runs."""
    return shares_of_gain(runs(ORDINARY)) if recorded(ORDINARY) else table(["task", UNTRAINED, "ppo"], [])


def shares_of_gain(frame: pl.DataFrame) -> str:
    """A row a task: true reward before and after PPO, and of each safeguard, with its share of what PPO gained.

    Args:
        frame: A row a run; nothing can be exploited in any scenario.

    Returns:
        The table. Shares are paired by seed, PPO's mean gain taken as known; none where PPO gains nothing.
    """
    mean = analysis.means(frame, "true_reward")
    safeguards = [arm for arm in arms_of(frame) if arm not in ("ppo", UNTRAINED)]
    rows = []
    for task in frame["scenario"].unique(maintain_order=True):
        reward = {arm: of(mean, scenario=task, arm=arm).get("true_reward") for arm in (UNTRAINED, "ppo", *safeguards)}
        lost = analysis.tax(frame, task, "ppo") if reward["ppo"]["mean"] > reward[UNTRAINED]["mean"] else mean.clear()
        cells = [said(reward[arm], "true_reward") for arm in (UNTRAINED, "ppo")]
        for arm in safeguards:
            cells += [said(reward[arm], "true_reward"), said(_kept(of(lost, arm=arm).get("share")), "hack_rate")]
        rows.append([f"`{task}`", *cells])
    heads = [cell for arm in safeguards for cell in (arm, f"{arm}, of ppo's gain")]
    return table(["task", UNTRAINED, "ppo", *heads], rows)


def _kept(lost: dict[str, Any] | None) -> dict[str, Any] | None:
    """What is left of a whole of which that share is lost."""
    if lost is None:
        return None
    low, high = (None if lost[end] is None else 1.0 - lost[end] for end in ("high", "low"))
    return {**lost, "mean": 1.0 - lost["mean"], "low": low, "high": high}
