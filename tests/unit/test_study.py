"""Studies: what a file may say, and which runs it means."""

import shutil
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import pytest

from gaard import cli
from gaard.commands.compare import _study_of_file
from gaard.errors import ConfigError
from gaard.lab.scenarios import find_scenario
from gaard.lab.spec import layered
from gaard.lab.study import RunKey, build_study, read_study, study_of_settings
from gaard.methods import GAA, GAE, PPO, Fold
from gaard.regularizers import SAM
from user_files import SHORT, stated

ROOT = Path(__file__).resolve().parents[2]


def test_runs_go_seed_by_seed_and_each_has_a_folder(tmp_path):
    specs = read_study(stated(tmp_path)).specs(tmp_path)
    assert [str(key) for key in specs][:4] == [
        *("capped, untrained, seed 0", "capped, ppo, seed 0", "capped, fold, seed 0", "clean, untrained, seed 0")
    ]
    assert len(specs) == len({spec.output_dir for spec in specs.values()}) == 2 * 3 * 2
    spec = specs[RunKey("clean", "fold", 1)]
    assert (spec.scenario, spec.method, spec.seed, spec.max_steps) == ("clean", Fold(), 1, 2)
    assert Path(spec.output_dir) == tmp_path / "clean" / "fold-seed1"
    assert specs[RunKey("clean", "untrained", 1)].max_steps == 0


def test_numbers_may_have_an_exponent(tmp_path):
    path = tmp_path / "study.yaml"
    arm = "{name: warm, base: ppo, kl_coef: 1e-2, learning_rate: 3E-5}"
    path.write_text(f"scenarios: [capped]\narms: [{arm}]\nseeds: 1\nsummary: 1e-2x is text\n")
    spec = read_study(path).specs(tmp_path)[RunKey("capped", "warm", 0)]
    assert (spec.kl_coef, spec.learning_rate) == (0.01, 3e-5)


def test_an_arms_settings_come_before_the_studys_and_those_before_the_scenarios(tmp_path):
    settings = {"settings": {**SHORT, "kl_coef": 0.7}, "arms": ["ppo", "ppo-kl-0.3"]}
    specs = read_study(stated(tmp_path, **settings)).specs(tmp_path)
    assert specs[RunKey("capped", "ppo", 0)].kl_coef == 0.7
    assert specs[RunKey("capped", "ppo-kl-0.3", 0)].kl_coef == 0.3
    plain = build_study(["capped"], ["ppo"], [0], {}).specs(tmp_path)
    assert plain[RunKey("capped", "ppo", 0)].kl_coef == 0.05


def test_an_arm_states_its_whole_method_whatever_stands_beside_it(tmp_path):
    """The baseline cannot silently be one of what it is held against."""
    arms = ["ppo", "fold", "gaa-code", "ppo-sam", {"name": "mine", "method": {"name": "fold", "threshold": 2}}]
    settings = {**SHORT, "advantages": {"lam": 0.0}, "reward_clip": 1.0}
    specs = read_study(stated(tmp_path, arms=arms, settings=settings)).specs(tmp_path)
    methods = {
        "ppo": PPO(),
        "fold": Fold(),
        "gaa-code": GAA(reading="code"),
        "ppo-sam": PPO(),
        "mine": Fold(threshold=2),
    }
    for key, spec in specs.items():
        assert spec.method == methods.get(key.arm, PPO())
        assert spec.regularizers == ((SAM(),) if key.arm == "ppo-sam" else ())


ONE = [
    ({"reward_clip": 1}, "ppo-reward-clip"),
    ({"kl_coef": 0.3}, "ppo-kl-0.3"),
    ({"entropy_coef": 0.01}, "ppo-entropy-0.01"),
    ({}, {"name": "again", "method": "ppo"}),
    ({}, {"name": "as-it-is", "base": "ppo", "advantages": {"gamma": 1, "lam": 0.95}}),
]


@pytest.mark.parametrize(("settings", "arm"), ONE, ids=str)
def test_no_two_arms_of_a_study_are_one(settings, arm, tmp_path):
    """Else the baseline would be compared with itself."""
    name = arm if isinstance(arm, str) else arm["name"]
    for make in (
        lambda: build_study(["clean", "capped"], ["fold", "ppo", arm], [0, 1], settings),
        lambda: study_of_settings({"scenario": "capped", **settings}, ["fold", "ppo", arm], [0]),
    ):
        with pytest.raises(ConfigError, match=f"arms 'ppo' and '{name}' are the same run in .*: leave one out"):
            make().specs(tmp_path)


def test_a_study_goes_on_with_no_other_rewards():
    """Runs that are done have the old ones; a single run may, and says so in its record."""
    for make in (
        lambda: build_study(["capped"], ["ppo"], [0], {"accept_changed_rewards": True}),
        lambda: study_of_settings({"scenario": "capped", "accept_changed_rewards": True}, ["ppo"], [0]),
        lambda: build_study(["capped"], [{"name": "x", "base": "ppo", "accept_changed_rewards": True}], [0], {}),
    ):
        with pytest.raises(ConfigError, match=r"accept_changed_rewards.* a single run"):
            make()


@pytest.mark.parametrize("value", ["true", "proxy"])
def test_which_reward_trains_is_for_an_arm_to_say(value):
    """Else every arm would be an oracle."""
    for make in (
        lambda: build_study(["capped"], ["ppo"], [0], {"trained_reward": value}),
        lambda: study_of_settings({"scenario": "capped", "trained_reward": value}, ["ppo"], [0]),
    ):
        with pytest.raises(ConfigError, match=f"trained_reward='{value}' is given to every run, and .* take it out"):
            make()
    with pytest.raises(ConfigError, match="training holds 'trained_reward': take it out, it belongs to an arm"):
        replace(find_scenario("capped"), training={"trained_reward": value})


@pytest.mark.parametrize("settings", [{"method": "fold"}, {"method": Fold()}, {"regularizers": ["par"]}])
def test_no_study_has_a_method_of_its_own(settings):
    for make in (
        lambda: build_study(["capped"], ["ppo"], [0], settings),
        lambda: study_of_settings({"scenario": "capped", **settings}, ["ppo"], [0]),
    ):
        with pytest.raises(
            ConfigError, match="is given to every run, and each arm states its whole method: take it out"
        ):
            make()


def test_options_of_advantages_come_one_by_one_from_scenario_study_and_arm(tmp_path):
    """Of the published scenario lam, of the study gamma and the critic's rate, which an arm may set again."""
    arm = {"name": "quick", "base": "ppo", "advantages": {"value_learning_rate": 0.02}}
    again = {"name": "quicker", "base": arm, "advantages": {"vf_coef": 0.25}}
    settings = {"advantages": {"gamma": 0.9, "value_learning_rate": 0.01}}
    specs = build_study(["nietzsche-capped", "capped"], ["ppo", arm, again], [0], settings).specs(tmp_path)
    expected = {
        ("nietzsche-capped", "ppo"): GAE(lam=0.0, gamma=0.9, value_learning_rate=0.01),
        ("nietzsche-capped", "quick"): GAE(lam=0.0, gamma=0.9, value_learning_rate=0.02),
        ("nietzsche-capped", "quicker"): GAE(lam=0.0, gamma=0.9, value_learning_rate=0.02, vf_coef=0.25),
        ("nietzsche-capped", "untrained"): GAE(lam=0.0, gamma=0.9, value_learning_rate=0.01),
        ("capped", "ppo"): GAE(gamma=0.9, value_learning_rate=0.01),
    }
    for (scenario, name), advantages in expected.items():
        assert specs[RunKey(scenario, name, 0)].advantages == advantages


@pytest.mark.parametrize("given", ["gae", {"name": "gae"}, {}, {"name": "gae", "gamma": 1}], ids=str)
def test_the_name_of_the_estimator_alone_takes_nothing_of_the_scenario_away(given, tmp_path):
    for settings, arm in (({"advantages": given}, "ppo"), ({}, {"name": "x", "base": "ppo", "advantages": given})):
        specs = build_study(["nietzsche-capped"], [arm], [0], settings).specs(tmp_path)
        assert [spec.advantages for spec in specs.values()] == [GAE(lam=0.0)] * 2


def test_another_estimator_has_options_of_its_own():
    own = layered({"advantages": "gae"}, {"advantages": {"lam": 0.5}}, {"advantages": "gae"})
    assert own == {"advantages": {"name": "gae", "lam": 0.5}}
    assert layered({"advantages": {"lam": 0.5}}, {"advantages": {"name": "own.py", "width": 1}}) == {
        "advantages": {"name": "own.py", "width": 1}
    }
    assert layered({"advantages": {"name": "own.py", "width": 1}}, {"advantages": "own.py"}) == {
        "advantages": {"name": "own.py", "width": 1}
    }
    assert layered({"advantages": {"lam": 0.5}}, {"advantages": GAE()}) == {"advantages": GAE()}


def test_a_study_names_its_baseline_among_its_arms(tmp_path):
    path = stated(tmp_path, arms=["ppo", "oracle"], baseline="oracle")
    assert read_study(path).baseline == read_study(path).record()["baseline"] == "oracle"
    assert read_study(stated(tmp_path, arms=["oracle", "ppo"])).baseline == "oracle"  # the first, whatever its name
    assert study_of_settings({"scenario": "capped"}, ["ppo", "fold"], [0], "fold").baseline == "fold"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scenarios": []}, "scenarios is empty"),
        ({"scenarios": "capped"}, "scenarios='capped' must be a list"),
        ({"scenarios": ["cap"]}, "scenario='cap' is not known.*did you mean 'capped'"),
        ({"scenarios": ["capped", "capped"]}, "names one twice"),
        ({"arms": []}, r"arms=\[\] is no list of arms"),
        ({"arms": ["ppo", "fodl"]}, "'fodl' is not known: did you mean 'fold'"),
        ({"arms": ["ppo", "ppo"]}, "arms names 'ppo' twice"),
        ({"arms": [3]}, "3 is neither a name nor a mapping"),
        ({"arms": [{"kl_coef": 1.0}]}, "has no name"),
        (
            {"arms": [{"name": "x", "kl_coef": 1.0}]},
            "arm 'x' states no method: give it one, such as method: fold, or a base",
        ),
        ({"arms": ["gaa"]}, "'gaa' is a method, not an arm: choose from gaa-text, gaa-code, gaa-expected"),
        (
            {"arms": [{"name": "x", "method": "ppo", "lam": 1}]},
            r"'lam' is no field of a run: give it as advantages: \{",
        ),
        ({"arms": [{"name": "x", "method": "fodl"}]}, "arm 'x': method='fodl' is not known: did you mean 'fold'"),
        ({"arms": [{"name": "x", "method": {"name": "ppo", "threshold": 3}}]}, "arm 'x': .*it is an option of fold"),
        (
            {"arms": [{"name": "x", "method": "ppo", "regularizers": ["smm"]}]},
            "arm 'x': regularizers='smm' is not known",
        ),
        ({"arms": [{"name": "x", "base": ["ppo"]}]}, r"\['ppo'\] is neither a name nor a mapping"),
        ({"arms": [{"name": "x", "base": "ppo", 3: 1}]}, "arm 'x': unknown key '3'"),
        (
            {"arms": [{"name": "x", "base": "ppo", "kl_coeff": 1.0}]},
            "arm 'x': unknown key 'kl_coeff': did you mean 'kl_coef'",
        ),
        ({"arms": [{"name": "x", "base": "ppo", "seed": 1}]}, "arm 'x' sets 'seed'"),
        ({"arms": [{"name": "a/b", "base": "ppo"}]}, "arm 'a/b': a name is of letters"),
        ({"arms": [{"name": "untrained", "base": "ppo"}]}, "and not 'untrained'"),
        ({"arms": [{"name": "x", "base": "pp0"}]}, "'pp0' is not known: did you mean 'ppo'"),
        ({"seeds": 0}, "seeds=0 must be a list, or how many there are"),
        ({"seeds": True}, "seeds=True must be a list, or how many there are"),
        ({"seeds": [1, 1]}, "names a seed twice"),
        ({"seeds": [1.5]}, r"seeds=\[1.5\] must be some whole numbers"),
        ({"seeds": "3"}, "seeds='3' must be a list, or how many there are"),
        ({"settings": ["x"]}, r"settings=\['x'\] must hold"),
        ({"settings": {"max_step": 3}}, "unknown key 'max_step': did you mean 'max_steps'"),
        (
            {"settings": {"threshold": 2}},
            r"'threshold' is no field of a run: give it as method: \{name: fold or drop or clip, thr",
        ),
        ({"settings": {"method": "fold"}}, "method='fold' is given to every run, and each arm states its whole method"),
        ({"settings": {"method": {"name": "fold"}}}, r"method=\{'name': 'fold'\} is given to every run"),
        ({"settings": {"regularizers": ["sam"]}}, r"regularizers=\['sam'\] is given to every run"),
        ({"settings": {"seed": 1}}, "settings hold 'seed', which a study sets for each run"),
        ({"baseline": "fodl"}, r"baseline='fodl' is none of the arms: did you mean 'fold'\? Choose from fold, ppo"),
        ({"baseline": 3}, "baseline=3 is none of the arms"),
        ({"settings": {"overwrite": True}}, "settings hold 'overwrite', which a study sets for each run"),
        ({"scenario": "capped"}, "unknown key 'scenario': did you mean 'scenarios'"),
    ],
)
def test_what_a_file_may_get_wrong_is_named_in_one_line(changes, message, tmp_path, capsys):
    path = stated(tmp_path, **changes)
    with pytest.raises(ConfigError, match=message) as caught:
        read_study(path)
    assert "\n" not in str(caught.value)
    assert cli.main(["compare", str(path), "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.startswith("gaard: ")
    assert not (tmp_path / "out").exists()


def test_a_value_that_an_arm_cannot_have_is_named_with_the_arm(tmp_path, capsys):
    path = stated(tmp_path, arms=["ppo", {"name": "x", "base": "ppo", "kl_coef": -1}])
    assert cli.main(["compare", "--jobs", "1", str(path), "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err == "gaard: arm 'x': kl_coef=-1 must be 0 or more\n"
    assert not (tmp_path / "out").exists()


def test_the_folder_of_a_study_has_its_name(tmp_path, monkeypatch):
    """That of its folder where the file is called study.yaml; ~ is the home folder."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "01-main").mkdir()
    shutil.copy(stated(tmp_path), tmp_path / "01-main" / "study.yaml")
    shutil.copy(stated(tmp_path), tmp_path / "mine.yaml")
    names = {"01-main/study.yaml": "runs/01-main", "mine.yaml": "runs/mine"}
    given = dict.fromkeys(("arms", "seeds", "baseline", "out", "overwrite"))
    for file, folder in names.items():
        study, found = _study_of_file(Namespace(study=f"~/{file}", **given))
        assert (len(study.arms), found) == (2, Path(folder))
    _, found = _study_of_file(Namespace(study="~/mine.yaml", **given | {"out": "~/out"}))
    assert found == tmp_path / "out"


def test_files_that_are_no_study(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: No such file.*check the path"):
        read_study(tmp_path / "nowhere.yaml")
    files = {"- a\n": "must hold 'key: value' lines", "a: [": "is not YAML", "seeds: 1\n3: x\n": "the key 3 is no name"}
    for content, message in files.items():
        (tmp_path / "bad.yaml").write_text(content)
        with pytest.raises(ConfigError, match=message):
            read_study(tmp_path / "bad.yaml")


STUDIES = sorted((ROOT / "studies").glob("*/study.yaml"))


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.parent.name)
def test_the_studies_that_come_along_can_be_run(path, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    study = read_study(path)
    assert study.summary
    assert not study.left_out or path.parent.name == "35-league"
    pairs = len(study.scenarios) * (1 + len(study.arms)) - len(study.left_out)
    assert len(study.specs(tmp_path)) == pairs * len(study.seeds)
    assert study.baseline in [arm.name for arm in study.arms]


def test_a_study_without_a_scenario_is_called_custom():
    study = study_of_settings({"prompts": ["a"], "output_dir": "x"}, ["ppo"], [0])
    assert list(study.scenarios) == ["custom"]
    assert "output_dir" not in study.record()["settings"]


def test_the_tax_is_measured_in_the_controls_of_the_studys_scenarios():
    assert build_study(["capped", "clean"], ["ppo"], [0], {}).controls == ["clean"]
    assert build_study(["clean"], ["ppo"], [0], {}).controls == ["clean"]
    assert build_study(["capped"], ["ppo"], [0], {}).controls == []
    study = build_study(["sentiment-cliff", "nietzsche-capped"], ["ppo"], [0], {})
    assert study.about["sentiment-cliff"]["control"] is None
    with pytest.raises(ConfigError, match="control=3 must be the name of a scenario"):
        replace(find_scenario("capped"), control=3)
