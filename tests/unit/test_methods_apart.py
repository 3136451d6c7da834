"""Nothing of one method gets into another, and a method of one's own in a file is as good as those of the package."""

import dataclasses
import json
import os
import pickle
import subprocess
import sys
import warnings

import pytest
import torch

from gaard import GAAConfig
from gaard.errors import CheckpointError, ConfigError, GaardWarning
from gaard.lab.arms import Arm
from gaard.lab.spec import RunSpec
from gaard.methods import GAA, PPO, Fold, Method
from tiny import tiny_trainer


def short_run(folder, **options):
    """The metrics of three steps."""
    trainer = tiny_trainer(folder, **({"max_steps": 3} | options))
    trainer.train()
    return trainer.run.log.read("metrics.jsonl")


# Nothing of one method gets into another ------------------------------------------------------------------------------

EVERY = [
    PPO(),
    Fold(),
    Fold(threshold=2),
    GAA(),
    GAA(reading="code"),
    GAA(reading="code", greedy_clip="inside"),
    GAA(eta_scale=0.5, sigma_scale=0.25),
]
PAIRS = [(one, other) for one in EVERY for other in EVERY]


def label(method):
    return "-".join(map(str, [method.name, *dataclasses.asdict(method).values()]))


@pytest.mark.parametrize(("one", "other"), PAIRS, ids=label)
def test_replacing_the_method_gives_exactly_that_method(one, other):
    replaced = dataclasses.replace(GAAConfig("x", method=one), method=other)
    assert replaced.method == other
    assert replaced.record() == GAAConfig("x", method=other).record()
    assert replaced.observes == GAAConfig("x", method=other).observes


@pytest.mark.parametrize(("one", "other"), PAIRS, ids=label)
def test_a_written_record_with_another_method_gives_exactly_that_method(one, other, tmp_path):
    record = json.loads(json.dumps(GAAConfig("x", method=one).record()))
    assert GAAConfig(**record).method == one
    given = json.loads(json.dumps(other.record()))
    assert GAAConfig(**{**record, "method": given}).method == other
    assert GAAConfig(**{**record, "method": other.name}).method == type(other)()
    arm = Arm("mine", method=other)
    assert RunSpec(**arm.over(record)).method == other


def test_the_config_of_a_runs_file_reads_back_with_the_same_or_another_method(tmp_path):
    regularizers = [{"name": "kl-budget", "limit": 9}, "par"]
    method = {"name": "gaa", "reading": "code", "sigma_scale": 0.25}
    trainer = tiny_trainer(tmp_path, method=method, regularizers=regularizers, advantages={"lam": 0.5}, max_steps=0)
    trainer.train()
    config = json.loads((tmp_path / "run.json").read_text())["config"]
    read = RunSpec(**config)
    assert {key: value for key, value in read.record().items() if key in config} == config
    del config["model"]
    assert GAAConfig(**config) == trainer.args
    assert GAAConfig(**{**config, "method": {"name": "fold", "threshold": 2}}).method == Fold(threshold=2)
    assert GAAConfig(**{**config, "method": "fold"}).method == Fold()
    assert GAAConfig(**{**config, "method": "gaa"}).method == GAA()
    assert GAAConfig(**{**config, "method": "ppo"}).record()["method"] == {"name": "ppo"}


# A method of one's own ------------------------------------------------------------------------------------------------

OWN = '''"""Only so far: advantages beyond a cap are cut to it."""
from dataclasses import dataclass

from gaard.methods import Method


@dataclass(frozen=True)
class Capped(Method):
    name = "capped-advantages"

    cap: float = 0.5

    def shape(self, estimates, mask):
        return estimates.advantages.clamp(max=self.cap)
'''


@pytest.fixture
def own(tmp_path):
    """A file with a method, and the way to change it."""
    path = tmp_path / "mine.py"
    path.write_text(OWN)
    return path


def test_a_method_of_ones_own_is_a_file_and_trains(own, tmp_path):
    assert len(OWN.splitlines()) <= 15
    rows = short_run(tmp_path / "run", method=str(own))
    plain = short_run(tmp_path / "plain", method="ppo")
    assert rows[0]["reward"] == plain[0]["reward"]
    assert rows[0]["loss"] != plain[0]["loss"]
    wide = short_run(tmp_path / "wide", method={"name": f"{own}:Capped", "cap": 1e9})
    assert wide == plain  # a cap that nothing reaches is PPO
    record = json.loads((tmp_path / "run" / "run.json").read_text())["config"]["method"]
    assert record == {"name": "capped-advantages", "cap": 0.5, "class": "Capped", "code": record["code"]}
    assert len(record["code"]) == 16


def test_the_code_of_ones_own_method_counts_in_the_id(own, tmp_path):
    def identity(folder, method):
        tiny_trainer(folder, method=method, max_steps=0).train()
        return json.loads((folder / "run.json").read_text())["id"]

    first = identity(tmp_path / "first", str(own))
    assert identity(tmp_path / "again", str(own)) == first
    moved = tmp_path / "elsewhere.py"
    moved.write_text(OWN)
    assert identity(tmp_path / "moved", str(moved)) == first  # the same code by another path
    assert identity(tmp_path / "option", {"name": str(own), "cap": 0.25}) != first
    own.write_text(OWN.replace("clamp(max=self.cap)", "clamp(max=2 * self.cap)"))
    assert identity(tmp_path / "changed", str(own)) != first
    with pytest.raises(CheckpointError, match=r"another configuration(.|\n)*the code of method .* changed"):
        tiny_trainer(tmp_path / "first", method=str(own), max_steps=0).train()


def test_a_settled_config_keeps_the_code_that_it_was_made_with(own):
    """What trains is what was imported, whatever the file says later."""
    config = GAAConfig("x", method=str(own))
    before = config.record()
    own.write_text(OWN.replace("0.5", "0.75"))
    assert config.record() == before
    assert GAAConfig("x", method=str(own)).method.cap == 0.75


def test_the_code_that_runs_is_the_code_whose_hash_is_kept(own, monkeypatch):
    """Python's cache of compiled files takes a file of the same length, changed within a second, for the same."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    codes = []
    for cap in ("0.5", "0.6", "0.7", "0.5"):
        own.write_text(OWN.replace("0.5", cap))
        method = GAAConfig("x", method=str(own)).method
        assert method.cap == float(cap)
        codes.append(method.record()["code"])
    assert codes[0] == codes[3]
    assert len(set(codes)) == 3


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", r"mine\.py holds not one, but none: derive a class from gaard\.methods\.base\.Method"),
        (OWN + OWN.replace("Capped", "Other"), r"holds not one, but Capped, Other.*path/to/file\.py:Class"),
        ("x = 1\n1 / 0\n", r"failed on import with ZeroDivisionError: .* \(mine\.py, line 2\); fix it"),
        ("x = 1\nfrom math import tan, no\n", r"failed on import with ImportError: .* \(mine\.py, line 2\); fix it"),
        ("x = 1\ny = = 2\n", r"failed on import with SyntaxError: .* \(mine\.py, line 2\); fix it"),
        (OWN.replace(" = 0.5", ""), r"mine\.py' needs the option 'cap'"),
        (OWN.replace("    name =", "    label ="), r"the class Capped has no name"),
    ],
    ids=["none", "two", "broken", "import", "syntax", "open", "nameless"],
)
def test_a_file_without_one_method_is_refused(own, content, words):
    own.write_text(content)
    with pytest.raises(ConfigError, match=words):
        GAAConfig("x", method=str(own))


def test_a_config_with_a_method_of_ones_own_goes_to_another_process(own, tmp_path):
    config = GAAConfig("x", method={"name": str(own), "cap": 0.25}, regularizers="sam")
    (tmp_path / "pickled").write_bytes(pickle.dumps(config))
    script = (
        "import json, pickle, sys, torch\n"
        "from gaard.methods import Estimates\n"
        "config = pickle.load(open(sys.argv[1], 'rb'))\n"
        "x = torch.tensor([[-2.0, 0.1, 3.0]])\n"
        "shaped = config.method.shape(Estimates(x, x, x, x, x), x > -9)\n"
        "print(json.dumps([config.record(), shaped.tolist()]))\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "pickled")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=os.environ, check=True)
    record, shaped = json.loads(done.stdout)
    assert record == config.record()
    assert shaped == [[-2.0, pytest.approx(0.1), 0.25]]


@pytest.mark.parametrize("method", EVERY, ids=label)
def test_a_config_is_the_same_after_pickling(method):
    config = GAAConfig("x", method=method, advantages={"lam": 0.5}, regularizers=["par", "sam"])
    assert pickle.loads(pickle.dumps(config)) == config


# What it warns of -----------------------------------------------------------------------------------------------------


def rare(*, completions, **_):
    """Most completions are paid nothing."""
    return [float("w1" in text.split()) for text in completions]


def test_fold_says_once_that_rare_successes_are_unlearned(tmp_path):
    options = {"reward": rare, "method": {"name": "fold", "threshold": 2.5}, "save_steps": 1, "max_steps": 4}
    first = tiny_trainer(tmp_path, **options)
    with pytest.warns(UserWarning, match=r"step \d: most rewards are one number.*threshold=2\.5 unlearns"):
        first.training_step()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first.training_step()
        first.training_step()
        again = tiny_trainer(tmp_path, **options)
        again.train()
    assert again.state.step == 4


@pytest.mark.parametrize("method", ["ppo", {"name": "gaa", "reading": "text"}, {"name": "gaa", "reading": "code"}])
def test_others_turn_nothing_and_say_nothing(method, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rows = short_run(tmp_path, reward=rare, method=method)
    assert [row["turned"] for row in rows] == [0.0] * 3


def test_gaa_says_that_rare_successes_are_unlearned_where_samples_value_the_likeliest_token(tmp_path):
    with pytest.warns(GaardWarning, match=r"step 1: most rewards are one number, and method 'gaa' unlearns"):
        rows = short_run(tmp_path, reward=rare, method="gaa")
    assert [row["turned"] for row in rows] == [0.0] * 3


def test_a_warning_is_gaards_own_and_stands_in_the_runs_folder_once(tmp_path):
    options = {"reward": rare, "method": "fold", "save_steps": 1, "max_steps": 3}
    first = tiny_trainer(tmp_path, **options)
    with pytest.warns(GaardWarning, match="most rewards are one number"):
        first.training_step()
    first.run.close()
    tiny_trainer(tmp_path, **options).train()
    (row,) = (json.loads(line) for line in (tmp_path / "warnings.jsonl").open())
    assert row["step"] == 1
    assert row["warning"].startswith("most rewards are one number")


def test_rewards_that_never_differ_are_told_of_at_the_third_step(tmp_path):
    with pytest.warns(GaardWarning, match=r"step 3: in each of the first 3 rollouts all rewards are the same.*0\.5"):
        short_run(tmp_path, reward=lambda completions, **_: [0.5] * len(completions), method="ppo", max_steps=5)
    assert len((tmp_path / "warnings.jsonl").read_text().splitlines()) == 1


def test_a_method_of_ones_own_may_warn_and_log(tmp_path):
    @dataclasses.dataclass(frozen=True)
    class Talking(Method):
        name = "talking"

        def metrics(self, experience):
            return {"mine": float(torch.ones(3).sum())}

        def warnings(self, rollout):
            return ["look out"]

    with pytest.warns(UserWarning, match="step 1: look out"):
        rows = short_run(tmp_path, method=Talking())
    assert [row["mine"] for row in rows] == [3.0] * 3
