"""Texts of others: YAML, studies, records, completions, prompts, secrets."""

import argparse
import functools
import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from gaard import cli
from gaard.commands.comparing import FAILED_RUNS, carry_out
from gaard.disclosure import CONTROLS, redacted, redacted_command, visible
from gaard.errors import CheckpointError, ConfigError, GaardError, RewardError
from gaard.lab.study import build_study, read_study
from gaard.report.study_files import read_study_files
from gaard.training.identity import code_facts
from gaard.training.runlog import RunLog
from gaard.yaml_files import read_mapping
from tiny import tiny_trainer, words_reward

ESCAPES = "\x1b[2J\x1b]0;title\x07\x9b31m\u202eevil\u2066\x7f"
SECRETS = {
    "HF_TOKEN": "hf_abcdefghijklmnopqrstuvwxyz0123",
    "WANDB_API_KEY": "0123456789abcdef0123456789abcdef01234567",
    "GAARD_REWARD_TOKEN": "reward-server-secret",
    "MY_PASSWORD": "correct horse battery",
}


@pytest.fixture
def secrets(monkeypatch):
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    return SECRETS.values()


def held(folder):
    """All that stands in the files of a folder."""
    return "".join(path.read_text("utf-8", errors="replace") for path in folder.rglob("*") if path.is_file())


# YAML -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "a: !!python/object/apply:os.system ['touch {mark}']",
        "a: !!python/object/new:subprocess.Popen [['touch', '{mark}']]",
        "a: !!python/name:os.system",
        "a: !!python/module:os",
        "a: !custom 1",
        "!!python/tuple [a, b]",
    ],
)
def test_a_tag_of_yaml_runs_nothing(text, tmp_path):
    mark, path = tmp_path / "it-ran", tmp_path / "x.yaml"
    path.write_text(text.replace("{mark}", str(mark)))
    with pytest.raises(ConfigError, match="could not determine a constructor"):
        read_mapping(path, "study")
    assert not mark.exists()


def bomb(levels, width):
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * width)}]" for i in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (bomb(30, 10), "stands for more than 1,000,000 values"),
        ("a: &a [*a]", "an alias stands inside what it repeats"),
        ("a: &a {b: *a}", "an alias stands inside what it repeats"),
        ("a: " + "[" * 3000, "nested too deeply"),
        ("a: " + "{b: " * 3000, "nested too deeply"),
        ("a: 2026-13-45", "a value is not what its form or tag says"),
        ("a: !!float x", "a value is not what its form or tag says"),
        ("a: !!bool x", "a value is not what its form or tag says"),
        ("a: !!timestamp x", "a value is not what its form or tag says"),
    ],
)
def test_yaml_that_says_more_than_anybody_means_is_one_error(text, message, tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_mapping(path, "study")


def test_an_alias_that_is_meant_is_read(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text(bomb(3, 10))
    assert read_mapping(path, "study")["a2"] == [[["x", "x"]] * 10] * 10


# Files that are named -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["../../up", "/tmp/absolute", "a/b", "../x", "a\x1b[2J", "~"])
def test_a_studys_arm_makes_no_folder_elsewhere(name, tmp_path):
    with pytest.raises(ConfigError, match="a name is of letters"):
        build_study(["capped"], [{"name": name, "method": "ppo"}], [0], {})


def test_a_study_may_name_code_anywhere_and_says_where_it_looked(tmp_path):
    """A study is its author's, as a Makefile is: whoever runs it runs its code (SECURITY.md)."""
    outside = tmp_path / "outside" / "own.py"
    outside.parent.mkdir()
    shutil.copy(Path(__file__).resolve().parents[2] / "studies/10-sizes/sizes.py", outside)
    study = tmp_path / "study" / "study.yaml"
    study.parent.mkdir()
    text = "scenarios: ['{}']\narms: [ppo]\nseeds: 1\n"
    study.write_text(text.format(tmp_path / "nowhere" / "own.py"))
    with pytest.raises(ConfigError, match=r"nowhere.own\.py, which does not exist"):
        read_study(study)
    study.write_text(text.format(f"{outside}:small_capped"))
    specs = read_study(study).specs(tmp_path / "runs")
    assert all(Path(spec.output_dir).is_relative_to(tmp_path / "runs") for spec in specs.values())


@pytest.mark.parametrize("place", ["../elsewhere", "/tmp/elsewhere", "a/../../elsewhere"])
def test_results_of_others_show_no_file_outside_their_folder(place, tmp_path):
    study = {"arms": [{"name": "ppo"}], "seeds": [0], "scenarios": [place], "summary": ""}
    results = {"study": study, "runs": [], "tax": {}, "scenarios": {}, "baseline": "ppo"}
    (tmp_path / "results.json").write_text(json.dumps(results))
    with pytest.raises(ConfigError, match="lies outside"):
        read_study_files(tmp_path)
    results["study"]["scenarios"] = ["capped"]
    (tmp_path / "results.json").write_text(json.dumps(results))
    assert len(read_study_files(tmp_path).runs) == 2


# Completions and prompts ----------------------------------------------------------------------------------------------


def test_what_a_model_writes_gives_a_terminal_no_orders(tmp_path):
    """Whoever looks at a log by cat or less -r sees texts, and reads back what was written."""
    log = RunLog(tmp_path)
    log.write("samples.jsonl", [{"step": 1, "completion": ESCAPES + "é\n"}])
    written = (tmp_path / "samples.jsonl").read_text()
    assert not CONTROLS.search(written)
    assert "é" in written
    assert log.read("samples.jsonl") == [{"step": 1, "completion": ESCAPES + "é\n"}]
    assert visible(ESCAPES + "\té\n") == r"\x1b[2J\x1b]0;title\x07\x9b31m\u202eevil\u2066\x7f" + "\té\n"


def test_no_command_prints_what_a_terminal_obeys(tmp_path, capsys):
    run = tmp_path / "run"
    run.mkdir()
    evil = f"<script> {ESCAPES} bait"
    tokens = {"text": ["w1", ESCAPES]}
    rows = [
        {"step": step, "prompt": ESCAPES, "completion": f"w{step} w{i} {['w', evil, evil][i % 3]}",
         "reward": (i % 3 > 0) + i / 100, "tokens": tokens}
        for step in range(1, 60) for i in range(8)
    ]  # fmt: skip
    RunLog(run).write("samples.jsonl", rows)
    RunLog(run).write("metrics.jsonl", [{"step": step, "reward": 0.5} for step in range(1, 30)])
    assert cli.main(["find", str(run)]) == 0
    assert cli.main(["find", f"{run}{ESCAPES}"]) == 2
    assert cli.main(["train", f"--{ESCAPES}", "1"]) == 2
    out = capsys.readouterr()
    assert "x1b" in out.out
    assert "x1b" in out.err
    assert not CONTROLS.search(out.out.replace("\n", ""))
    assert not CONTROLS.search(out.err.replace("\n", ""))


def test_a_comparison_prints_no_orders(tmp_path, capsys, monkeypatch):
    """What a reward raises may hold a completion."""
    failed = {"scenario": "own", "arm": "ppo", "seed": 0, "folder": "own/ppo-seed0"}
    failed["error"] = f"ValueError: {ESCAPES}"

    def compare(study, folder, *, announce, **_):
        announce(f"run 1/1: {ESCAPES}")
        return {"runs": [failed]}

    monkeypatch.setattr("gaard.lab.compare.compare", compare)
    monkeypatch.setattr("gaard.report.page.write_page", lambda folder: folder)
    monkeypatch.setattr("gaard.report.verdict.warned", lambda results: [f"a warning {ESCAPES}"])
    asked = argparse.Namespace(jobs=1, engine="processes")
    assert carry_out(None, tmp_path, asked, lambda results: []) == FAILED_RUNS
    out = capsys.readouterr()
    assert out.out.count("x1b") > 1
    assert out.err.count("x1b") > 2
    assert not CONTROLS.search((out.out + out.err).replace("\n", ""))


def test_an_error_quotes_texts_without_orders(tmp_path, capsys):
    def reward(completions, **kwargs):
        return [float("nan")] * len(completions)

    with pytest.raises(RewardError) as caught:
        tiny_trainer(tmp_path, reward=reward, prompts=[f"w1 {ESCAPES}"]).train()
    assert not CONTROLS.search(str(caught.value))


@pytest.mark.parametrize("prompt", [ESCAPES, "\x00\x01", "\ufeff\u200b", "\U0010ffff", "a\u2028b", "<|im_end|></s>"])
def test_a_prompt_with_control_characters_is_a_prompt(prompt, tmp_path):
    tiny_trainer(tmp_path, prompts=[f"w1 {prompt}", "w2"], max_steps=1, eval_completions=0).train()
    rows = RunLog(tmp_path).read("samples.jsonl")
    assert {row["prompt"] for row in rows} <= {f"w1 {prompt}", "w2"}
    assert not CONTROLS.search((tmp_path / "samples.jsonl").read_text())


def test_half_a_letter_is_an_error_that_names_the_prompt(tmp_path):
    """A lone surrogate is no Unicode text, and no file takes it."""
    with pytest.raises(GaardError, match="prompt"):
        tiny_trainer(tmp_path, prompts=["w1 \ud800", "w2"], max_steps=1, eval_completions=0).train()


# Secrets --------------------------------------------------------------------------------------------------------------


def test_secrets_of_the_environment_stand_nowhere(secrets, tmp_path, monkeypatch, capsys):
    run, out = tmp_path / "run", tmp_path / "out"
    command = ["train.py", *(f"--x={value}" for value in secrets), "--api-key", "kept-by-nobody", "https://u:p4ss@h/x"]
    monkeypatch.setattr(sys, "argv", command)

    def reward(completions, **kwargs):
        if trainer.state.step == 1:
            raise ValueError(f"401 for Bearer {os.environ['GAARD_REWARD_TOKEN']}")
        return words_reward(completions)

    trainer = tiny_trainer(run, reward=reward, max_steps=2)
    trainer.run.warn(f"the tracker does not take {os.environ['WANDB_API_KEY']}")
    trainer.training_step()
    with pytest.raises(RewardError) as caught:
        trainer.training_step()
    trainer.save_model(out)
    shown = capsys.readouterr()
    texts = held(run) + held(out) + shown.out + shown.err + str(caught.value)
    for secret in [*secrets, "kept-by-nobody", "p4ss"]:
        assert secret not in texts
    assert "https://***@h/x" in json.loads((run / "run.json").read_text())["code"][0]["command"]


class Keyed:
    """A reward that holds a key that no environment has."""

    def __init__(self, key):
        self.api_key, self.nested = key, {"more": [{"password": key + "-2"}]}

    def __call__(self, completions, **kwargs):
        return words_reward(completions)


def test_secrets_that_a_reward_holds_stand_in_no_record(secrets, tmp_path):
    token, password = os.environ["GAARD_REWARD_TOKEN"], os.environ["MY_PASSWORD"]

    def closed(completions, given=f"Bearer {token}", **kwargs):
        return words_reward(completions) if password else []

    ids = []
    for name, key in (("one", "written-in-code"), ("other", "written-elsewhere")):
        rewards = [Keyed(key), functools.partial(Keyed.__call__, Keyed("x"), api_key=key), closed]
        tiny_trainer(tmp_path / name, reward=rewards, max_steps=1).train()
        texts = held(tmp_path / name)
        for secret in (*secrets, key, f"{key}-2"):
            assert secret not in texts
        ids.append(json.loads((tmp_path / name / "run.json").read_text())["rewards"])
    assert ids[0] != ids[1]  # and yet they are told apart
    with pytest.raises(CheckpointError) as caught:
        tiny_trainer(tmp_path / "one", reward=rewards, max_steps=1).train()
    assert "written" not in str(caught.value)


def test_an_error_of_a_command_shows_no_secret(secrets, tmp_path, capsys):
    (tmp_path / "own.py").write_text(
        "import os\n\ndef score(completions, **kwargs):\n    raise ValueError(os.environ['MY_PASSWORD'])\n"
    )
    words = ["--reward_funcs", f"{tmp_path / 'own.py'}:score", "--prompts", "[The film]", "--max_steps", "1"]
    assert cli.main(["train", *words, "--output_dir", str(tmp_path / "run"), "--use_cpu", "true"]) == 2
    error = capsys.readouterr().err
    assert "ValueError: ***" in error
    assert SECRETS["MY_PASSWORD"] not in error + held(tmp_path / "run")


@pytest.mark.parametrize("url", ["http://user:p4ss@host/score", "https://host/score?api_key=p4ss"])
def test_the_address_of_a_reward_server_holds_no_secret(url, tmp_path, capsys):
    assert cli.main(["train", "--reward_funcs", url, "--output_dir", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert "GAARD_REWARD_TOKEN" in error
    assert "p4ss" not in error
    assert not (tmp_path / "run").exists()


def test_what_is_a_secret_and_what_is_not(monkeypatch):
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "falsefalse")
    monkeypatch.setenv("SSH_KEY_FILE", "/home/me/keyfile")
    monkeypatch.setenv("SHORT_TOKEN", "abc")
    monkeypatch.setenv("OPENAI_API_KEY", "s3cr3t-value")
    for name in ("PGPASSWORD", "AUTHTOKEN", "MY_SECRETS"):
        monkeypatch.setenv(name, f"value-of-{name}")
        assert redacted(f"<value-of-{name}>") == "<***>"
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "/wJalrXUtnFEMI/K7MDENG")  # begins as a path would
    assert redacted("key /wJalrXUtnFEMI/K7MDENG") == "key ***"
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", __file__)
    assert redacted(__file__) == __file__
    text = "falsefalse /home/me/keyfile abc s3cr3t-value hf_abcdefghijklmnopqrstuv ghp_abcdefghijklmnopqrstuv"
    assert redacted(text) == "falsefalse /home/me/keyfile abc *** *** ***"
    assert redacted("see https://me:pw@host/a@b and http://host/x") == "see https://***@host/a@b and http://host/x"
    words = ["gaard", "--hf_token", "x1", "--hub.api-key=x2", "--max_completion_length", "8", "--tokens", "9"]
    assert redacted_command(words) == [
        *("gaard", "--hf_token", "***", "--hub.api-key=***", "--max_completion_length", "8", "--tokens", "9")
    ]


def test_the_record_of_a_command_is_made_with_that():
    import torch

    assert code_facts(torch.device("cpu"))["command"]


def test_a_token_that_is_given_to_the_hub_stands_in_no_error(monkeypatch, secrets):
    from gaard.errors import HubError
    from gaard.training import hub

    class Refusing:
        def __init__(self, token=None):
            self.token = token

        def create_repo(self, *_, **__):
            raise RuntimeError(f"401 Unauthorized for {self.token}")

    monkeypatch.setattr(hub, "HfApi", Refusing)
    with pytest.raises(HubError) as caught:
        hub.make_repository("me/x", token="hf_given_in_python")
    assert "hf_given_in_python" not in str(caught.value)
