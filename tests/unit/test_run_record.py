"""Whose a run's folder is: its record, its code, and what is refused."""

import json
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import torch
import transformers
from transformers import AutoModelForCausalLM

import gaard
from gaard import cli
from gaard.errors import CheckpointError, ConfigError
from gaard.training.identity import fingerprint
from gaard.training.runlog import RunLog
from gaard.version import ALGORITHM_VERSION, __version__
from tiny import tiny_trainer

CODE = {"gaard": __version__, "algorithm": 1, "torch": "2.6", "threads": 1}
FACTS = {
    "algorithm": 1,
    "model_sha256": "a",
    "model_setup": {},
    "rewards": {"proxy": "x"},
    "prompts": "1 prompts",
    "code": CODE,
}
RECORD = {"config": {"method": {"name": "gaa"}, "seed": 0, "sizes": [1, 2]}, **FACTS}


def test_the_same_configuration_goes_on(tmp_path):
    log = RunLog(tmp_path / "new" / "run")
    log.claim(RECORD, overwrite=False)
    log.write("metrics.jsonl", [{"step": 1}])
    config = dict(RECORD["config"], sizes=(1, 2))  # a tuple is what JSON makes a list
    log.claim(dict(RECORD, config=config), overwrite=False)
    assert log.read("metrics.jsonl") == [{"step": 1}]


def kept(folder) -> dict:
    return json.loads((folder / "run.json").read_text())


def test_a_run_records_the_code_that_made_it(tmp_path):
    """Version, commit and changes where it lies in a checkout, libraries, threads and device."""
    tiny_trainer(tmp_path, max_steps=1).train()
    (code,) = kept(tmp_path)["code"]
    assert (code["gaard"], code["algorithm"]) == (__version__, ALGORITHM_VERSION)
    assert (code["torch"], code["transformers"]) == (torch.__version__, transformers.__version__)
    assert (code["device"], code["threads"]) == ("cpu", torch.get_num_threads())
    root = Path(gaard.__file__).resolve().parents[2]
    git = shutil.which("git") if (root / ".git").exists() else None
    assert ("commit" in code) == ("dirty" in code) == bool(git)
    if git:
        commit = subprocess.run([git, "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
        assert code["commit"] == commit.stdout.strip()
        assert isinstance(code["dirty"], bool)


def test_going_on_by_other_code_adds_it_once(tmp_path):
    log = RunLog(tmp_path)
    log.claim(RECORD, overwrite=False)
    before = kept(tmp_path)
    log.claim(RECORD, overwrite=False)
    assert kept(tmp_path) == before
    other = dict(CODE, torch="2.7", threads=8)
    for _ in range(2):
        log.claim(dict(RECORD, code=other), overwrite=False)
        assert kept(tmp_path) == before | {"code": [CODE, other]}
    log.claim(RECORD, overwrite=False)
    assert kept(tmp_path)["code"] == [CODE, other]


def test_going_on_by_another_algorithm_is_refused_with_both_named(tmp_path, monkeypatch):
    tiny_trainer(tmp_path, max_steps=1).train()
    before = kept(tmp_path)
    for module in ("identity", "outcome"):
        monkeypatch.setattr(f"gaard.training.{module}.ALGORITHM_VERSION", ALGORITHM_VERSION + 1)
    with pytest.raises(CheckpointError) as caught:
        tiny_trainer(tmp_path, max_steps=1).train()
    message = str(caught.value)
    assert f"holds a run by algorithm {ALGORITHM_VERSION} (gaard {__version__})" in message
    assert f"this is algorithm {ALGORITHM_VERSION + 1}" in message
    assert "finish it with that version, use another output_dir, or --overwrite" in message
    assert kept(tmp_path) == before
    tiny_trainer(tmp_path, max_steps=1, overwrite=True).train()
    assert kept(tmp_path)["algorithm"] == ALGORITHM_VERSION + 1
    assert kept(tmp_path)["id"] != before["id"]


def test_a_run_has_an_id_that_its_place_and_its_machine_do_not_change(tmp_path):
    ids = []
    for name, options in {"a": {}, "b": {"save_steps": 1}, "c": {"seed": 1}, "d": {"method": "fold"}}.items():
        trainer = tiny_trainer(tmp_path / name, max_steps=1, **options)
        trainer.claim_folder()
        ids.append(kept(tmp_path / name)["id"])
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3
    assert fingerprint(dict(RECORD, code=[])) == fingerprint(RECORD) != fingerprint(dict(RECORD, algorithm=2))


def test_another_configuration_is_refused_with_both_values(tmp_path):
    tiny_trainer(tmp_path, max_steps=1).train()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(CheckpointError) as caught:
        tiny_trainer(tmp_path, max_steps=1, learning_rate=0.002, prompts=["w9"]).train()
    message = str(caught.value)
    assert str(tmp_path) in message
    assert "--overwrite" in message
    assert "learning_rate: 0.001 there, 0.002 now" in message
    assert "prompts: '3 prompts, sha256 " in message
    assert "now" in message.partition("prompts: '3 prompts")[2]
    assert "seed" not in message
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("changed", ["weights", "reward"])
def test_other_weights_or_rewards_are_another_run(tmp_path, changed):
    tiny_trainer(tmp_path, max_steps=1).train()

    def another_reward(completions, **kwargs):
        return [0.0] * len(completions)

    trainer = tiny_trainer(tmp_path, max_steps=1, **({"reward": another_reward} if changed == "reward" else {}))
    if changed == "weights":
        with torch.no_grad():
            next(trainer.reference.lm.parameters())[0, 0] += 1.0
    with pytest.raises(CheckpointError, match={"weights": "model_sha256", "reward": "another_reward"}[changed]):
        trainer.train()


def test_what_changes_no_result_may_change(tmp_path):
    tiny_trainer(tmp_path, max_steps=2).train()
    trainer = tiny_trainer(tmp_path, max_steps=2, save_steps=1, save_total_limit=5, progress=True)
    assert trainer.train()["step"] == 2


def test_overwriting_deletes_what_is_gaards_and_nothing_else(tmp_path):
    tiny_trainer(tmp_path, max_steps=2).train()
    (tmp_path / "evaluation.json").write_text("{}")
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "prompts.jsonl").write_text("mine")
    RunLog(tmp_path).clear()
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*"))
    assert left == ["data", "data/prompts.jsonl", "notes.txt"]


@pytest.mark.parametrize("overwrite", [True, False])
@pytest.mark.parametrize("content", ['{"model_type": "gpt2"}', "[1]", '{"config": {}, "id": "0"}'])
def test_a_file_of_another_program_is_not_taken_for_a_run(tmp_path, content, overwrite):
    """What somebody else keeps under that name must outlive a wrong output_dir."""
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"run\.json is not a run's record: use an output_dir of the run's own"):
        RunLog(tmp_path).claim(RECORD, overwrite)
    assert (tmp_path / "run.json").read_text() == content


@pytest.mark.parametrize("overwrite", [True, False])
def test_a_models_folder_keeps_what_it_holds(tmp_path, overwrite):
    """A model's folder has a config.json, which no run touches."""
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    RunLog(tmp_path).claim(RECORD, overwrite)
    assert (tmp_path / "config.json").read_text() == '{"model_type": "gpt2"}'


def test_a_model_saved_into_the_runs_own_folder_leaves_the_run_whole(tmp_path):
    """A common habit, `trainer.save_model(args.output_dir)`: the run is taken up all the same."""
    trainer = tiny_trainer(tmp_path, max_steps=2)
    trainer.train()
    trainer.save_model(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "gpt2"
    metrics = (tmp_path / "metrics.jsonl").read_bytes()
    assert tiny_trainer(tmp_path, max_steps=2).train()["step"] == 2
    assert (tmp_path / "metrics.jsonl").read_bytes() == metrics
    AutoModelForCausalLM.from_pretrained(tmp_path)
    tiny_trainer(tmp_path, max_steps=1, overwrite=True).train()
    AutoModelForCausalLM.from_pretrained(tmp_path)  # nor does starting again delete it


def test_a_damaged_record_names_the_remedy_which_works(tmp_path):
    (tmp_path / "run.json").write_text('{"config": ')
    log = RunLog(tmp_path)
    with pytest.raises(CheckpointError, match=r"run\.json is not readable JSON .*--overwrite"):
        log.claim(RECORD, overwrite=False)
    log.claim(RECORD, overwrite=True)
    assert kept(tmp_path) == RECORD | {"id": fingerprint(RECORD), "code": [CODE]}


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(ConfigError, match=f"output_dir='{folder}' cannot be made: .*choose a folder"):
            RunLog(folder)


def test_a_runs_record_is_a_configuration_that_gives_the_same_run(tmp_path, capsys):
    first, again = tmp_path / "first", tmp_path / "again"
    settings = ["--batch_size", "4", "--num_mini_batches", "2", "--max_steps", "2", "--eval_completions", "0"]
    assert cli.main(["train", "--scenario", "capped", "--seed", "7", *settings, "--output_dir", str(first)]) == 0
    assert cli.main(["train", "--config", str(first / "run.json"), "--output_dir", str(again)]) == 0
    assert (first / "metrics.jsonl").read_bytes() == (again / "metrics.jsonl").read_bytes()
    one, other = (json.loads((folder / "run.json").read_text()) for folder in (first, again))
    assert one["id"] == other["id"]
    assert one["config"] | {"output_dir": ""} == other["config"] | {"output_dir": ""}


def test_the_record_of_a_script_is_no_configuration(tmp_path, capsys):
    tiny_trainer(tmp_path, max_steps=1).train()
    assert cli.main(["train", "--config", str(tmp_path / "run.json"), "--output_dir", str(tmp_path / "b")]) == 2
    assert "a run that a script made" in capsys.readouterr().err


def test_who_asked_and_when_stands_in_the_record_once_a_code(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["/somewhere/gaard", "train", "--word", "two words"])
    for _ in range(2):
        tiny_trainer(tmp_path, max_steps=1).train()
    (facts,) = json.loads((tmp_path / "run.json").read_text())["code"]
    assert facts["command"] == "gaard train --word 'two words'"
    assert abs(datetime.now(UTC) - datetime.fromisoformat(facts["date"])) < timedelta(minutes=5)
