"""Two processes learn what one learns from the same global batch; run_tiny.py checks that there are two."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import forked
from launching import launched
from tiny import SAFEGUARDS

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).with_name("run_tiny.py")


def launch(folder: Path, options: dict) -> None:
    """By ``accelerate launch``, as a user would."""
    arguments = [str(SCRIPT), str(folder), json.dumps(options | {"processes": 2})]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, *launched(2), *arguments], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


def run(folder: Path, options: dict, processes: int) -> list[dict[str, float]]:
    arguments = [str(folder), json.dumps(options | {"processes": processes})]
    forked.run(SCRIPT, arguments, folder.with_name(f"{folder.name}-output"), processes)
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("name", SAFEGUARDS)
def test_losses_and_weights_agree(tmp_path, name):
    """Prompts of different lengths, completions that end early; cut unevenly on the device for one method."""
    options = {
        "method": SAFEGUARDS[name],
        "bait": name == "gaa-expected",
        "per_device_train_batch_size": 3 if name == "gaa-text" else None,
        "max_steps": 3,
        "kl_coef": 0.1,
        "dtype": "float64",
        "eval_completions": 16,
        "log_completions": 16,
    }
    one, two = (run(tmp_path / str(n), options, n) for n in (1, 2))
    assert len(one) == len(two) == 3
    assert any(row["turned"] for row in one) == (name == "fold")
    assert any(row["b"] < -0.01 for row in one) == (name != "fold")
    for row, other in zip(one, two, strict=True):
        assert row.keys() == other.keys()
        for key in row:
            assert row[key] == pytest.approx(other[key], abs=1e-5), key
    if name != "gaa-expected":  # whose reward logs nothing
        assert "letters" in one[0]
        rows = [json.loads(line) for line in (tmp_path / "2" / "samples.jsonl").read_text().splitlines()]
        assert [row["extra"]["letters"] for row in rows] == [len(row["completion"]) for row in rows]
    weights = [load_file(tmp_path / str(n) / "model" / "model.safetensors") for n in (1, 2)]
    for name in weights[0]:
        torch.testing.assert_close(weights[0][name], weights[1][name], atol=1e-5, rtol=0)
    assert json.loads((tmp_path / "2" / "run.json").read_text())["config"]["batch_size"] == 16


WHOLE_BATCH = {  # what none of two processes can tell alone
    "chi2 and policy-filtration": {
        "method": "ppo",
        "regularizers": [{"name": "chi2", "coef": 0.5}, {"name": "policy-filtration", "num_generations": 4}],
    },
    "chi2 of tokens": {"method": "ppo", "regularizers": [{"name": "chi2", "coef": 0.5, "level": "token"}]},
    "signcert": {
        "method": {"name": "signcert", "quantile": 0.5},
        "advantages": {"name": "dr_grpo", "num_generations": 4},
        "featured": True,
    },
}


@pytest.mark.parametrize("name", WHOLE_BATCH)
def test_what_needs_the_whole_batch_agrees(tmp_path, name):
    """A root of a mean, ranks within a group, a quantile: halves of them are others."""
    options = {"max_steps": 3, "dtype": "float64", "kl_coef": 0.01, "eval_completions": 16, **WHOLE_BATCH[name]}
    one, two = (run(tmp_path / str(n), options, n) for n in (1, 2))
    for row, other in zip(one, two, strict=True):
        assert row == pytest.approx(other, abs=1e-6)
    weights = [load_file(tmp_path / str(n) / "model" / "model.safetensors") for n in (1, 2)]
    for key in weights[0]:
        torch.testing.assert_close(weights[0][key], weights[1][key], atol=1e-6, rtol=0)
    plain = {key: value for key, value in options.items() if key not in ("method", "regularizers")} | {"method": "ppo"}
    run(tmp_path / "plain", plain, 1)  # it is no comparison of nothing with nothing
    without = load_file(tmp_path / "plain" / "model" / "model.safetensors")
    assert any((weights[0][key] - without[key]).abs().max() > 1e-4 for key in without)


def test_callbacks_are_called_in_each_process_and_see_the_whole_batch(tmp_path):
    """They stop the run at step 2; with the same command again they go on from what was logged."""
    folder = tmp_path / "run"
    options = {"method": "ppo", "max_steps": 4, "save_steps": 2, "watched": True}
    launch(folder, options)
    told = [
        [json.loads(line) for line in Path(f"{folder}-events-{rank}.jsonl").read_text().splitlines()] for rank in (0, 1)
    ]
    assert told[0] == told[1]
    assert [row["event"] for row in told[0]] == ["train_begin", *["step_end", "log"] * 2, "save"]
    assert [len(row["texts"]) for row in told[0] if row["event"] == "step_end"] == [16, 16]
    rows = run(folder, options, 2)
    assert len(rows) == 4
    told = [
        [json.loads(line) for line in Path(f"{folder}-events-{rank}.jsonl").read_text().splitlines()] for rank in (0, 1)
    ]
    assert told[0] == told[1]
    assert [row["logs"] for row in told[0] if row["event"] == "log"] == rows
    assert [row["history"] for row in told[0] if row["event"] == "train_begin"] == [[], [1, 2]]


def test_both_go_back_if_one_of_them_diverges(tmp_path):
    """To the same checkpoint, at the same rates, and told once."""
    options = {"method": "ppo", "max_steps": 6, "save_steps": 2, "save_total_limit": 9, "poisoned": 4}
    rows = run(tmp_path / "run", options | {"on_divergence": "rollback"}, 2)
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert [row["learning_rate"] / rows[0]["learning_rate"] for row in rows] == [1, 1, 0.5, 0.5, 0.5, 0.5]
    told = [json.loads(line)["warning"] for line in (tmp_path / "run" / "warnings.jsonl").read_text().splitlines()]
    (back,) = [warning for warning in told if "Went back" in warning]
    assert "the gradient of step 4 is not finite" in back
    assert "Went back to step 2, to 0.5 of the learning rates" in back
    with pytest.raises(AssertionError, match="the gradient of step 4 is not finite"):
        run(tmp_path / "stopped", options, 2)
