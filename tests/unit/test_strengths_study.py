"""Which strength the protocol's rule takes, by hand."""

import polars as pl
import pytest
from studies.frames import STUDIES, runs
from studies.strengths import BASE, STUDY, UNTRAINED, chosen, family, scores

from gaard.lab.arms import ARMS
from gaard.lab.study import read_study

ARM_OF = {"signcert": "dr_grpo-signcert", "ensemble": "ppo-ensemble-uncertainty"}
ARM_OF |= {"detector-penalty": "ppo-detector-penalty", "fold": "fold"}


def runs_of(**arms: tuple[float, float]) -> pl.DataFrame:
    """Arm → true reward in `clean` and hack rate in `capped`, of two seeds that are alike."""
    rows = [
        {"scenario": scenario, "arm": arm, "seed": seed, "true_reward": true, "hack_rate": hacks}
        for arm, (true, hacks) in arms.items()
        for seed in (100, 101)
        for scenario in ("capped", "clean")
    ]
    return pl.DataFrame(rows)


RUNS = {"untrained": (0.2, 0.04), "ppo": (0.4, 0.9)}


def test_what_is_kept_is_the_share_of_what_ppo_gained():
    found = scores(runs_of(**RUNS, **{"fold-3": (0.35, 0.1)}))
    assert found.filter(arm="fold-3").row(0) == ("fold-3", 2, pytest.approx(0.75), pytest.approx(0.1), None)
    assert found.filter(arm="ppo")["kept"].item() == pytest.approx(1.0)


def test_of_those_that_keep_enough_the_one_with_the_fewest_hacks():
    found = scores(runs_of(**RUNS, **{"fold-1": (0.3, 0.0), "fold-3": (0.395, 0.5), "fold-6": (0.4, 0.6)}))
    assert chosen(found.filter(pl.col("arm").str.starts_with("fold"))) == {"fold-3"}


def test_if_none_keeps_enough_the_one_that_keeps_most():
    arms = {"max-min-0.1": (0.3, 0.0), "max-min-0.9": (0.35, 0.5)}
    assert chosen(scores(runs_of(**RUNS, **arms)).filter(pl.col("arm").str.starts_with("max"))) == {"max-min-0.9"}


def test_equals_are_told_apart_by_what_they_keep():
    arms = {"chi2-0.1": (0.39, 0.0), "chi2-1": (0.4, 0.0), "clip-3": (0.4, 0.3)}
    found = scores(runs_of(**RUNS, **arms)).filter(~pl.col("arm").is_in(list(RUNS)))
    assert chosen(found) == {"chi2-1", "clip-3"}


def test_what_is_made_for_learned_rewards_is_judged_there():
    arms = {f"ensemble-{coef}": (0.3 + 0.05 * coef, 0.0) for coef in (1, 2)}
    runs = runs_of(**RUNS, **arms)
    assert chosen(scores(runs).filter(pl.col("arm").str.starts_with("ensemble"))) == set()  # not known yet
    learned = [
        {"scenario": "overoptimised-50-model", "arm": arm, "seed": 100, "true_reward": true, "hack_rate": 0.0}
        for arm, true in {"ppo": 0.7, "ensemble-1": 0.8, "ensemble-2": 0.75}.items()
    ]
    found = scores(pl.concat([runs, pl.DataFrame(learned)]))
    assert chosen(found.filter(pl.col("arm").str.starts_with("ensemble"))) == {"ensemble-1"}


def test_a_family_is_what_stands_before_the_number():
    assert [family(arm) for arm in ("max-min-0.9999", "fold-3", "policy-filtration-16")] == [
        "max-min",
        "fold",
        "policy-filtration",
    ]


def test_the_named_arms_have_the_strengths_that_were_chosen():
    best = chosen(scores(runs(STUDY)).filter(~pl.col("arm").is_in([BASE, UNTRAINED, "dr_grpo"])))
    assert len(best) == 12
    best -= {"drop-1.5", "clip-1.5"}  # controls of fold, at the threshold of fold
    searched = [read_study(STUDIES / STUDY / name).arms for name in ("study.yaml", "learned.yaml")]
    tried = {arm.name: arm for arms in searched for arm in arms}
    for name in best:
        arm, named = tried[name], ARMS[ARM_OF.get(family(name), f"ppo-{family(name)}")]
        assert (arm.method, arm.regularizers, arm.settings) == (named.method, named.regularizers, named.settings)
