"""From a study's folder to its record."""

import json

import polars as pl
import pytest
from studies import collect

from gaard.lab.measures import OF_RUN


@pytest.fixture
def folder(tmp_path):
    """A study of one scenario from a file: a run, one whose reference moved, one that failed, the untrained model."""
    rows = []
    for arm, regularizers in (("fold", []), ("resets", [{"name": "reference-resets", "steps": 10}]), ("failed", [])):
        own = tmp_path / "x" / f"{arm}-seed0"
        own.mkdir(parents=True)
        (own / "run.json").write_text(json.dumps({"config": {"regularizers": regularizers}}))
        metrics = [{"step": i, "reward": 0.1 * i, "kl_ref": 0.5, "hack_rate": 0.25, "loss": 9.0} for i in (1, 2)]
        (own / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in metrics))
        tokens = {"text": ["a", "story", "story"], "greedy": ["a", "story", "film"], "hack": [0, 1, 1]}
        tokens |= {"sigma": [9.0, 0.0, 1.5], "turned": [0.0, 1.0, 1.0]}
        (own / "samples.jsonl").write_text(json.dumps({"step": 1, "hacked": True, "tokens": tokens}) + "\n")
        rows.append({"arm": arm, "folder": f"x/{arm}-seed0", "error": "no" if arm == "failed" else None})
    rows.append({"arm": "untrained", "folder": "x/untrained-seed0", "error": None})
    which = {"id": "1", "algorithm": 1, "scenario": "studies-04-x-honeypots.py-dark", "seed": 0}
    frame = pl.DataFrame([{**which, **row, **dict.fromkeys(OF_RUN, 0.5)} for row in rows], infer_schema_length=None)
    frame.write_parquet(tmp_path / "runs.parquet")
    return tmp_path


def test_runs_have_the_records_columns_and_short_names(folder):
    found = collect.record(collect.finished(folder))
    assert found.columns == ["id", "algorithm", "scenario", "arm", "seed", "error", *OF_RUN]
    assert found.select("scenario", "arm").rows() == [("dark", "fold"), ("dark", "resets"), ("dark", "untrained")]


def test_curves_are_of_finished_trained_runs_and_claim_no_kl_to_a_reference_that_moved(folder):
    found = collect.steps(folder, collect.finished(folder))
    assert found.select("arm", "step", "kl_ref").rows() == [
        ("fold", 1, 0.5),
        ("fold", 2, 0.5),
        ("resets", 1, None),
        ("resets", 2, None),
    ]
    assert found["reward"].to_list() == pytest.approx([0.1, 0.2, 0.1, 0.2])
    assert found["true_reward"].is_null().all()


def test_tokens_of_the_hack(folder):
    found = collect.samples(folder, collect.finished(folder)).filter(arm="fold").to_dicts()
    assert found == [
        {
            **{"scenario": "dark", "arm": "fold", "seed": 0, "step": 1, "hacked": True, "tokens": 3, "turned": 2},
            **{"greedy": [True, False], "sigma": [0.0, 1.5]},
            **{name: [] for name in ("a", "b", "advantage", "greedy_advantage")},
        }
    ]


def test_places_are_where_x_star_is_a_token_of_the_hack_drawn_or_not(folder):
    """Tokens 1 and 2 have b < 0 and "story" as x*; it is drawn at the first of them alone."""
    own = folder / "x" / "fold-seed0" / "samples.jsonl"
    tokens = {"text": ["a", "story", "film"], "greedy": ["a", "story", "story"], "hack": [0, 1, 0]}
    tokens |= {"b": [-0.5, -0.25, -0.125], **{name: [0.0, 1.0, 2.0] for name in ("eta", "sigma", "a")}}
    tokens |= {name: [0.0, 3.0, 4.0] for name in ("advantage", "greedy_advantage")}
    own.write_text(json.dumps({"step": 7, "hacked": True, "tokens": tokens}) + "\n")
    found = collect.places(folder, collect.finished(folder))
    assert found.select("arm", "step", "drawn", "b", "sigma", "greedy_advantage").rows() == [
        ("fold", 7, True, -0.25, 1.0, 3.0),
        ("fold", 7, False, -0.125, 2.0, 4.0),
    ]


def test_the_command_writes_what_is_asked_for(folder, tmp_path, capsys):
    study = tmp_path / "study"
    study.mkdir()
    collect.main(folder, study, ["steps"])
    assert sorted(path.name for path in study.iterdir()) == ["runs.parquet", "steps.parquet"]
    assert "runs.parquet: 3 rows" in capsys.readouterr().out


def test_a_record_can_be_made_in_parts(folder, tmp_path):
    study = tmp_path / "study"
    study.mkdir()
    collect.main(folder, study, ["steps"])
    runs = pl.read_parquet(folder / "runs.parquet")
    again = runs.filter(arm="fold").with_columns(true_reward=pl.lit(0.75))
    more = runs.filter(arm="untrained").with_columns(seed=pl.lit(1, pl.Int64))
    pl.concat([more, again]).write_parquet(folder / "runs.parquet")
    collect.main(folder, study, ["steps"])
    found = pl.read_parquet(study / "runs.parquet")
    assert sorted(found.select("seed", "arm", "true_reward").rows()) == [
        (0, "fold", 0.75),
        (0, "resets", 0.5),
        (0, "untrained", 0.5),
        (1, "untrained", 0.5),
    ]
    assert pl.read_parquet(study / "steps.parquet").height == 4
