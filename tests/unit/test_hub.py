"""Uploading to the hub, by a stand-in for its client: what it is asked, and what is left where it fails."""

import json
import re
from pathlib import Path

import pytest

from gaard import GAAConfig, cli
from gaard.errors import ConfigError, HubError
from gaard.lab.spec import RunSpec, read_config
from gaard.lab.study import study_of_settings
from tiny import tiny_trainer

BROKEN = {"at": None}


class Hub:
    """Keeps what it is asked, in its order; names without an owner are me's."""

    asked: list = []

    def __init__(self, token=None):
        self.token = token

    def create_repo(self, repo_id, *, private=None, exist_ok=False):
        self.asked.append(("create", repo_id, private, self.token))
        assert exist_ok
        if BROKEN["at"] == "create":
            raise OSError("401 Client Error.\nInvalid token.")
        return Address(repo_id if "/" in repo_id else f"me/{repo_id}")

    def upload_folder(self, *, repo_id, folder_path, commit_message):
        names = sorted(path.name for path in Path(folder_path).iterdir())
        self.asked.append(("upload", repo_id, names, (Path(folder_path) / "README.md").read_text()))
        if BROKEN["at"] == "upload":
            raise ConnectionError("the network is away")


class Address(str):
    def __new__(cls, name):
        self = super().__new__(cls, f"https://hub/{name}")
        self.repo_id = name
        return self


@pytest.fixture
def hub(monkeypatch):
    BROKEN["at"] = None
    monkeypatch.setattr(Hub, "asked", [])
    monkeypatch.setattr("gaard.training.hub.HfApi", Hub)
    return Hub.asked


def test_a_trained_model_is_saved_and_uploaded_with_its_card(hub, tmp_path):
    trainer = tiny_trainer(tmp_path / "run", max_steps=1)
    trainer.train()
    assert trainer.push_to_hub("mine", private=True, token="secret") == "https://hub/me/mine"
    created, uploaded = hub
    assert created == ("create", "mine", True, "secret")
    assert uploaded[1] == "me/mine"
    assert {"README.md", "config.json", "model.safetensors", "tokenizer.json"} <= set(uploaded[2])
    assert uploaded[3] == (tmp_path / "run" / "model" / "README.md").read_text()
    assert "secret" not in "".join(path.read_text() for path in (tmp_path / "run").glob("*.json*"))


def test_an_upload_that_fails_loses_nothing_and_says_how_to_do_it_later(hub, tmp_path):
    trainer = tiny_trainer(tmp_path / "my run", max_steps=1)
    trainer.train()
    BROKEN["at"] = "upload"
    folder = tmp_path / "my run" / "model"
    later = re.escape(f"It is whole in {folder}. Later: hf upload --private me/mine '{folder}'")
    with pytest.raises(HubError, match=rf"was not uploaded to the hub: the network is away\. {later}$"):
        trainer.push_to_hub("me/mine", private=True)
    assert (folder / "model.safetensors").exists()
    BROKEN["at"] = "create"
    with pytest.raises(HubError, match=r"401 Client Error\. Invalid token"):
        trainer.push_to_hub("me/mine")


# The command ----------------------------------------------------------------------------------------------------------


def words(folder, *more):
    settings = ["--scenario", "capped", "--max_steps", "1", "--eval_completions", "32", "--progress", "false"]
    return ["train", *settings, "--output_dir", str(folder), *more]


def test_the_command_uploads_at_the_end_what_it_has_measured(hub, tmp_path, capsys):
    assert cli.main(words(tmp_path / "first", "--push_to_hub", "--hub_private_repo", "true")) == 0
    assert [asked[:2] for asked in hub] == [("create", "first"), ("create", "first"), ("upload", "me/first")]
    assert hub[0][2] is hub[1][2] is True
    card = hub[-1][-1]
    assert re.search(r"^\| hack rate \| \d.*% \| \d.*% \|$", card, re.MULTILINE)
    assert "| scenario | capped |" in card
    assert "hack detector | –" not in card
    assert capsys.readouterr().out.endswith("on the hub: https://hub/me/first\n")
    config = read_config(tmp_path / "first" / "run.json")
    assert not {"push_to_hub", "hub_private_repo"} & config.keys()  # the same run again uploads nothing by itself


def test_a_hub_that_lets_nobody_in_is_told_before_training(hub, tmp_path, capsys):
    BROKEN["at"] = "create"
    assert cli.main(words(tmp_path / "run", "--push_to_hub", "--hub_model_id", "me/mine")) == 2
    assert "hub_model_id='me/mine': the hub does not give it: 401 Client Error" in capsys.readouterr().err
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_a_command_whose_upload_fails_has_trained_measured_and_shown(hub, tmp_path, capsys):
    BROKEN["at"] = "upload"
    assert cli.main(words(tmp_path / "run", "--push_to_hub", "--hub_model_id", "me/mine")) == 2
    shown = capsys.readouterr()
    assert "Later: hf upload me/mine" in shown.err
    assert "measure" in shown.out
    assert (tmp_path / "run" / "evaluation.json").exists()
    BROKEN["at"] = None
    assert cli.main(words(tmp_path / "run", "--push_to_hub", "--hub_model_id", "me/mine")) == 0
    assert hub[-1][0] == "upload"


def test_uploading_is_no_part_of_what_tells_a_run(hub, tmp_path):
    ids = []
    for name, more in (("plain", []), ("pushed", ["--push_to_hub"])):
        assert cli.main(words(tmp_path / name, *more)) == 0
        ids.append(json.loads((tmp_path / name / "run.json").read_text())["id"])
    assert ids[0] == ids[1]


@pytest.mark.parametrize("given", [{"hub_model_id": "me/mine"}, {"hub_private_repo": True}])
def test_a_repository_to_which_nothing_goes_is_refused(given):
    with pytest.raises(ConfigError, match="without push_to_hub: nothing would be uploaded"):
        RunSpec("x", **given)


def test_a_study_uploads_nothing(tmp_path):
    with pytest.raises(ConfigError, match="push_to_hub is for a single run: a study keeps no models"):
        study_of_settings({"scenario": "capped", "push_to_hub": True}, "ppo", [0])


def test_in_python_it_is_the_trainers():
    with pytest.raises(ConfigError, match=r"'push_to_hub' is TRL's, here of the trainer: trainer\.push_to_hub\("):
        GAAConfig("x", push_to_hub=True)


def test_a_finished_run_is_told_by_its_alarm(hub, tmp_path, monkeypatch):
    """What gaard find says of the run stands in its card."""
    monkeypatch.setattr("gaard.finder.words.claim", lambda found: "texts with the word 'story' are paid more")
    assert cli.main(words(tmp_path / "run")) == 0
    assert hub == []
    card = (tmp_path / "run" / "model" / "README.md").read_text()
    assert card.endswith("- texts with the word 'story' are paid more\n")
