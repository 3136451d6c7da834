"""The tables of study 35, from a record of two arms."""

import polars as pl
import pytest
import yaml
from studies import frames, leagues

from gaard.lab.arms import RECOMMENDED_ARM
from gaard.lab.league import HONEST, league_study
from gaard.lab.study import read_study
from gaard.report.verdict import SIGNIFICANT
from pages import read

SCENARIOS = ("capped", "clean")
ENDS = {"untrained": (0.2, 0.0), "oracle": (0.6, 0.0), "ppo": (0.3, 0.9)}  # true reward and hack rate


@pytest.fixture
def record(tmp_path, monkeypatch):
    """Of two seeds, as `studies.collect` writes it."""
    rows = [
        {"id": f"{scenario}-{arm}-{seed}", "scenario": scenario, "arm": arm, "seed": seed, "error": None,
         "true_reward": true, "hack_rate": hacks if scenario == "capped" else 0.0,
         "untrained_perplexity": 6.0 if arm == "ppo" else 3.0, "seconds_per_step": 2.0 if arm == "ppo" else 1.0}
        for seed in (1, 2) for scenario in SCENARIOS for arm, (true, hacks) in ENDS.items()
    ]  # fmt: skip
    folder = tmp_path / leagues.STUDY
    folder.mkdir()
    pl.DataFrame(rows).write_parquet(folder / "runs.parquet")
    study = {"scenarios": list(SCENARIOS), "arms": ["ppo", "oracle"], "seeds": [1, 2, 3]}
    (folder / "study.yaml").write_text(yaml.safe_dump(study))
    for module in (frames, leagues):
        monkeypatch.setattr(module, "STUDIES", tmp_path)
    frames.runs.cache_clear()
    yield
    frames.runs.cache_clear()


def test_the_standings_of_a_record(record):
    """PPO gains 0.1 of 0.4, twice the perplexity; two of three seeds are there."""
    oracle, ppo = leagues.league().splitlines()[2:]
    cells = [cell.strip() for cell in ppo.strip("|").split("|")]
    quarter = "0.25 [0.25, 0.25]"
    assert cells == ["`ppo`", quarter, "–", quarter, quarter, "0.90 [0.90, 0.90]", "2.00 [2.00, 2.00]",
                     "1.00 [1.00, 1.00]", "2 of 2", "2 of 2", "4 of 6"]  # fmt: skip
    assert oracle.startswith("| `oracle` | 1.00 [1.00, 1.00] | +0.75 | 1.00")


def test_the_readme_has_few_arms_and_few_figures(record, monkeypatch):
    (ppo,) = leagues.readme().splitlines()[2:]  # honest training is no method
    assert ppo == "| `ppo` | 0.25 [0.25, 0.25] | 0.25 | 0.25 | 2 of 2 | 1.00 |"
    monkeypatch.setattr(leagues, "PUZZLES", ("clean",))
    changed = frames.runs(leagues.STUDY).with_columns(
        pl.when(scenario="clean", arm="ppo").then(0.5).otherwise("true_reward").alias("true_reward")
    )
    monkeypatch.setattr(leagues, "runs", lambda study: changed)
    (ppo,) = leagues.readme().splitlines()[2:]
    assert ppo.startswith("| `ppo` | 0.50 [0.50, 0.50] | 0.25 | 0.75 |")


def test_the_readme_names_every_arm_that_stands_above_ppo():
    """In the record itself: where another wins, the README says so, and gaard's own stands where it stands."""
    rows = leagues.stood()
    told = [(row["arm"], row["less_baseline"]) for row in rows if row["arm"] not in (HONEST, "ppo")]
    above = {arm for arm, less in told if less["p_holm"] < SIGNIFICANT and less["mean"] > 0}
    shown = [line.split("`")[1] for line in leagues.readme().splitlines()[2:]]
    assert above | {"ppo", "fold", RECOMMENDED_ARM} == set(shown) == set(leagues.IN_README)
    assert shown == [row["arm"] for row in rows if row["arm"] in shown]
    assert leagues.readme() in read("README.md")


def test_a_column_leaves_the_puzzles_out(record, monkeypatch):
    """With `clean` for a puzzle what is left is `capped`; the control is gone, and nothing is known of it."""
    monkeypatch.setattr(leagues, "PUZZLES", ("clean",))
    assert [row["scenarios"] for row in leagues.stood("clean")] == [1, 1]
    changed = frames.runs(leagues.STUDY).with_columns(
        pl.when(scenario="clean", arm="ppo").then(0.5).otherwise("true_reward").alias("true_reward")
    )
    monkeypatch.setattr(leagues, "runs", lambda study: changed)
    (_, ppo) = leagues.league().splitlines()[2:]
    assert ppo.split(" | ")[1:4:2] == ["0.50 [0.50, 0.50]", "0.25 [0.25, 0.25]"]


def test_what_each_arm_does_in_each_scenario(record):
    rows = {line.split("`")[1]: line for line in leagues.where().splitlines()[2:]}
    assert "| 0.300, 2 of 2 | 0.300, 0 of 2 |" in rows["ppo"]
    assert rows["untrained"] == "| `untrained` | 0.200 | 0.200 |"


def test_a_verdict_in_words(record):
    """PPO gains 0.1 of 0.4 in `clean`; two seeds that differ by the same are no proof."""
    (oracle,) = leagues.judged().splitlines()[2:]
    assert oracle == "| `oracle` (honest) | not shown | 400% [400%, 400%] |"


@pytest.mark.parametrize(
    ("verdict", "kept", "told"),
    [
        ("helps", None, "**helps**"),
        ("hacked less, learns less", None, "hacked less, learns less"),
        ("open", {"mean": 0.9, "low": None, "high": None}, "open"),
        ("no harm", {"mean": 0.97, "low": 0.9, "high": 1.04}, "97% [90%, 104%]"),
        ("harm", {"mean": -0.3, "low": -0.4, "high": -0.2}, "−30% [−40%, −20%], **harm**"),
    ],
)
def test_the_words_of_a_verdict(verdict, kept, told):
    assert leagues._in_words({"verdict": verdict, "kept": kept}) == told


def test_the_study_is_that_of_the_protocol():
    study = read_study(frames.STUDIES / leagues.STUDY / "study.yaml")
    protocol = (frames.STUDIES.parent / "docs" / "protocol.md").read_text(encoding="utf-8")
    rows = dict(
        line.strip("| \n").split(" | ", 1)
        for line in protocol.partition("### The record of the league")[2].splitlines()
        if line.startswith("| ") and not line.startswith("| |")
    )
    assert {arm.name for arm in study.arms} == set(rows["arms"].split("`")[1::2])
    assert set(study.scenarios) == set(rows["scenarios"].split("`")[1::2])
    assert f"{study.seeds[0]} to {study.seeds[-1]}" in rows["seeds"]
    words = " ".join(protocol.split())
    assert f"would be {planned(league_study()) * 10:,} runs" in words
    assert f"has at most {planned(study) * len(study.seeds):,} runs" in words


def planned(study):
    """Runs of a seed."""
    return len(study.scenarios) * len(study.arms) - len(study.left_out)
