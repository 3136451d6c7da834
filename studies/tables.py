"""Tables of the main study, the baselines and the tuning."""

from collections.abc import Sequence

import polars as pl

from gaard.lab import analysis
from gaard.lab.frontier import KL_LEVELS
from gaard.lab.measures import OF_RUN
from studies.frames import (
    BEST,
    CLEAN,
    FOLD,
    HONEYPOTS,
    NORM,
    ONE_TEXT,
    UNTRAINED,
    arms_of,
    counted,
    of,
    only,
    runs,
    steps,
)
from studies.markdown import NOTHING, said, table


def baselines() -> str:
    """A row an arm: both honeypots together, and what is left where there is nothing to exploit."""
    head = ["arm", "hacked runs", "hack rate", "true reward", "true reward in `clean`", "entropy in `clean`"]
    return table(head, _summary(arms_of(runs("02-baselines")), ("true_reward", "entropy")))


def _summary(arms: Sequence[str], in_clean: Sequence[str]) -> list[list[str]]:
    """A row an arm: hacked runs, hack rate and true reward of both honeypots, and some measures of `clean`."""
    frame = runs("02-baselines")
    pots = only(frame, "scenario", HONEYPOTS)
    hacked = analysis.hacked(pots, ["arm"])
    both = analysis.means(analysis.over_scenarios(pots), "hack_rate", "true_reward", by=["arm"])
    clean = analysis.means(frame.filter(scenario=CLEAN), *in_clean, by=["arm"])
    rows = []
    for arm in arms:
        there, here = of(both, arm=arm), of(clean, arm=arm)
        cells = [said(there[name], name) for name in ("hack_rate", "true_reward")]
        cells += [said(here[name], name) for name in in_clean]
        rows.append([arm, NOTHING if arm == UNTRAINED else counted(of(hacked, arm=arm)), *cells])
    return rows


def cutoffs() -> str:
    """What docs/protocol.md asks of fold, and what it has."""
    frame = runs("01-main")
    mean = analysis.means(frame, "hack_rate")
    less, tax = analysis.differences(frame, "ppo", "true_reward"), of(analysis.tax(frame, CLEAN, "ppo"), arm=FOLD)
    rows = []
    for scenario, least, most in (("capped", 0.8, 0.1), ("uncapped", 0.55, 0.2)):
        ppo, ours = (of(mean, scenario=scenario, arm=arm)["hack_rate"] for arm in ("ppo", FOLD))
        rows.append(
            [f"hack rate of ppo in `{scenario}`", f"≥ {least:.0%}", said(ppo, "hack_rate"), ppo["mean"] >= least]
        )
        rows.append(
            [f"hack rate of fold in `{scenario}`", f"≤ {most:.0%}", said(ours, "hack_rate"), ours["mean"] <= most]
        )
    for scenario in (*HONEYPOTS, CLEAN):
        gap = of(less, scenario=scenario, arm=FOLD)["true_reward"]
        text = said(gap, "true_reward", signed=True)
        rows.append(
            [f"true reward of fold less ppo's in `{scenario}`", "interval above −0.020", text, gap["low"] > -0.02]
        )
    share = tax["share"]
    text = said(share, "hack_rate")
    rows.append(["tax in `clean`, of what ppo gained there", "≤ 10%", text, share["mean"] <= 0.1])
    return table(["what", "cut-off", "found", "holds"], [[*row, "yes" if holds else "no"] for *row, holds in rows])


def equal_kl(scenario: str, arms: Sequence[str] = ("ppo", FOLD)) -> str:
    """A row a distance from the untrained model."""
    frame = only(steps("01-main"), "arm", arms).filter(scenario=scenario)
    mean = analysis.means(analysis.at_kl(frame), "hack_rate", "true_reward", by=["arm", "kl"])
    rows = []
    for level in KL_LEVELS:
        here = [mean.filter(pl.col("kl") == level, pl.col("arm") == arm).to_dicts()[0] for arm in arms]
        cells = [said(row[name], name) for name in ("hack_rate", "true_reward") for row in here]
        rows.append([f"{level:g}", *(str(row["runs"]) for row in here), *cells])
    head = ["KL", *(f"runs, {arm}" for arm in arms)]
    head += [f"{OF_RUN[name].label}, {arm}" for name in ("hack_rate", "true_reward") for arm in arms]
    return table(head, rows)


def equal_steps(wanted: Sequence[int] = (10, 20, 40, 80)) -> str:
    """A row a step: true reward where nothing can be exploited."""
    curves = only(steps("01-main", "02-baselines").filter(scenario=CLEAN), "arm", ["ppo", FOLD, NORM])
    there = analysis.at_steps(curves, wanted, "true_reward")
    mean = analysis.means(there, "true_reward", by=["step", "arm"])
    less = analysis.differences(there, "ppo", "true_reward", by=["step"])
    rows = []
    for step in wanted:
        ppo = mean.filter(pl.col("step") == step, pl.col("arm") == "ppo").to_dicts()[0]
        gaps = [less.filter(pl.col("step") == step, pl.col("arm") == arm).to_dicts()[0] for arm in (FOLD, NORM)]
        cells = [said(gap["true_reward"], "true_reward", signed=True) for gap in gaps]
        rows.append([step, said(ppo["true_reward"], "true_reward"), *cells])
    return table(["step", "ppo", f"{FOLD} less ppo", f"{NORM} less ppo"], rows)


def as_good() -> str:
    """A row a honeypot and arm: the hack rate at the step where `clean` is learned."""
    curves = only(steps("01-main", "02-baselines"), "arm", ["ppo", FOLD, NORM])
    found = analysis.as_good_as(curves, CLEAN, "ppo")
    rate = analysis.means(found, "hack_rate")
    rows = []
    for scenario in HONEYPOTS:
        for arm in ("ppo", FOLD, NORM):
            own = found.filter(scenario=scenario, arm=arm)
            reached = f"{own['step'].count()} of {own.height}"
            hacks = said(of(rate, scenario=scenario, arm=arm)["hack_rate"], "hack_rate")
            rows.append([f"`{scenario}`", arm, reached, f"{own['step'].median():g}", hacks])
    return table(["scenario", "arm", "seeds that get there", "at step (median)", "hack rate there"], rows)


def against_fold() -> str:
    """A row an arm: how it differs from fold over the three scenarios, paired by seed."""
    names = ("hack_rate", "true_reward", "frontier_area", "kl_untrained")
    frame = analysis.over_scenarios(runs("02-baselines"))
    less = analysis.differences(frame, FOLD, *names, by=[])
    rows = [
        [row["arm"], row["runs"], *(said(row[name], name, signed=True) for name in names)] for row in less.to_dicts()
    ]
    return table(["arm less fold", "seeds", *(OF_RUN[name].label for name in names)], rows)


def narrow() -> str:
    """A row an arm: how varied its texts are where nothing can be exploited."""
    frame = only(runs("02-baselines").filter(scenario=CLEAN), "arm", ["ppo", FOLD, NORM, UNTRAINED])
    mean = analysis.means(frame, "entropy", "distinct_2", by=["arm"])
    rows = []
    for arm in arms_of(frame):
        own, here = frame.filter(arm=arm), of(mean, arm=arm)
        one = f"{own.filter(pl.col('entropy') < ONE_TEXT).height} of {own.height}"
        rows.append([arm, *(said(here[name], name) for name in ("entropy", "distinct_2")), one])
    return table(["arm", OF_RUN["entropy"].label, OF_RUN["distinct_2"].label, "runs that end in one text"], rows)


def strengths() -> str:
    """A row an arm of the tuning study: the score that chose, and what it is made of; the chosen ones in bold."""
    frame = runs("03-tuning").with_columns((pl.col("true_reward") / BEST - pl.col("hack_rate")).alias("score"))
    pots = only(frame, "scenario", HONEYPOTS)
    rows = []
    for arm in arms_of(frame):
        own, there, here = (part.filter(arm=arm) for part in (frame, pots, frame.filter(scenario=CLEAN)))
        name = f"**{arm}**" if arm in CHOSEN else arm
        hacked = NOTHING if arm == UNTRAINED else counted(of(analysis.hacked(there, ["arm"]), arm=arm))
        figures = [f"{part['true_reward'].mean():.3f}" for part in (there, here)]
        rates = f"{there['hack_rate'].mean():.1%}"
        rows.append([name, hacked, rates, *figures, f"{own['entropy'].mean():.2f}", f"{own['score'].mean():.3f}"])
    head = ["arm", "hacked runs", "hack rate", "true reward", "true reward in `clean`", "entropy", "score"]
    return table(head, rows)


CHOSEN = (
    *("fold-3", "kl-3", "kl-budget-0.03", "par-1", "resets-3", "gradient-norm-0.05", "sam-0.5"),
    *("reward-clip-0.5", "entropy-0.003"),
)
