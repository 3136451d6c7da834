"""Runs that another study has made are taken over by what they are, not by what they are called."""

import polars as pl
import pytest
from studies import take_over
from studies.frames import STUDIES

from gaard.lab.study import read_study

STUDY = "{summary: x, scenarios: [late, clean], arms: [ppo, fold], baseline: ppo, seeds: [3000, 3001]}"


@pytest.fixture
def study(tmp_path):
    (tmp_path / "study.yaml").write_text(STUDY)
    return tmp_path


def rows(*found):
    return pl.DataFrame(found, ["id", "scenario", "arm", "seed"], orient="row")


def test_rows_of_the_same_run_are_taken_once_and_others_not(study):
    asked = []

    def identity(spec):
        asked.append(spec.output_dir)
        return "same"

    one = rows(("same", "late", "ppo", 3000), ("other", "late", "fold", 3000), ("same", "late", "ppo", 7))
    other = rows(("same", "late", "ppo", 3000), ("same", "clean", "untrained", 3001), ("same", "capped", "ppo", 3000))
    found = take_over.taken(study, [one, other], identity)
    assert found.rows() == [("same", "late", "ppo", 3000), ("same", "clean", "untrained", 3001)]
    assert len(asked) == 3  # of those alone that are runs of this study and stand in a record


def test_nothing_to_take_is_no_error(study):
    assert take_over.taken(study, [rows(("same", "late", "ppo", 7))], lambda spec: "same").height == 0


@pytest.mark.parametrize("arm", ["ppo", "untrained"])
def test_the_identity_is_that_of_a_run_that_was_made(study, arm, tmp_path):
    """By its weights, rewards and prompts, without a step of training."""
    specs = {
        (key.scenario, key.arm, key.seed): spec
        for key, spec in read_study(study / "study.yaml").specs(tmp_path).items()
    }
    recorded = pl.read_parquet(STUDIES / "31-mixtures" / "runs.parquet").filter(scenario="late", arm=arm, seed=3000)
    assert take_over.identity(specs["late", arm, 3000]) == recorded["id"].item()


def test_what_is_taken_replaces_a_run_that_was_made_again(study, tmp_path, monkeypatch):
    (tmp_path / "other").mkdir()
    monkeypatch.setattr(take_over, "STUDIES", tmp_path)
    columns = ["id", "scenario", "arm", "seed", "true_reward"]
    theirs = [("a", "late", "ppo", 3000, 0.5), ("b", "late", "ppo", 3001, 0.6)]
    pl.DataFrame(theirs, columns, orient="row").write_parquet(tmp_path / "other" / "runs.parquet")
    ours = [("a", "late", "ppo", 3000, 0.4999), ("c", "late", "fold", 3000, 0.7)]
    pl.DataFrame(ours, columns, orient="row").write_parquet(study / "runs.parquet")
    monkeypatch.setattr(take_over, "taken", lambda study, records: pl.concat(records))
    take_over.main(study, [3000])
    assert set(pl.read_parquet(study / "runs.parquet").rows()) == {theirs[0], ours[1]}
