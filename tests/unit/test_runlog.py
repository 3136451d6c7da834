"""A run's folder: what is kept of it, and what a continued run writes again."""

import json

import pytest

from gaard.errors import CheckpointError
from gaard.training.runlog import RunLog, read_jsonl
from tiny import tiny_trainer

# The files ------------------------------------------------------------------------------------------------------------


def test_a_run_leaves_the_same_files_to_the_byte_whatever_the_clock_says(tmp_path):
    contents = []
    for name in ("one", "two"):
        tiny_trainer(tmp_path / name).train()
        contents.append({file: (tmp_path / name / file).read_bytes() for file in ("metrics.jsonl", "samples.jsonl")})
    assert contents[0] == contents[1]
    timings = [(tmp_path / name / "timings.jsonl").read_text() for name in ("one", "two")]
    assert timings[0] != timings[1]


def test_times_are_in_their_own_file_alone(tmp_path):
    tiny_trainer(tmp_path, max_steps=2).train()
    metrics, timings = (read_jsonl(tmp_path / name) for name in ("metrics.jsonl", "timings.jsonl"))
    parts = {"sample", "branch", "reference", "score", "learn"}
    for row in timings:
        assert set(row) == {"step", "seconds"} | parts
        assert 0 < sum(row[part] for part in parts) <= row["seconds"]
    assert [row["step"] for row in timings] == [1, 2]
    assert not any(({"seconds"} | parts) & set(row) for row in metrics)


def test_samples_are_what_the_reward_saw(tmp_path):
    seen = []

    def reward(prompts, completions, **kwargs):
        seen.append((prompts, completions))
        return [float(len(completion)) for completion in completions]

    tiny_trainer(tmp_path, reward=reward, method="ppo", max_steps=2, log_completions=3).train()
    expected = [
        {"step": i, "prompt": p, "completion": c, "reward": len(c)}
        for i, (prompts, completions) in enumerate(seen, 1)
        for p, c in list(zip(prompts, completions, strict=True))[:3]
    ]
    samples = read_jsonl(tmp_path / "samples.jsonl")
    assert [{key: x for key, x in row.items() if key != "tokens"} for row in samples] == expected


def test_a_torn_last_line_is_written_again_on_resuming(tmp_path):
    tiny_trainer(tmp_path / "whole", max_steps=4).train()
    folder = tmp_path / "torn"
    tiny_trainer(folder, max_steps=4, save_steps=2, save_total_limit=9).train()
    for file in ("metrics.jsonl", "samples.jsonl", "timings.jsonl"):
        lines = (folder / file).read_text().splitlines(keepends=True)
        assert json.loads(lines[-1])["step"] == 4
        (folder / file).write_text("".join(lines)[:-7])
    for path in (folder / "checkpoints" / "step-000004").iterdir():
        path.unlink()
    (folder / "checkpoints" / "step-000004").rmdir()
    tiny_trainer(folder, max_steps=4, save_steps=2, save_total_limit=9).train()
    for file in ("metrics.jsonl", "samples.jsonl"):
        assert (folder / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()
    assert [row["step"] for row in read_jsonl(folder / "timings.jsonl")] == [1, 2, 3, 4]


@pytest.mark.parametrize("torn", ['{"step": 3, "re', "nul", "3", "[3]", "{}", ""])
def test_what_is_after_the_step_or_torn_is_forgotten(tmp_path, torn):
    log = RunLog(tmp_path)
    whole = '{"step": 1, "x": 1.50}\n{"step": 2, "x": 2.50}\n'
    (tmp_path / "metrics.jsonl").write_text(whole + torn)
    log.truncate(2)
    assert (tmp_path / "metrics.jsonl").read_text() == whole  # not even a number is spelt anew
    log.truncate(1)
    assert (tmp_path / "metrics.jsonl").read_text() == whole.splitlines(keepends=True)[0]
    log.truncate(0)
    assert (tmp_path / "metrics.jsonl").read_text() == ""


def test_a_row_is_a_line_whatever_a_completion_holds(tmp_path):
    """Characters at which str.splitlines would cut: line and paragraph separators, next line, form feed."""
    rows = [{"step": 1, "completion": "a\u2028b\u2029c\x85d\x0ce\r\nf"}, {"step": 2, "completion": "naïve 文"}]
    log = RunLog(tmp_path)
    log.write("samples.jsonl", rows)
    assert log.read("samples.jsonl") == rows
    log.truncate(2)
    assert log.read("samples.jsonl") == rows


def test_a_file_that_is_not_there_has_no_rows(tmp_path):
    assert RunLog(tmp_path).read("metrics.jsonl") == []


def test_a_line_that_the_disk_does_not_take_is_an_error_with_a_remedy(tmp_path):
    (tmp_path / "metrics.jsonl").mkdir()
    with pytest.raises(CheckpointError, match=r"metrics\.jsonl could not be written: .*free some space"):
        RunLog(tmp_path).write("metrics.jsonl", [{"step": 1}])


@pytest.mark.parametrize("torn", [b'{"text": "na\xc3', b"3", b"[3]", b'"x"'])
def test_a_file_cut_anywhere_is_read_up_to_there(tmp_path, torn):
    (tmp_path / "rows.jsonl").write_bytes(b'{"step": 1, "text": "na\xc3\xafve"}\n' + torn)
    assert read_jsonl(tmp_path / "rows.jsonl") == [{"step": 1, "text": "naïve"}]
    log = RunLog(tmp_path)
    (tmp_path / "metrics.jsonl").write_bytes((tmp_path / "rows.jsonl").read_bytes())
    log.truncate(5)
    assert log.read("metrics.jsonl") == [{"step": 1, "text": "naïve"}]


def test_rows_that_are_missing_before_the_checkpoint_are_told_of(tmp_path):
    tiny_trainer(tmp_path, max_steps=4, save_steps=2).train()
    rows = (tmp_path / "metrics.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "metrics.jsonl").write_text("".join(rows[:1]))
    with pytest.warns(UserWarning, match=r"metrics\.jsonl lacks 3 of the 4 steps .*\(from step 2 on\).*--overwrite"):
        tiny_trainer(tmp_path, max_steps=4, save_steps=2).train()


def test_training_again_goes_on_where_the_trainer_is(tmp_path):
    """Neither a second train(), nor one after single steps, writes the log anew over trained weights."""
    tiny_trainer(tmp_path / "whole", max_steps=4).train()
    trainer = tiny_trainer(tmp_path / "steps", max_steps=4)
    for _ in range(2):
        trainer.training_step()
    assert trainer.train() == trainer.train()
    assert trainer.state.step == 4
    metrics = [(tmp_path / name / "metrics.jsonl").read_bytes() for name in ("whole", "steps")]
    assert metrics[0] == metrics[1]
