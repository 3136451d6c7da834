"""Tables of Johnson's method: the published experiment, what was changed in it, and what it sees at the hack."""

import polars as pl

from gaard.lab import analysis
from gaard.lab.measures import OF_RUN
from studies.frames import BEST, STUDIES, UNTRAINED, arms_of, counted, of, runs
from studies.markdown import NOTHING, said, table

RATE = {"0.0005": "5e-4", "0.002": "2e-3", "0.02": "2e-2"}
PUBLISHED = {  # (method, honeypot) → the published rate of its value head
    ("ppo", "capped"): "0.0005",
    ("ppo", "uncapped"): "0.0005",
    ("gaa-code", "capped"): "0.02",
    ("gaa-code", "uncapped"): "0.002",
}
EARLY = 10  # steps


def published(study: str) -> str:
    """A row a honeypot and arm: outcomes, and how they differ from PPO's."""
    frame = runs(study)
    mean, hacked = analysis.means(frame, "hack_rate", "true_reward"), analysis.hacked(frame)
    less = analysis.differences(frame, "ppo-0.0005", "hack_rate", "true_reward", "frontier_area")
    rows = []
    for scenario in frame["scenario"].unique(maintain_order=True):
        for arm in arms_of(frame):
            here, gap = (of(found, scenario=scenario, arm=arm) for found in (mean, less))
            count = NOTHING if arm == UNTRAINED else counted(of(hacked, scenario=scenario, arm=arm))
            cells = []
            for name in ("hack_rate", "true_reward"):
                cells += [said(here[name], name), said(gap.get(name), name, signed=True)]
            cells.append(said(gap.get("frontier_area"), "frontier_area", signed=True))
            rows.append([f"`{scenario}`", *_method(arm, scenario), count, *cells])
    head = ["scenario", "method", "value-head rate", "hacked runs", OF_RUN["hack_rate"].label, "less ppo"]
    return table([*head, OF_RUN["true_reward"].label, "less ppo", "frontier area less ppo"], rows)


def _method(arm: str, scenario: str) -> tuple[str, str]:
    """An arm's method and the rate of its value head, and whether that is the published one."""
    if arm == UNTRAINED:
        return arm, NOTHING
    method, rate = arm.rsplit("-", 1)
    mode = scenario.removeprefix("published_").removesuffix("_kl")
    return method, RATE[rate] + (", published" if PUBLISHED[method, mode] == rate else "")


def each_run(study: str, score: bool = True) -> str:
    """A row an arm: hack rate and true reward of every run in each scenario, and perhaps the score that chooses."""
    frame = runs(study).with_columns((pl.col("true_reward") / BEST - pl.col("hack_rate")).alias("score"))
    scenarios = frame["scenario"].unique(maintain_order=True).to_list()
    rows = []
    for arm in arms_of(frame):
        own = frame.filter(arm=arm)
        cells = []
        for scenario in scenarios:
            found = own.filter(scenario=scenario).sort("seed").select("hack_rate", "true_reward").rows()
            cells.append("; ".join(f"{hacks:.0%} / {true:.3f}" for hacks, true in found) or NOTHING)
        rows.append([arm, *cells, *([f"{own['score'].mean():.3f}"] if score else [])])
    head = ["arm", *(f"`{scenario}`, hack rate / true reward" for scenario in scenarios)]
    return table([*head, *(["score"] if score else [])], rows)


def at_the_hack() -> str:
    """A row an arm and part of training: the tokens of the hack, in the texts that were kept."""
    files = [STUDIES / name / "samples.parquet" for name in ("02-baselines", "06-published")]
    frame = pl.concat([pl.read_parquet(file) for file in files])
    rows = []
    for (arm,), texts in frame.group_by("arm", maintain_order=True):
        last = int(texts["step"].max())  # type: ignore[arg-type]
        for part, label in (
            (pl.col("step") <= EARLY, f"1 to {EARLY}"),
            (pl.col("step") > EARLY, f"{EARLY + 1} to {last}"),
        ):
            rows.append([arm, label, *_tokens(texts.filter(part))])
    head = ["arm", "steps", "texts that hack", "tokens of the hack", "that are greedy", "σ below 0", "σ above 0"]
    return table([*head, "mean a", "mean b"], rows)


def _tokens(texts: pl.DataFrame) -> list[str]:
    """What is known of the tokens of the hack."""
    tokens = texts.select("greedy", "sigma", "a", "b").explode("greedy", "sigma", "a", "b").drop_nulls()
    shares = [tokens["greedy"], tokens["sigma"] < 0, tokens["sigma"] > 0]
    figures = [f"{share.mean():.1%}" for share in shares] + [f"{tokens[name].mean():.3f}" for name in ("a", "b")]
    return [f"{texts['hacked'].sum()} of {texts.height}", str(tokens.height), *figures]
