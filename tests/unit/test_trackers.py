"""Trackers beside metrics.jsonl: which are told what, by stand-ins for those that are not installed here."""

import importlib.machinery
import importlib.util
import json
import random
from types import SimpleNamespace

import accelerate.tracking
import pytest
from accelerate.utils import LoggerType

from gaard.errors import ConfigError
from gaard.training.config_checks import TRACKERS
from stand_ins import stand_in
from tiny import tiny_trainer, words_reward

EXPERIMENT = 7


class Told:
    """What a tracker was told, in its order."""

    def __init__(self):
        self.configs, self.rows, self.ended = [], [], 0

    def log(self, values, step=None, **_):
        self.rows.append((step, dict(values)))

    def finish(self, *_, **__):
        self.ended += 1


def installed(monkeypatch, name, **contents):
    """A package that Accelerate and gaard take for installed."""
    module = stand_in(monkeypatch, name, **contents)
    module.__spec__ = importlib.machinery.ModuleSpec(name, None)
    monkeypatch.setattr(accelerate.tracking, "_available_trackers", [LoggerType(name)])


def wandb_told(monkeypatch):
    told = Told()
    told.config = SimpleNamespace(update=lambda values, **_: told.configs.append(values))
    installed(monkeypatch, "wandb", init=lambda project, **_: told, config=told.config)
    return told


def trackio_told(monkeypatch):
    told = Told()
    config = SimpleNamespace(update=lambda values, **_: told.configs.append(values))
    installed(monkeypatch, "trackio", init=lambda project, **_: told, config=config)
    return told


def mlflow_told(monkeypatch):
    told = Told()
    limits = SimpleNamespace(MAX_PARAM_VAL_LENGTH=6000, MAX_PARAMS_TAGS_PER_BATCH=100)
    installed(
        monkeypatch,
        "mlflow",
        search_experiments=lambda filter_string: [],
        create_experiment=lambda name, **_: EXPERIMENT,
        start_run=lambda experiment_id, **_: told,
        end_run=told.finish,
        log_params=told.configs.append,
        log_metrics=told.log,
        utils=SimpleNamespace(validation=limits),
    )
    return told


STAND_INS = {"wandb": wandb_told, "trackio": trackio_told, "mlflow": mlflow_told}


@pytest.mark.parametrize("name", STAND_INS)
def test_a_tracker_is_told_settings_and_every_metric_of_every_step(name, monkeypatch, tmp_path):
    told = STAND_INS[name](monkeypatch)
    tiny_trainer(tmp_path, max_steps=2, report_to=name).train()
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert told.rows == [(row.pop("step"), row) for row in rows]
    settings = {key: value for part in told.configs for key, value in part.items()}
    assert (settings["learning_rate"], settings["seed"]) == (1e-3, 0)
    assert told.ended == 1


def test_mlflow_is_told_names_that_it_takes(monkeypatch, tmp_path):
    told = mlflow_told(monkeypatch)

    def other(completions, **kwargs):
        return [0.0] * len(completions)

    other.__name__ = "honeypot(human, 'a story')"
    tiny_trainer(tmp_path, max_steps=1, report_to="mlflow", reward=[words_reward, other]).train()
    ((_, values),) = told.rows
    assert "rewards/honeypot_human_ _a story__/mean" in values
    assert "rewards/words_reward/mean" in values
    assert "rewards/honeypot(human, 'a story')/mean" in (tmp_path / "metrics.jsonl").read_text()


def test_a_tracker_that_draws_a_name_changes_no_run(monkeypatch, tmp_path):
    """MLflow does, from the generator that a reward may use."""

    def chances(completions, **kwargs):
        return [random.random() for _ in completions]

    def left(name, **options):
        random.seed(3)
        tiny_trainer(tmp_path / name, max_steps=1, reward=chances, **options).train()
        return (tmp_path / name / "metrics.jsonl").read_bytes()

    plain, told = left("plain"), mlflow_told(monkeypatch)
    monkeypatch.setattr("mlflow.start_run", lambda **_: random.random() and told)
    assert left("told", report_to="mlflow") == plain


@pytest.mark.parametrize("name", TRACKERS)
def test_one_that_is_not_installed_is_refused_at_the_start(name, monkeypatch, tmp_path):
    plain = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda package: None if package == name else plain(package))
    with pytest.raises(ConfigError, match=rf"report_to='{name}' is not installed: pip install 'gaard\[{name}\]'"):
        tiny_trainer(tmp_path, report_to=name)
