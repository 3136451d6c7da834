"""Scenarios: how they are found, run and shown, and a user's own."""

import datetime
import json
from pathlib import Path
from types import MappingProxyType

import pytest
import yaml

from gaard import cli
from gaard.arguments import add_settings, given_settings, plain_parser
from gaard.errors import CheckpointError, ConfigError
from gaard.lab.compare import compare
from gaard.lab.scenario import no_hack
from gaard.lab.scenarios import SCENARIOS, Scenario, find_scenario, with_scenario
from gaard.lab.spec import RunSpec, build_trainer
from gaard.lab.study import read_study, study_of_settings
from gaard.rewards import HumanReward, honeypot

WITHOUT_CONTROL = {"sentiment-cliff", "mixture", "length-bias", "nietzsche-capped", "nietzsche-uncapped"}
SHORT = {"max_steps": 2, "batch_size": 8, "num_mini_batches": 2, "eval_completions": 16, "progress": False}
OWN = """
from gaard.lab.scenarios import Scenario

def exclaim(completions, **_):
    return [float(text.count("!")) for text in completions]

def quiet(completions, **_):
    return [1.0 - min(1.0, text.count("!")) for text in completions]

shouting = Scenario(
    name="shouting",
    summary="pays for shouting, though quiet was meant",
    prompts=("The film is", "The food was"),
    proxy=exclaim,
    true_reward=quiet,
    hack_detector=lambda texts: ["!!" in text for text in texts],
    max_completion_length=6,
    kl_coef=0.05,
    training={"learning_rate": 3e-4},
)
"""


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "own.py"
    path.write_text(OWN)
    return str(path)


def test_settings_given_beside_a_scenario_win():
    settings = with_scenario({"scenario": "capped", "kl_coef": 7.0})
    assert settings["kl_coef"] == 7.0
    assert settings["model"] == "pocket"
    assert with_scenario(settings) == settings
    assert with_scenario({"kl_coef": 7.0}) == {"kl_coef": 7.0}


def test_rewards_given_beside_a_scenario_are_refused():
    spec = RunSpec(**with_scenario({"scenario": "capped", "output_dir": "x", "honeypot": {"word": "film"}}))
    with pytest.raises(ConfigError, match=r"honeypot=.* is given beside scenario='capped'"):
        build_trainer(spec)


def test_a_users_scenario_runs_by_path(own, tmp_path, capsys):
    words = ["train", "--scenario", own, "--output_dir", str(tmp_path / "run"), "--method", "ppo"]
    words += [f"--{key}={json.dumps(value)}" for key, value in SHORT.items()]
    assert cli.main(words) == 0
    config = json.loads((tmp_path / "run" / "run.json").read_text())["config"]
    assert (config["kl_coef"], config["learning_rate"], config["max_completion_length"]) == (0.05, 3e-4, 6)
    for line in (tmp_path / "run" / "samples.jsonl").read_text().splitlines():
        row = json.loads(line)
        assert row["reward"] == row["completion"].count("!")
        assert row["true_reward"] == 1.0 - min(1.0, row["completion"].count("!"))
        assert row["hacked"] == ("!!" in row["completion"])
    capsys.readouterr()
    assert cli.main(["scenarios", own]) == 0
    assert "pays for shouting" in capsys.readouterr().out


def test_a_scenario_named_in_a_config_file(own, tmp_path, capsys):
    path = tmp_path / "run.yaml"
    path.write_text(f"scenario: {own}\noutput_dir: {tmp_path / 'run'}\nkl_coef: 0.5\nmethod: ppo\n")
    short = [f"--{key}={json.dumps(value)}" for key, value in SHORT.items()]
    assert cli.main(["train", "--config", str(path), *short]) == 0
    config = json.loads((tmp_path / "run" / "run.json").read_text())["config"]
    assert (config["kl_coef"], config["learning_rate"]) == (0.5, 3e-4)


def test_compare_takes_a_scenario(own, tmp_path):
    results = compare(study_of_settings({"scenario": own, **SHORT}, ["ppo"], [0]), tmp_path)
    ((label, found),) = results["scenarios"].items()
    assert results["study"]["scenarios"][label]["kl_coef"] == 0.05
    assert found["arms"]["ppo"]["true_reward"]["n"] == 1
    assert "judge_reward" not in found["arms"]["ppo"]


def test_all_are_listed(capsys):
    assert cli.main(["scenarios"]) == 0
    out = capsys.readouterr().out
    names = [line.split("│")[1].strip() for line in out.splitlines() if line.count("│") > 3]
    assert [name for name in names if name] == list(SCENARIOS)


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (None, "caped", "scenario='caped' is not known, .*: did you mean 'capped'"),
        (None, "missing.py", "names the file .*missing.py, which does not exist"),
        ("x = 1 / 0", "own.py", "failed on import with ZeroDivisionError"),
        ("x = 1", "own.py", r"holds 0 scenarios \(none\)"),
        (OWN + "\nother = shouting", "own.py", r"holds 2 scenarios \(shouting, other\): .*file.py:variable"),
        (OWN, "own.py:shoutin", "'shoutin' in .* is no Scenario. Did you mean 'shouting'"),
        (OWN, "own.py:exclaim", r"exclaim\(\) in own.py failed with TypeError"),
        (OWN, "own.py:SHORT", "'SHORT' in own.py is no Scenario"),
        (OWN.replace('("The film is", "The food was")', '("The film is")'), "own.py", "prompts='The film is' must be"),
        (OWN.replace('"learning_rate"', '"learning_rat"'), "own.py", "unknown key 'learning_rat'"),
    ],
)
def test_what_is_not_found(content, name, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        (tmp_path / "own.py").write_text(content)
    with pytest.raises(ConfigError, match=message):
        find_scenario(name)


def test_a_control_is_named_by_most():
    assert {name for name in SCENARIOS if find_scenario(name).control is None} == WITHOUT_CONTROL


@pytest.mark.parametrize("name", [name for name in SCENARIOS if name not in WITHOUT_CONTROL])
def test_a_control_has_the_same_truth_and_nothing_to_exploit(name):
    scenario = find_scenario(name)
    control = find_scenario(scenario.control)
    rewards = control.scorer().identity()
    assert scenario.scorer().identity()["true"] == rewards["true"] == rewards["proxy"]
    assert (control.control, control.hack) == (control.name, "")
    assert control.hack_detector is no_hack


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"proxy": "human"}, "proxy='human' must be a function, or an object that can be called"),
        ({"proxy": HumanReward}, r"proxy=HumanReward is a class: make an object of it, such as HumanReward\(\)"),
        ({"true_reward": HumanReward}, "true_reward=HumanReward is a class"),
        ({"judge_reward": HumanReward}, "judge_reward=HumanReward is a class"),
        ({"hack_detector": HumanReward}, "hack_detector=HumanReward is a class"),
        ({"hack_detector": True}, "hack_detector=True must be a function"),
        ({"ensemble": [HumanReward()]}, "ensemble=.* must be a function"),
        ({"judge_reward": 1}, "judge_reward=1 must be a function"),
        ({"summary": None}, "summary=None must be a text"),
        ({"model": 3}, "model=3 must be a text"),
        ({"max_completion_length": 0}, "max_completion_length=0 must be greater than 0"),
        ({"temperature": "1"}, "temperature='1' must be a number"),
        ({"kl_coef": -1}, "kl_coef=-1 must be 0 or more"),
        ({"training": None}, "training=None must be a mapping"),
        ({"eval_prompts": ("It is", "A")}, "eval_prompts holds 1 of the prompts that train, such as 'A'"),
        ({"hack": "a word"}, "hack='a word', and nothing finds it: give a hack_detector, or no hack"),
    ],
)
def test_a_scenario_whose_fields_cannot_be_is_refused_when_it_is_made(wrong, message):
    right = {"name": "own", "summary": "s", "prompts": ["A"], "proxy": HumanReward()}
    assert Scenario(**right, ensemble=list).kl_coef == 0.05
    assert Scenario(**right, hack="a word", hack_detector=no_hack).hack == "a word"
    assert Scenario(**right | {"hack": "a word", "proxy": honeypot(HumanReward(), word="a")}).hack == "a word"
    with pytest.raises(ConfigError, match=f"^scenario 'own': {message}"):
        Scenario(**right | wrong)


def test_one_of_several_and_one_that_is_built(tmp_path):
    path = tmp_path / "own.py"
    path.write_text(OWN + "\nother = shouting\ndef built():\n    return shouting\n")
    assert find_scenario(f"{path}:other").summary.startswith("pays for shouting")
    assert find_scenario(f"{path}:built").name == f"{path}:built"


@pytest.mark.parametrize(
    ("words", "scenario", "length"),
    [
        (["--scenario", "length"], "length", 32),
        (["--scenario=length", "--scenario", "clean"], "clean", 16),
        (["--scenario", "length", "--scenario=clean"], "clean", 16),
        (["--config", "CONFIG"], "length", 32),
        (["--scenario", "clean", "--config", "CONFIG"], "clean", 16),
        (["--config", "CONFIG", "--scenario", "clean"], "clean", 16),
        (["--config", "CONFIG", "--scenario", "clean", "--max_completion_length", "5"], "clean", 5),
        (["--scenario", "length", "--config", "NONE"], "length", 32),
        (["--config", "NONE"], None, 16),
        (["--config", "CONFIG", "--scenario", "null"], None, 16),
    ],
)
def test_the_defaults_are_those_of_the_scenario_that_runs(words, scenario, length, tmp_path, monkeypatch):
    (tmp_path / "CONFIG").write_text("scenario: length\n")
    (tmp_path / "NONE").write_text("scenario: null\n")
    monkeypatch.chdir(tmp_path)
    given = given_settings(add_settings(plain_parser("train", "", "")).parse_args(["--output_dir", "x", *words]))
    settings = RunSpec(**with_scenario(given))
    assert (settings.scenario, settings.max_completion_length) == (scenario, length)
    assert settings.prompts == ([] if scenario is None else list(find_scenario(scenario).prompts))


def test_a_scenario_that_is_no_name(tmp_path, capsys):
    (tmp_path / "run.yaml").write_text("scenario: [capped]\n")
    assert cli.main(["train", "--config", str(tmp_path / "run.yaml"), "--output_dir", "x"]) == 2
    assert "scenario=" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="scenario=5 must be a name"):
        with_scenario({"scenario": 5})


def test_a_scenario_with_brackets_is_shown_as_it_is(tmp_path, capsys):
    path = tmp_path / "own.py"
    path.write_text(OWN.replace('"The film is"', '"[INST] say [/INST]"').replace("pays for", "pays [b] for"))
    assert cli.main(["scenarios", str(path)]) == 0
    out = capsys.readouterr().out
    assert "[INST] say [/INST]" in out
    assert "pays [b] for" in out


def test_one_scenario_is_shown_with_its_truth_and_its_hack(capsys):
    assert cli.main(["scenarios", "capped"]) == 0
    out = capsys.readouterr().out
    word = find_scenario("capped").proxy.word
    assert f"honeypot(human, '{word}', capped), bonus 1, base weight 0.5" in out
    assert "0.5*human" in out
    assert "lexicon" in out
    assert f"a hack is             │ '{word}'" in out


def test_of_hundreds_of_prompts_three_are_shown(capsys):
    assert cli.main(["scenarios", "late"]) == 0
    out = capsys.readouterr().out
    scenario = find_scenario("late")
    assert f"prompts               │ 256, such as {scenario.prompts[0]!r}" in out
    assert f"eval_prompts          │ 64, such as {scenario.eval_prompts[0]!r}" in out
    assert scenario.prompts[3] not in out


def plain_scenario(**fields) -> Scenario:
    return Scenario("mine", "pays for length", **{"prompts": ("x",), "proxy": longer, **fields})


def longer(completions, **_):
    return [1.0 * len(text) for text in completions]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"training": {"temperature": 1.5}},
            "training holds 'temperature': take it out, it is a field of the scenario",
        ),
        ({"training": {"method": "fold"}}, "training holds 'method': take it out, it belongs to an arm or a run"),
        (
            {"training": {"regularizers": []}},
            "training holds 'regularizers': take it out, it belongs to an arm or a run",
        ),
        ({"training": {"overwrite": True}}, "training holds 'overwrite': take it out, it belongs to an arm or a run"),
        ({"reach": (0.1, 0.2)}, r"reach=\(0.1, 0.2\) must be a Reach"),
        ({"prompts": ({"prompt": "x", "day": datetime.date(2020, 1, 1)},)}, "as JSON, and Object of type date"),
    ],
)
def test_what_a_file_may_get_wrong_is_named(fields, message):
    with pytest.raises(ConfigError, match=message):
        plain_scenario(**fields)


def test_any_mapping_is_a_row():
    scenario = plain_scenario(prompts=(MappingProxyType({"prompt": "x", "topic": "y"}),))
    assert scenario.settings()["prompts"] == [{"prompt": "x", "topic": "y"}]


@pytest.mark.slow
def test_a_changed_scenario_file_is_another_run(own, tmp_path):
    """Else the old reward's table would be shown for the new one; what was measured stays, whichever run it is of."""
    (tmp_path / "study.yaml").write_text(
        yaml.safe_dump(
            {"scenarios": ["clean", own], "arms": ["ppo"], "seeds": [0], "settings": {**SHORT, "use_cpu": True}}
        )
    )
    study = read_study(tmp_path / "study.yaml")
    compare(study, tmp_path / "out")
    compare(study, tmp_path / "out")
    before = (tmp_path / "out" / "results.json").read_bytes()
    Path(own).write_text(OWN.replace('text.count("!")) for', 'text.count("?")) for'))
    with pytest.raises(CheckpointError, match=r"own(.*\n)+.*the code of reward own.py:exclaim changed"):
        compare(study, tmp_path / "out")
    assert (tmp_path / "out" / "results.json").read_bytes() == before
