"""``gaard reproduce``: a run again, and whether it is the same."""

import json
import re

import pytest
import torch

from gaard import cli
from gaard.lab.reproduce import compared
from gaard.training.trainer import GAATrainer

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
    out = capsys.readouterr().out
    assert "the same: all numbers of 1 steps, not measured after training" in out
    command = next(
        line for line in out.splitlines() if line.startswith("all settings that are not the default: gaard train ")
    )
    assert {"--batch_size 4", "--max_steps 2"} <= set(re.findall(r"--\S+ \S+", command))
    assert f"\ntorch: {torch.__version__}\n" in out
    assert (run.with_name("one-again") / "metrics.jsonl").read_text() == lines[0]


def test_a_run_that_is_there_already_is_not_taken_for_a_new_one(run, capsys):
    assert cli.main(["reproduce", str(run)]) == 0
    record = (run.with_name("one-again") / "run.json").read_text()
    assert cli.main(["reproduce", str(run)]) == 2
    assert "one-again holds a run of 2 steps or more already, and nothing would be trained" in capsys.readouterr().err
    assert (run.with_name("one-again") / "run.json").read_text() == record
    assert cli.main(["reproduce", str(run), "--out", str(run)]) == 2


def test_what_was_interrupted_goes_on(run, monkeypatch, capsys):
    step, done = GAATrainer.training_step, []

    def once(self):
        if done:
            raise KeyboardInterrupt
        done.append(step(self))
        self.run.save()
        return done[0]

    with monkeypatch.context() as interrupted:
        interrupted.setattr(GAATrainer, "training_step", once)
        assert cli.main(["reproduce", str(run)]) == 130
    assert cli.main(["reproduce", str(run)]) == 0
    assert "the same: all numbers of 2 steps" in capsys.readouterr().out


def test_the_folder_may_be_the_one_that_one_is_in(run, monkeypatch, capsys):
    monkeypatch.chdir(run)
    assert cli.main(["reproduce", "."]) == 0
    assert (run.with_name("one-again") / "metrics.jsonl").exists()


def test_measures_are_compared_too(tmp_path, capsys):
    run = tmp_path / "one"
    assert cli.main([*WORDS, "--eval_completions", "4", "--use_cpu", "true", "--output_dir", str(run)]) == 0
    assert cli.main(["reproduce", str(run), "--out", str(tmp_path / "two")]) == 0
    assert "the same: all numbers of 2 steps, and what was measured after training" in capsys.readouterr().out
    measures = json.loads((run / "evaluation.json").read_text())
    (run / "evaluation.json").write_text(json.dumps({**measures, "entropy": 2 * measures["entropy"]}))
    assert cli.main(["reproduce", str(run), "--out", str(tmp_path / "three")]) == 1
    out = capsys.readouterr().out
    assert "measured otherwise after training; the largest relative difference: 0.5, entropy" in out
    assert "another run from step" not in out


def test_it_is_said_where_relative_paths_are_looked_for(tmp_path, monkeypatch, capsys):
    made, other = tmp_path / "made", tmp_path / "other"
    made.mkdir()
    other.mkdir()
    (made / "p.txt").write_text("The film is\n")
    words = ["train", "--prompts", "p.txt", "--max_steps", "1", "--eval_completions", "0", "--use_cpu", "true"]
    monkeypatch.chdir(made)
    assert cli.main([*words, "--output_dir", "one"]) == 0
    monkeypatch.chdir(other)
    assert cli.main(["reproduce", "../made/one"]) == 2
    where = f"are looked for in {other}: try it in {made}, where the run was begun"
    assert where in capsys.readouterr().err
    record = json.loads((made / "one" / "run.json").read_text())
    del record["code"][0]["directory"]
    (made / "one" / "run.json").write_text(json.dumps(record))
    assert cli.main(["reproduce", "../made/one"]) == 2
    assert "try it in the folder where the run was begun" in capsys.readouterr().err


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
    assert f"the first: entropy was {rows[1]['entropy']!r}, and is {rows[1]['entropy'] / 2!r}" in out
    assert "no recorded fact differs" not in out
    assert "model_sha256: the model's weights changed" in out


def test_it_is_said_where_no_recorded_fact_differs(run, capsys):
    rows = [json.loads(line) for line in (run / "metrics.jsonl").open()]
    rows[0]["reward"] += 1
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    record = json.loads((run / "run.json").read_text())
    del record["code"][-1]["processor"]  # as of a gaard that did not note it
    (run / "run.json").write_text(json.dumps(record))
    assert cli.main(["reproduce", str(run)]) == 1
    out = capsys.readouterr().out
    assert f"the first: reward was {rows[0]['reward']!r}, and is " in out
    assert "no recorded fact differs: what is not recorded does" in out


def test_a_metric_that_only_one_has_is_a_difference():
    assert compared([{"step": 1, "a": 1.0}], [{"step": 1}]) == (1, (float("inf"), "a at step 1"))
    assert compared([{"step": 1, "a": 1.0}], [{"step": 1, "a": 1.0}]) == (None, (0.0, ""))


def test_a_folder_without_a_run_is_refused(tmp_path, capsys):
    assert cli.main(["reproduce", str(tmp_path)]) == 2
    assert "holds no run.json: name the folder of a run" in capsys.readouterr().err
