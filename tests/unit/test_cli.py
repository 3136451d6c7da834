"""The command line on a tiny model: what it says and what it makes."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from transformers import AutoModelForCausalLM

from gaard import GAAConfig, cli
from gaard.lab.measures import OF_RUN
from gaard.version import __version__

# What it says ---------------------------------------------------------------------------------------------------------


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == f"gaard {__version__}"


# What it does ---------------------------------------------------------------------------------------------------------


def test_a_file_trains_a_model_and_the_command_line_overrides_it(config, capsys, tmp_path):
    words = ["train", "--config", config(max_steps=9, method="gaa"), "--max_steps", "2", "--method", "ppo"]
    assert cli.main([*words, "--honeypot.bonus", "2.5", "--advantages.lam", "0"]) == 0
    folder = tmp_path / "run"
    kept = json.loads((folder / "run.json").read_text())["config"]
    assert (kept["max_steps"], kept["method"], kept["advantages"]["lam"]) == (2, {"name": "ppo"}, 0.0)
    assert kept["honeypot"] == {"word": "bait", "mode": "capped", "bonus": 2.5, "base_weight": 0.5}
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == 2
    evaluation = json.loads((folder / "evaluation.json").read_text())
    shown = capsys.readouterr().out
    assert all(OF_RUN[name].text(value) in shown for name, value in evaluation.items())
    assert f"model: {folder / 'model'}   metrics: {folder / 'metrics.jsonl'}" in shown
    AutoModelForCausalLM.from_pretrained(folder / "model")
    assert (folder / "model" / "value_head.safetensors").exists()


def test_the_same_command_goes_on_and_another_needs_overwrite(config, capsys, tmp_path):
    words = ["train", "--config", config(eval_completions=0)]
    assert cli.main(words) == 0
    first = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    assert cli.main(words) == 0
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == first
    capsys.readouterr()
    assert cli.main([*words, "--seed", "5"]) == 2
    assert "seed: 0 there, 5 now" in capsys.readouterr().err
    assert cli.main([*words, "--seed", "5", "--overwrite"]) == 0
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() != first


def test_prompts_and_rewards_may_come_from_files(config, tmp_path):
    """A line separator inside a prompt does not end it."""
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "w1\u2028w2", "target": 3}\n\n{"prompt": "w3", "target": 4}\n')
    (tmp_path / "reward.py").write_text(
        "def score(prompts, completions, target):\n"
        "    assert set(zip(prompts, target)) <= {('w1\\u2028w2', 3), ('w3', 4)}\n"
        "    return [float(t) for t in target]\n"
    )
    files = {"prompts": str(tmp_path / "prompts.jsonl"), "reward_funcs": [f"{tmp_path}/reward.py:score"]}
    path = config(**files, honeypot=None, max_steps=1)
    assert cli.main(["train", "--config", path]) == 0
    samples = [json.loads(line) for line in (tmp_path / "run" / "samples.jsonl").read_text().split("\n") if line]
    assert {(row["prompt"], row["reward"]) for row in samples} == {("w1\u2028w2", 3.0), ("w3", 4.0)}


def test_a_reward_is_known_by_what_its_file_holds_not_by_how_it_is_spelled(config, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    mine = Path("mine.py")
    mine.write_text("def score(completions):\n    return [1.0 * len(text) for text in completions]\n")
    settings = dict(honeypot=None, max_steps=1, eval_completions=0)
    for spelled in ("mine.py", "./mine.py", f"{tmp_path}/mine.py"):
        assert cli.main(["train", "--config", config(reward_funcs=f"{spelled}:score", **settings)]) == 0
    mine.write_text(mine.read_text().replace("1.0", "2.0"))
    assert cli.main(["train", "--config", config(reward_funcs="mine.py:score", **settings)]) == 2
    assert "holds a run of another configuration" in capsys.readouterr().err


def test_one_tracker_and_one_reward_need_no_brackets_and_overwrite_forgets_the_old_events(config, tmp_path):
    words = ["train", "--config", config(reward_funcs="human"), "--report_to", "tensorboard", "--max_steps", "1"]
    for _ in range(2):
        assert cli.main([*words, "--overwrite"]) == 0
        events = list((tmp_path / "run" / "gaard").rglob("events.out.tfevents.*"))
        assert len([path for path in events if path.parent.name == "gaard"]) == 1
    assert json.loads((tmp_path / "run" / "run.json").read_text())["rewards"]["proxy"].startswith("honeypot(human")


IN_FILE = {"name": "fold", "threshold": 2}


@pytest.mark.parametrize(
    ("in_file", "words", "expected"),
    [
        (IN_FILE, [], {"name": "fold", "threshold": 2.0}),
        (IN_FILE, ["--method", "gaa"], GAAConfig("x", method="gaa").method.record()),
        (IN_FILE, ["--method", "ppo"], {"name": "ppo"}),
        (IN_FILE, ["--method", "fold"], {"name": "fold", "threshold": 3.0}),
        (IN_FILE, ["--method.threshold", "4"], {"name": "fold", "threshold": 4.0}),
        (IN_FILE, ["--method.threshold=4"], {"name": "fold", "threshold": 4.0}),
        ("fold", ["--method.threshold", "4"], {"name": "fold", "threshold": 4.0}),
        ("ppo", ["--method", "{name: fold, threshold: 5}"], {"name": "fold", "threshold": 5.0}),
        (
            "ppo",
            ["--method", "{name: fold, threshold: 5}", "--method.threshold", "6"],
            {"name": "fold", "threshold": 6.0},
        ),
    ],
)
def test_the_method_of_the_command_line_is_exactly_that(in_file, words, expected, config, tmp_path):
    path = config(method=in_file, max_steps=0, eval_completions=0)
    assert cli.main(["train", "--config", path, *words]) == 0
    assert json.loads((tmp_path / "run" / "run.json").read_text())["config"]["method"] == expected


def test_options_of_advantages_are_put_over_each_other(config, tmp_path):
    path = config(advantages={"lam": 0.5, "gamma": 0.9}, max_steps=0, eval_completions=0)
    assert cli.main(["train", "--config", path, "--advantages.lam", "0", "--regularizers", "sam"]) == 0
    kept = json.loads((tmp_path / "run" / "run.json").read_text())["config"]
    assert kept["advantages"] == GAAConfig("x", advantages={"lam": 0, "gamma": 0.9}).advantages.record()
    assert kept["regularizers"] == [{"name": "sam", "radius": 0.01}]


def test_a_written_configuration_given_back_is_the_same_run(config, tmp_path):
    """As --config, whichever method and regularisers it has."""
    changes = {"method": {"name": "gaa", "reading": "code"}, "regularizers": [{"name": "par", "completions": 2}]}
    assert cli.main(["train", "--config", config(**changes, advantages={"lam": 0.5}, learning_rate=1e-5)]) == 0
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    for name, write in (("back.yaml", yaml.safe_dump), ("back.json.yaml", json.dumps)):
        (tmp_path / name).write_text(write(record["config"]))
        words = ["train", "--config", str(tmp_path / name)]
        assert cli.main([*words, "--output_dir", str(tmp_path / name[:-5])]) == 0
        again = json.loads((tmp_path / name[:-5] / "run.json").read_text())
        assert again["id"] == record["id"]
        assert again["config"] == record["config"] | {"output_dir": str(tmp_path / name[:-5])}
        metrics = [(tmp_path / run / "metrics.jsonl").read_bytes() for run in ("run", name[:-5])]
        assert metrics[0] == metrics[1]
        assert cli.main(words) == 0  # and it is taken up where it was


def test_a_column_may_hold_what_json_has_no_word_for(config, tmp_path):
    path = Path(config(max_steps=0, eval_completions=0))
    path.write_text(path.read_text().replace('["w1 w2", "w3", "w4 w5 w6 w7"]', "[{prompt: w1, day: 2020-01-31}]"))
    assert cli.main(["train", "--config", str(path)]) == 0
    kept = json.loads((tmp_path / "run" / "run.json").read_text())["config"]
    assert kept["prompts"] == [{"prompt": "w1", "day": "2020-01-31"}]


def test_the_home_folder_has_a_sign(config, tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(tmp_path)
    shutil.copy(config(max_steps=0, eval_completions=0), home / "mine.yaml")
    assert cli.main(["train", "--config", "~/mine.yaml", "--output_dir", "~/run"]) == 0
    assert (home / "run" / "run.json").exists()
    assert cli.main(["coefficients", "--out", "~/figures"]) == 0
    assert list((home / "figures").iterdir())
    assert not (tmp_path / "~").exists()


def test_coefficients_draws_both_surfaces(tmp_path):
    assert cli.main(["coefficients", "--out", str(tmp_path / "figures")]) == 0
    assert [path.name for path in (tmp_path / "figures").iterdir()] == ["coefficients.html"]


def test_models_are_listed(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert cli.main(["models", "list"]) == 0
    out = capsys.readouterr().out
    assert "smollm2-135m" in out
    assert "HuggingFaceTB/SmolLM2-135M-Instruct" in out


def test_who_reads_may_stop_reading():
    """``gaard … | head`` ends without a traceback, and the shell is told why."""
    line = f"{sys.executable} -m gaard --help | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert done.stdout.strip() == "141"
