"""The study of GRPO in TRL's own loop: its record says what its page says, and its command trains."""

import importlib.util
from itertools import product

import polars as pl
import pytest

from gaard.lab.scenarios import find_scenario
from gaard.models.fetching import fetch
from pages import ROOT

FOLDER = ROOT / "studies" / "25-trl"
RUNS, STEPS = (pl.read_parquet(FOLDER / f"{name}.parquet") for name in ("runs", "steps"))
WHICH = ["scenario", "arm", "seed"]


@pytest.fixture(scope="module")
def study():
    spec = importlib.util.spec_from_file_location("runs_in_trl", FOLDER / "runs.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def of(scenario, arm):
    return RUNS.filter(scenario=scenario, arm=arm)


def test_the_record_has_each_run_once_and_all_its_rollouts(study):
    planned = list(product(study.SCENARIOS, study.ARMS, study.SEEDS))
    assert RUNS.select(WHICH).rows() == planned
    rollouts = STEPS.group_by(WHICH, maintain_order=True).agg(pl.col("step"))
    assert [(*which, steps) for *which, steps in rollouts.rows()] == [(*which, list(range(80))) for which in planned]
    assert STEPS.filter(arm="none")["turned"].is_null().all()


def test_the_answer_of_the_page_is_that_of_the_record():
    plain, fold = of("capped", "none"), of("capped", "fold")
    assert plain["hack_rate"].min() > 0.5  # hacked, as the protocol has it
    assert fold["hack_rate"].max() == 0  # "no text of 1,280 is a hack"
    assert fold["true_reward"].min() > 0.49 > plain["true_reward"].max()
    assert abs(of("clean", "fold")["true_reward"].mean() - of("clean", "none")["true_reward"].mean()) < 0.005


@pytest.mark.parametrize("arm", ["none", "fold"])
def test_its_runs_train_the_scenario(study, tmp_path, monkeypatch, arm):
    short = study.config(find_scenario("capped"), tmp_path, 0)
    short.max_steps, short.model_init_kwargs = 8, {"dtype": "float32"}
    monkeypatch.setattr(study, "config", lambda *_: short)
    (tmp_path / "pocket").symlink_to(fetch("pocket"))
    found = study.run(tmp_path, "capped", arm, 0)
    assert (found["scenario"], found["arm"], found["seed"]) == ("capped", arm, 0)
    assert 0.1 < found["true_reward"] < 0.5
    (only,) = found["steps"]
    assert (only["turned"] is None) == (arm == "none")
    assert study.run(tmp_path, "capped", arm, 0) == found  # and it is not trained again
