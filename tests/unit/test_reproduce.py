"""``gaard reproduce``: a run again, and whether it is the same."""

import json

import pytest

from gaard import cli
from gaard.lab.reproduce import compared

WORDS = ["train", "--scenario", "capped", "--batch_size", "4", "--num_mini_batches", "2", "--max_steps", "2"]


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "one"
    assert cli.main([*WORDS, "--eval_completions", "0", "--use_cpu", "true", "--output_dir", str(folder)]) == 0
    return folder


def test_a_run_comes_out_the_same_as_far_as_it_went(run, capsys):
    lines = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    (run / "metrics.jsonl").write_text(lines[0])
    assert cli.main(["reproduce", str(run)]) == 0
    assert "the same: all numbers of 1 steps" in capsys.readouterr().out
    assert (run.with_name("one-again") / "metrics.jsonl").read_text() == lines[0]


def test_another_number_is_found_and_so_is_what_is_another_now(run, capsys):
    rows = [json.loads(line) for line in (run / "metrics.jsonl").open()]
    rows[1]["entropy"] *= 2
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    record = json.loads((run / "run.json").read_text())
    record["code"][-1]["torch"] = "1.0"
    record["model_sha256"] = "another"
    (run / "run.json").write_text(json.dumps(record))
    assert cli.main(["reproduce", str(run), "--out", str(run / "again")]) == 1
    out = capsys.readouterr().out
    assert "another run from step 2 on; the largest relative difference: 0.5, entropy at step 2" in out
    assert "torch: '1.0' there" in out
    assert "model_sha256: the model's weights changed" in out


def test_a_metric_that_only_one_has_is_a_difference():
    assert compared([{"step": 1, "a": 1.0}], [{"step": 1}]) == (1, (float("inf"), "a at step 1"))
    assert compared([{"step": 1, "a": 1.0}], [{"step": 1, "a": 1.0}]) == (None, (0.0, ""))


def test_a_folder_without_a_run_is_refused(tmp_path, capsys):
    assert cli.main(["reproduce", str(tmp_path)]) == 2
    assert "holds no run with steps" in capsys.readouterr().err
