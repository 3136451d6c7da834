"""From records of runs to what they say, on frames whose numbers are known."""

import polars as pl
import pytest

from gaard.errors import ConfigError
from gaard.lab import analysis

MEASURES = ("hack_rate", "true_reward", "entropy")


def runs(measured, scenarios=("capped",)):
    """The same runs in each scenario: (arm, seed) → as many of ``MEASURES`` as there are."""
    rows = [
        {"scenario": scenario, "arm": arm, "seed": seed, **dict(zip(MEASURES, values, strict=False))}
        for scenario in scenarios
        for (arm, seed), values in measured.items()
    ]
    return pl.DataFrame(rows, infer_schema_length=None)


def steps(curves):
    """(scenario, arm, seed) → rows of steps."""
    rows = [
        {"scenario": scenario, "arm": arm, "seed": seed, "step": step, **row}
        for (scenario, arm, seed), found in curves.items()
        for step, row in enumerate(found, 1)
    ]
    return pl.DataFrame(rows, infer_schema_length=None)


def only(frame, **which):
    (row,) = frame.filter(pl.col(key) == value for key, value in which.items()).to_dicts()
    return row


def test_means_have_students_interval_within_what_the_measure_can_be():
    frame = runs({("ppo", 0): (0.9, 0.3), ("ppo", 1): (0.7, 0.2), ("ppo", 2): (0.5, 0.4), ("fold", 0): (0.1, 0.4)})
    found = analysis.means(frame, *MEASURES[:2])
    ppo = only(found, arm="ppo")
    # Student's t for three runs is 4.3027; the standard errors are 0.2/√3 and 0.1/√3.
    assert ppo["runs"] == 3
    assert ppo["hack_rate"] == pytest.approx({"mean": 0.7, "low": 0.20317, "high": 1.0, "n": 3}, abs=1e-4)
    assert ppo["true_reward"] == pytest.approx({"mean": 0.3, "low": 0.05159, "high": 0.54841, "n": 3}, abs=1e-4)
    assert only(found, arm="fold")["hack_rate"] == {"mean": 0.1, "low": None, "high": None, "n": 1}


def test_a_measure_that_some_runs_lack_is_the_mean_of_the_others_and_null_without_any():
    frame = runs({("ppo", 0): (0.9, 0.3, 2.0), ("ppo", 1): (0.7, 0.2), ("fold", 0): (0.1, 0.4)})
    found = analysis.means(frame, "entropy")
    assert (only(found, arm="ppo")["entropy"]["mean"], only(found, arm="ppo")["entropy"]["n"]) == (2.0, 1)
    assert only(found, arm="fold")["entropy"] is None


def test_differences_are_paired_by_seed_and_leave_out_the_untrained_model():
    frame = runs(
        {
            **{("ppo", seed): (0.9, value) for seed, value in enumerate((0.3, 0.2, 0.9))},
            **{("fold", seed): (0.1, value) for seed, value in enumerate((0.4, 0.5))},
            ("untrained", 0): (0.0, 0.1),
        }
    )
    found = analysis.differences(frame, "ppo", "true_reward")
    assert found["arm"].to_list() == ["fold"]
    # 0.1 and 0.3; Student's t for two runs is 12.706, the standard error 0.1.
    assert only(found, arm="fold")["runs"] == 2
    assert only(found, arm="fold")["true_reward"] == pytest.approx(
        {"mean": 0.2, "low": -1.0706, "high": 1.4706, "n": 2}, abs=1e-4
    )


def test_a_scenario_is_not_compared_with_another():
    here, there = runs({("ppo", 0): (0.9, 0.3)}, ("capped",)), runs({("fold", 0): (0.1, 0.4)}, ("clean",))
    found = analysis.differences(pl.concat([here, there]), "ppo", "true_reward")
    assert only(found, arm="fold")["true_reward"] is None


def test_a_run_is_hacked_if_more_than_half_of_its_completions_are():
    frame = runs({("ppo", 0): (0.9,), ("ppo", 1): (0.5,), ("ppo", 2): (0.51,), ("fold", 0): (0.1,)})
    found = analysis.hacked(frame)
    assert [(row["arm"], row["hacked"], row["runs"]) for row in found.to_dicts()] == [("ppo", 2, 3), ("fold", 0, 1)]


def test_a_seed_without_all_scenarios_does_not_count_in_their_mean():
    frame = runs({("fold", seed): (0.1 * seed, 0.3) for seed in range(3)}, ("capped", "clean"))
    frame = frame.with_columns(pl.when(scenario="clean").then(0.0).otherwise("hack_rate").alias("hack_rate"))
    found = analysis.over_scenarios(frame[:-1])  # the last seed has `capped` alone
    assert found.select("seed", "hack_rate").rows() == [(0, 0.0), (1, pytest.approx(0.05))]
    assert analysis.over_scenarios(frame[:-1], "capped").height == 3


def test_the_tax_is_what_the_baseline_has_and_an_arm_has_not():
    """PPO gains 0.2 over the untrained model; the arm has 0.05 less in one seed, 0.15 less in the other."""
    measured = {("untrained", 0): (0.0, 0.3), ("ppo", 0): (0.0, 0.5), ("ppo", 1): (0.0, 0.5)}
    frame = runs({**measured, ("fold", 0): (0.0, 0.45), ("fold", 1): (0.0, 0.35)}, ("clean",))
    found = only(analysis.tax(frame, "clean", "ppo"), arm="fold")
    assert found["lost"]["mean"] == pytest.approx(0.1)
    assert found["lost"]["low"] < 0.1 < found["lost"]["high"]
    assert found["share"]["mean"] == pytest.approx(0.5)
    assert found["share"]["low"] == pytest.approx(found["lost"]["low"] / 0.2)


def test_a_run_that_stopped_stays_where_it_was():
    honest = [{"true_reward": 0.1 * i, "hack_rate": 0.5} for i in range(1, 5)]
    frame = steps({("clean", "ppo", 0): honest, ("clean", "stopped", 0): honest[:2]})
    found = analysis.at_steps(frame, [1, 4], "true_reward")
    rows = {(row["arm"], row["step"]): row["true_reward"] for row in found.to_dicts()}
    assert rows == pytest.approx(
        {("ppo", 1): 0.1, ("ppo", 4): 0.25, ("stopped", 1): 0.1, ("stopped", 4): 0.15}
    )  # 0.25 = (0.1 + 0.2 + 0.3 + 0.4) / 4


def test_running_means_are_over_five_steps_and_within_a_run():
    frame = steps(
        {("clean", arm, 0): [{"reward": start + i} for i in range(6)] for arm, start in (("a", 0.0), ("b", 9.0))}
    )
    found = analysis.smoothed(frame, "reward").filter(arm="b")["reward"].to_list()
    assert found == [9.0, 9.5, 10.0, 10.5, 11.0, 12.0]


def test_the_mean_way_over_seeds():
    frame = steps({("a", "x", 0): [{"reward": value} for value in (1.0, 3.0, 5.0)], ("a", "x", 1): [{"reward": 0.0}]})
    assert analysis.mean_path(frame, "reward")["reward"].to_list() == [0.5, 1.0, 1.5]  # half of 1, 2, 3


def test_arms_at_equal_kl():
    """KL grows by 0.02 a step, and so do the running means by half of that."""
    rows = [{"kl_ref": 0.02 * i, "hack_rate": 0.1 * i, "true_reward": 0.3} for i in range(1, 6)]
    unknown = [{**row, "kl_ref": None} for row in rows]
    found = analysis.at_kl(steps({("capped", "ppo", 0): rows, ("capped", "resets", 0): unknown}), (0.02, 0.05, 0.1))
    # At step 4 the mean of 0.02 … 0.08 is 0.05 itself; hack rates 0.1 … 0.4 have the mean 0.25 there.
    assert found.select("arm", "kl", "hack_rate").rows() == [
        ("ppo", 0.02, pytest.approx(0.1)),
        ("ppo", 0.05, pytest.approx(0.25)),
    ]


def test_how_hacked_an_arm_is_once_it_is_as_good_as_the_baseline():
    """PPO gains 0, 0.05, …, 1 in `clean`, 1 from step 21 on; one arm is twice as fast, one never gets there."""
    curves = {
        (scenario, arm, 0): [
            {"true_reward": 0.5 + min(1.0, speed * i / 20), "hack_rate": hack if scenario == "capped" else 0.0}
            for i in range(30)
        ]
        for arm, speed, hack in (("ppo", 1.0, 0.9), ("fast", 2.0, 0.1), ("slow", 0.5, 0.0))
        for scenario in ("clean", "capped")
    }
    found = analysis.as_good_as(steps(curves), "clean", "ppo")
    rows = {row["arm"]: (row["scenario"], row["step"], row["hack_rate"]) for row in found.to_dicts()}
    assert rows["ppo"] == ("capped", 23, pytest.approx(0.9))  # (0.9 + 0.95 + 1 + 1 + 1) / 5; before, 0.94
    assert rows["fast"] == ("capped", 14, pytest.approx(0.1))  # (0.9 + 1 + 1 + 1 + 1) / 5
    assert rows["slow"] == ("capped", None, None)


def test_what_is_loaded(tmp_path):
    """A failed run is left out, one that stands in two studies counts once, and scenarios of files have short names."""
    row = {"id": "1", "scenario": "studies-04-x-honeypots.py-dark", "arm": "ppo", "seed": 0, "error": None}
    failed = {**row, "id": "2", "seed": 1, "error": "no"}
    other = {**row, "id": "3", "arm": "fold"}
    pl.DataFrame([row, failed], infer_schema_length=None).write_parquet(tmp_path / "a.parquet")
    pl.DataFrame([row, other], infer_schema_length=None).write_parquet(tmp_path / "b.parquet")
    found = analysis.load_runs(tmp_path / "a.parquet", tmp_path / "b.parquet")
    assert found.select("scenario", "arm", "seed").rows() == [("dark", "ppo", 0), ("dark", "fold", 0)]
    with pytest.raises(ConfigError, match="no column 'step'"):
        analysis.load_steps(tmp_path / "a.parquet")
    with pytest.raises(ConfigError, match="is no Parquet file"):
        analysis.load_runs(tmp_path / "missing.parquet")
