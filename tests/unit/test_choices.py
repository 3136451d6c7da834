"""Methods, estimators and regularisers as they may be given, and what makes a run that run."""

import dataclasses
import json
from typing import get_args

import pytest

from fields import FIELDS, kinds
from gaard import GAAConfig
from gaard.errors import ConfigError
from gaard.lab.arms import ARMS, RECOMMENDED_ARM
from gaard.lab.spec import RunSpec
from gaard.methods import GAA, PPO, RECOMMENDED, Fold
from gaard.methods.gaa import Answers
from gaard.regularizers import PAR, SAM, GradientNorm, KLBudget, ReferenceResets
from gaard.settings import check_keys
from gaard.training.identity import NOT_IDENTITY, determining_settings

READINGS = {
    "text": ("own", "token", "surrogate", "outside", "critic", 1),
    "code": ("sampled", "minibatch", "objective", "outside", "critic", 1),
    "expected": ("own", "token", "surrogate", "outside", "samples", 8),
}
NUMBERS = {"candidates": 3}  # of no reading


@pytest.mark.parametrize("reading", READINGS)
def test_a_reading_answers_what_is_left_open(reading):
    config = GAAConfig("x", method={"name": "gaa", "reading": reading})
    assert config.method.answers == READINGS[reading]


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("option", Answers._fields)
def test_an_option_that_is_given_stays(reading, option):
    answers = dict(zip(Answers._fields, READINGS[reading], strict=True))
    choices = [choice for kind in kinds(f"method.gaa.{option}") for choice in get_args(kind)]
    other = NUMBERS.get(option) or next(choice for choice in choices if choice != answers[option])
    method = GAAConfig("x", method={"name": "gaa", "reading": reading, option: other}).method
    assert method.answers._asdict() == answers | {option: other}


def test_the_default_is_ppo_and_what_gaard_recommends_is_chosen_by_name():
    assert GAAConfig("x").method == PPO()
    assert GAAConfig("x", method=RECOMMENDED).method == GAA(reading="expected") == ARMS[RECOMMENDED_ARM].method
    assert not any(kind().observes.of_likely_tokens for kind in (PPO, Fold))
    assert GAA().observes.of_likely_tokens


@pytest.mark.parametrize(
    "given", [Fold(threshold=3.0), Fold, "fold", {"name": "fold"}, {"name": "fold", "threshold": 3}]
)
def test_a_method_is_an_object_a_name_or_a_mapping(given):
    assert GAAConfig("x", method=given).method == Fold(threshold=3.0)


def test_regularizers_are_objects_names_or_mappings():
    given = [GradientNorm(coef=0.1), {"name": "par", "completions": 2}]
    given += [ReferenceResets(steps=5), {"name": "kl-budget", "limit": 1}]
    expected = (GradientNorm(coef=0.1), PAR(completions=2), ReferenceResets(steps=5), KLBudget(limit=1.0))
    assert GAAConfig("x", regularizers=given).regularizers == expected
    assert GAAConfig("x", regularizers="sam").regularizers == (SAM(),)
    assert GAAConfig("x").regularizers == GAAConfig("x", regularizers=None).regularizers == ()


METHOD_SETTINGS = ["ppo", "fold", {"name": "fold", "threshold": 0.5}, "gaa", {"name": "gaa", "reading": "code"}]


@pytest.mark.parametrize("before", METHOD_SETTINGS, ids=str)
@pytest.mark.parametrize("after", METHOD_SETTINGS, ids=str)
def test_replacing_the_method_gives_exactly_that_method(before, after, tmp_path):
    """A method's options go with it: nothing of the first is left, in any direction."""
    replaced = dataclasses.replace(GAAConfig("x", method=before), method=after)
    assert replaced == GAAConfig("x", method=after)
    assert replaced.record() == GAAConfig("x", method=after).record()


def test_a_written_record_read_back_with_another_method_is_exactly_that_method():
    record = json.loads(json.dumps(GAAConfig("x", method=GAA(reading="code"), regularizers=["sam"]).record()))
    assert GAAConfig(**record) == GAAConfig("x", method=GAA(reading="code"), regularizers=["sam"])
    assert GAAConfig(**{**record, "method": "fold"}).method == Fold()


OWN_METHOD = """
from dataclasses import dataclass
from gaard.methods import Method

@dataclass(frozen=True)
class Halved(Method):
    \"\"\"Half of every advantage.\"\"\"
    name = "halved"
    factor: float = 0.5

    def shape(self, estimates, mask):
        return self.factor * estimates.advantages
"""


def test_a_method_of_a_users_file_is_told_apart_by_its_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "halved.py").write_text(OWN_METHOD)
    record = GAAConfig("x", method={"name": "halved.py", "factor": 0.25}).record()["method"]
    assert (record["name"], record["factor"]) == ("halved", 0.25)
    assert GAAConfig("x", method="./halved.py:Halved").record()["method"]["code"] == record["code"]
    (tmp_path / "halved.py").write_text(OWN_METHOD.replace("self.factor *", "2 * self.factor *"))
    assert GAAConfig("x", method="halved.py").record()["method"]["code"] != record["code"]
    with pytest.raises(ConfigError, match=r"halved\.py holds no 'Halvd'\. Did you mean 'Halved'\?"):
        GAAConfig("x", method="halved.py:Halvd")
    with pytest.raises(ConfigError, match=r"names the file .*nowhere\.py, which does not exist"):
        GAAConfig("x", method="nowhere.py")


def test_a_batch_of_one_is_refused():
    """Its one score has no spread: no weight would ever move."""
    with pytest.raises(ConfigError, match=r"batch_size=1 would never move a weight.*Make batch_size 2 or more"):
        GAAConfig("x", batch_size=1, num_mini_batches=1)


@pytest.mark.parametrize("name", ["sam", "gradient-norm"])
def test_small_steps_are_not_taken_in_bfloat16(name):
    with pytest.raises(ConfigError, match=f"regularizers holds '{name}' with bf16=True.*leave one of the two out"):
        GAAConfig("x", bf16=True, regularizers=["kl-budget", name])


def test_the_home_folder_has_a_sign(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert GAAConfig("~/run").output_dir == str(tmp_path / "run")


# What makes a run that run --------------------------------------------------------------------------------------------


def test_the_identity_leaves_out_only_what_changes_no_result():
    record = RunSpec("x").record()
    assert set(record) == {field.name for field in dataclasses.fields(RunSpec)}
    assert set(record) - set(determining_settings(record)) == NOT_IDENTITY
    by_content = {f.name for f in dataclasses.fields(RunSpec)} - set(
        FIELDS
    )  # the record holds hashes of what they name
    assert {
        "output_dir",
        "overwrite",
        "accept_changed_rewards",
        "report_to",
        "save_steps",
        "save_total_limit",
        "save_only_model",
        "progress",
        "gradient_checkpointing",
        "eval_steps",
        "reward_timeout",
        "on_divergence",
        "sharpness_steps",
    } | by_content == NOT_IDENTITY


def test_an_unknown_key_names_file_and_neighbour():
    check_keys(["seed"], FIELDS, "run.yaml")
    with pytest.raises(ConfigError, match=r"run\.yaml: unknown key 'sede': did you mean 'seed'\?"):
        check_keys(["seed", "sede"], FIELDS, "run.yaml")
