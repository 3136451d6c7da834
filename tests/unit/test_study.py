"""Studies: what a file may say, which runs it means, what is made of them."""

import json
import shutil
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from gaard import GAATrainer, cli
from gaard.errors import ConfigError
from gaard.lab.arms import ARMS, Arm, find_arm, find_arms
from gaard.lab.collection import collect
from gaard.lab.compare import compare
from gaard.lab.scenarios import find_scenario
from gaard.lab.study import RunKey, Study, build_study, read_study, study_of_settings
from gaard.methods import GAA, GAE, PPO, Fold
from gaard.regularizers import SAM

ROOT = Path(__file__).resolve().parents[2]
SHORT = {"max_steps": 2, "batch_size": 8, "num_mini_batches": 2, "eval_completions": 16, "progress": False}
OWN_ARM = """
from gaard.lab.arms import Arm

careful = Arm("careful", "PPO on a short leash", settings={"kl_coef": 2.0})
"""
OWN_METHOD = """
from dataclasses import dataclass
from gaard.methods import Method

@dataclass(frozen=True)
class Halved(Method):
    name = "halved"
    factor: float = 0.5

    def shape(self, estimates, mask):
        return self.factor * estimates.advantages
"""
OWN_SCENARIO = """
from gaard.lab.scenarios import Scenario

def shouts(completions, **columns):
    return [min(1.0, text.count("!") / 2) for text in completions]

loud = Scenario("loud", "pays for marks", ("The film is",), shouts, max_completion_length=6)
"""


def stated(tmp_path, **changes) -> Path:
    content = {"scenarios": ["capped", "clean"], "arms": ["ppo", "fold"], "seeds": 2, "settings": SHORT} | changes
    path = tmp_path / "study.yaml"
    path.write_text("\n".join(f"{key}: {json.dumps(value)}" for key, value in content.items()))
    return path


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
        ({"scenarios": ["cap"]}, "scenario='cap' is not known.*Did you mean 'capped'"),
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
        ({"arms": ["gaa"]}, "'gaa' is a method with several readings: choose from gaa-text, gaa-code"),
        (
            {"arms": [{"name": "x", "method": "ppo", "lam": 1}]},
            r"'lam' is no field of a run: give it as advantages: \{",
        ),
        ({"arms": [{"name": "x", "method": "fodl"}]}, "arm 'x': method='fodl' is not known: did you mean 'fold'"),
        ({"arms": [{"name": "x", "method": {"name": "ppo", "threshold": 3}}]}, "arm 'x': .*it is an option of fold"),
        (
            {"arms": [{"name": "x", "method": "ppo", "regularizers": ["smm"]}]},
            "arm 'x': regularizer='smm' is not known",
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
            {"settings": {"advantage_fold": 2}},
            r"'advantage_fold' is no field of a run: give it as method: \{name: fold, thr",
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
        study, found = cli._study_of_file(Namespace(study=f"~/{file}", **given))
        assert (len(study.arms), found) == (2, Path(folder))
    _, found = cli._study_of_file(Namespace(study="~/mine.yaml", **given | {"out": "~/out"}))
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
    assert len(study.specs(tmp_path)) == len(study.scenarios) * (1 + len(study.arms)) * len(study.seeds)
    assert study.baseline in [arm.name for arm in study.arms]


def test_an_arm_stated_in_place_starts_from_its_base():
    arm = find_arm({"name": "soft", "base": "gaa-code", "kl_coef": 0.25, "regularizers": ["sam"]})
    assert (arm.method, arm.regularizers, dict(arm.settings)) == (GAA(reading="code"), (SAM(),), {"kl_coef": 0.25})
    assert arm.summary == "gaa, reading code, eta_scale 1, sigma_scale 0.5; sam, radius 0.01; kl_coef 0.25"
    again = find_arm(
        {"name": "softer", "base": "ppo-kl-0.3", "method": {"name": "fold", "threshold": 2}, "summary": "s"}
    )
    assert again == Arm("softer", "s", Fold(threshold=2), settings={"kl_coef": 0.3})
    nested = find_arm({"name": "x", "base": {"name": "y", "base": "ppo-sam"}, "learning_rate": 1.0})
    assert (nested.regularizers, dict(nested.settings)) == ((SAM(),), {"learning_rate": 1.0})


@pytest.mark.parametrize(
    ("arm", "words"),
    [
        (ARMS["ppo"], "ppo"),
        (ARMS["fold"], "fold, threshold 3"),
        (ARMS["gaa-text"], "gaa, reading text, eta_scale 1, sigma_scale 0.5"),
        (ARMS["gaa-code"], "gaa, reading code, eta_scale 1, sigma_scale 0.5"),
        (ARMS["ppo-gradient-norm"], "ppo; gradient-norm, coef 0.05, radius 0.01"),
        (ARMS["ppo-kl-budget"], "ppo; kl-budget, limit 0.1"),
        (ARMS["ppo-kl-0.3"], "ppo; kl_coef 0.3"),
        (ARMS["oracle"], "ppo; trained_reward true"),
        (
            Arm(
                "x", "", GAA(greedy_clip="inside"), ["sam", "par"], {"advantages": {"lam": 0.0}, "learning_rate": 1e-5}
            ),
            "gaa, reading text, greedy_clip inside, eta_scale 1, sigma_scale 0.5; sam, radius 0.01; par, "
            "completions 8; advantages lam 0; learning_rate 1e-05",
        ),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_an_arm_in_words_is_all_that_it_sets(arm, words):
    assert arm.in_words() == words


def test_no_two_arms_are_one():
    assert len({arm.in_words() for arm in ARMS.values()}) == len(ARMS)
    assert all(("gaa" in name) == arm.method.observes.greedy_branch for name, arm in ARMS.items())


def test_arms_of_a_users_file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(OWN_ARM)
    assert (
        find_arm(str(path))
        == find_arm(f"{path}:careful")
        == Arm("careful", "PPO on a short leash", PPO(), settings={"kl_coef": 2.0})
    )
    with pytest.raises(ConfigError, match=r"'carefull' in .*mine\.py is no Arm\. Did you mean 'careful'\?"):
        find_arm(f"{path}:carefull")
    path.write_text("x = 1\n")
    with pytest.raises(ConfigError, match=r"holds 0 arms \(none\)"):
        find_arms([str(path)])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"settings": {"method": "ppo"}},
            r"arm 'x': settings hold 'method', a field of the arm: Arm\(..., method=...\)",
        ),
        ({"settings": {"regularizers": []}}, "settings hold 'regularizers', a field of the arm"),
        ({"settings": {"output_dir": "y"}}, "arm 'x' sets 'output_dir', which belongs to a single run"),
        (
            {"settings": {"threshold": 2}},
            r"arm 'x': 'threshold' is no field of a run: give it as method: \{name: fold, t",
        ),
        ({"settings": 3}, "arm 'x': settings=3 must map fields of a run to values"),
        ({"method": "fodl"}, "method='fodl' is not known: did you mean 'fold'"),
    ],
)
def test_what_an_arm_may_get_wrong_is_named(fields, message):
    with pytest.raises(ConfigError, match=message):
        Arm("x", "", **fields)


def test_every_arm_is_listed(capsys):
    assert cli.main(["arms"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in ARMS)


def test_a_study_of_a_users_own_arm_and_scenario_from_the_command_line(tmp_path, capsys):
    (tmp_path / "arm.py").write_text(OWN_ARM)
    (tmp_path / "loud.py").write_text(OWN_SCENARIO)
    changes = {"scenarios": [str(tmp_path / "loud.py")], "arms": ["ppo", str(tmp_path / "arm.py")], "seeds": [4]}
    out = tmp_path / "out"
    assert cli.main(["compare", str(stated(tmp_path, **changes)), "--out", str(out)]) == 0
    results = json.loads((out / "results.json").read_text())
    ((label, found),) = results["scenarios"].items()
    assert label.endswith("loud")
    assert list(found["arms"]) == ["ppo", "careful"]
    assert found["differences"]["careful"]["kl_untrained"]["n"] == 1
    assert "careful" in capsys.readouterr().out
    assert (out / "report.html").exists()


def made(numbers: dict[tuple[str, str], list[float]], baseline: str = "") -> tuple[list[dict], Study]:
    """Runs with given true rewards by scenario and arm, and their study; `clean` is its own control."""
    runs = [
        {
            "scenario": scenario,
            "arm": arm,
            "seed": seed,
            "folder": "",
            "measures": {"true_reward": x},
            "at_kl": {},
            "error": None,
        }
        for (scenario, arm), values in numbers.items()
        for seed, x in enumerate(values)
    ]
    arms = find_arms([*dict.fromkeys(arm for _, arm in numbers if arm != "untrained")])
    about = {scenario: {"control": "clean"} for scenario, _ in numbers}
    scenarios = {scenario: {} for scenario, _ in numbers}
    return runs, Study(scenarios, arms, [0, 1, 2], baseline=baseline or arms[0].name, about=about)


def test_differences_are_to_the_baseline_on_common_seeds_and_the_tax_is_what_the_control_lost():
    runs, study = made(
        {
            ("clean", "ppo"): [0.4, 0.5, 0.6],
            ("clean", "fold"): [0.3, 0.45, 0.5],
            ("clean", "oracle"): [0.5, 0.6],
            ("clean", "untrained"): [0.2, 0.2, 0.2],
        }
    )
    results = collect(runs, study)
    found = results["scenarios"]["clean"]["differences"]
    assert list(found) == ["fold", "oracle"]
    assert found["fold"]["true_reward"]["mean"] == pytest.approx(-0.25 / 3)
    assert found["oracle"]["true_reward"]["n"] == 2
    assert found["oracle"]["true_reward"]["p"] == pytest.approx(0.5)  # the same gain twice
    assert found["fold"]["true_reward"]["p_holm"] == pytest.approx(
        2 * found["fold"]["true_reward"]["p"]
    )  # of two tests
    tax = results["tax"]["clean"]["fold"]
    assert tax["mean"] == pytest.approx(0.25 / 3)
    assert tax["low"] == pytest.approx(-found["fold"]["true_reward"]["high"])
    assert tax["low"] < tax["mean"] < tax["high"]


def test_the_first_arm_is_the_baseline_unless_another_is_named():
    numbers = {("capped", "oracle"): [0.3], ("capped", "ppo"): [0.1]}
    results = collect(*made(numbers))
    assert results["baseline"] == results["study"]["baseline"] == "oracle"
    assert results["scenarios"]["capped"]["differences"]["ppo"]["true_reward"]["mean"] == pytest.approx(-0.2)
    assert results["tax"] == {}
    results = collect(*made(numbers, "ppo"))
    assert results["baseline"] == "ppo"
    assert results["scenarios"]["capped"]["differences"]["oracle"]["true_reward"]["mean"] == pytest.approx(0.2)


def test_the_tax_is_measured_in_the_controls_of_the_studys_scenarios():
    assert build_study(["capped", "clean"], ["ppo"], [0], {}).controls == ["clean"]
    assert build_study(["clean"], ["ppo"], [0], {}).controls == ["clean"]
    assert build_study(["capped"], ["ppo"], [0], {}).controls == []
    assert (
        build_study(["sentiment-cliff", "nietzsche-capped"], ["ppo"], [0], {}).about["sentiment-cliff"]["control"]
        is None
    )
    with pytest.raises(ConfigError, match="control=3 must be the name of a scenario"):
        replace(find_scenario("capped"), control=3)


def test_a_study_of_two_scenarios_resumes_run_by_run(tmp_path, monkeypatch):
    study = build_study(["capped", "clean"], ["ppo"], [0], {**SHORT, "use_cpu": True})
    told: list[str] = []
    results = compare(study, tmp_path, announce=told.append)
    assert [run["folder"] for run in results["runs"]] == [
        *("capped/untrained-seed0", "capped/ppo-seed0", "clean/untrained-seed0", "clean/ppo-seed0")
    ]
    measures = results["runs"][1]["measures"]
    assert {"hack_count", "distinct_1", "distinct_2", "untrained_perplexity", "frontier_area"} <= set(measures)
    assert "frontier_area" not in results["runs"][0]["measures"]  # the untrained model has no steps
    assert len(list((tmp_path / "capped" / "ppo-seed0" / "checkpoints").iterdir())) == 1  # though a run alone keeps two
    trained = []
    plain = GAATrainer.training_step
    monkeypatch.setattr(GAATrainer, "training_step", lambda self: trained.append(self.args.output_dir) or plain(self))
    assert compare(study, tmp_path) == results
    assert trained == []
    shutil.rmtree(tmp_path / "clean" / "ppo-seed0")
    again = compare(study, tmp_path)
    assert trained == [str(tmp_path / "clean" / "ppo-seed0")] * 2
    for run, other in zip(again["runs"], results["runs"], strict=True):
        assert run["measures"] | {"seconds_per_step": 0} == other["measures"] | {"seconds_per_step": 0}


def test_an_arm_that_changed_is_refused_before_anything_is_run(tmp_path, capsys):
    """Else its numbers would be overwritten by errors; with --overwrite they are made again."""
    arms = ["ppo", {"name": "soft", "base": "ppo", "kl_coef": 0.5}]
    words = ["compare", str(stated(tmp_path, scenarios=["capped"], arms=arms, seeds=[0])), "--out", str(tmp_path / "o")]
    assert cli.main(words) == 0
    before = (tmp_path / "o" / "results.json").read_bytes()
    arms[1]["kl_coef"] = 0.7
    stated(tmp_path, scenarios=["capped"], arms=arms, seeds=[0])
    assert cli.main(words) == 2
    message = capsys.readouterr().err
    assert "holds the run capped, soft, seed 0 under other settings: use another --out, or --overwrite" in message
    assert "kl_coef: 0.5 there, 0.7 now" in message
    assert (tmp_path / "o" / "results.json").read_bytes() == before
    assert cli.main([*words, "--overwrite"]) == 0
    assert (tmp_path / "o" / "results.json").read_bytes() != before


def test_a_study_without_a_scenario_is_called_custom():
    study = study_of_settings({"prompts": ["a"], "output_dir": "x"}, ["ppo"], [0])
    assert list(study.scenarios) == ["custom"]
    assert "output_dir" not in study.record()["settings"]


def test_runs_are_told_apart_by_all_that_determines_them(tmp_path):
    """The same run has the same id wherever it lies, another seed, scenario or setting another."""

    def run(folder, scenario="capped", arms=("ppo",), **settings):
        study = build_study([scenario], list(arms), [0], {**SHORT, "use_cpu": True, **settings})
        compare(study, tmp_path / folder)
        table = pq.read_table(tmp_path / folder / "runs.parquet").to_pylist()
        assert [row["error"] for row in table] == [None] * len(table)
        return {row["arm"]: row["id"] for row in table}

    first = run("a")
    assert run("b", save_steps=1) == first
    assert len(first["ppo"]) == 12
    others = [run("c", "clean")["ppo"], run("d", kl_coef=0.7)["ppo"], run("e", max_steps=1)["ppo"], first["untrained"]]
    others += [run("f", arms=["fold"])["fold"], run("g", advantages={"lam": 0.5})["ppo"]]
    assert len({first["ppo"], *others}) == 7


def test_where_a_run_stood_at_equal_kl_is_kept_but_not_where_its_reference_moved(tmp_path):
    arms = ["ppo", {"name": "resets", "method": "ppo", "regularizers": [{"name": "reference-resets", "steps": 1}]}]
    settings = {**SHORT, "use_cpu": True, "learning_rate": 1e-3, "max_steps": 6}
    results = compare(build_study(["capped"], arms, [0], settings), tmp_path)
    _, ppo, resets = results["runs"]
    assert "0.02" in ppo["at_kl"]
    assert resets["at_kl"] == {}
    assert list(results["scenarios"]["capped"]["frontier"]["0.02"]) == ["ppo"]


def test_untrained_is_another_run_than_any_arm(tmp_path):
    """Also than one by the default method, which takes no option to name."""
    study = build_study(["capped"], ["ppo", "fold", "gaa-text"], [0], {**SHORT, "max_steps": 1, "use_cpu": True})
    runs = compare(study, tmp_path)["runs"]
    assert [run["error"] for run in runs] == [None] * 4
    assert len({run["id"] for run in runs}) == 4


def test_where_a_users_file_lies_does_not_tell_runs_apart_but_what_it_holds_does(tmp_path, monkeypatch, capsys):
    """`mine.py` and `./mine.py` are one scenario, one arm and one method."""
    monkeypatch.chdir(tmp_path)
    Path("loud.py").write_text(OWN_SCENARIO)
    Path("halved.py").write_text(OWN_METHOD)
    settings = [f"--{key}={json.dumps(value)}" for key, value in {**SHORT, "use_cpu": True, "max_steps": 1}.items()]
    train = ["train", *settings, "--output_dir", "run"]
    for spelled in ("", "./", f"{tmp_path}/"):
        assert cli.main([*train, "--scenario", f"{spelled}loud.py", "--method", f"{spelled}halved.py"]) == 0
        assert cli.main([*train, "--scenario", f"{spelled}loud.py:loud", "--method", f"{spelled}halved.py:Halved"]) == 0
    record = json.loads(Path("run/run.json").read_text())
    assert record["config"]["method"].keys() == {"name", "factor", "code"}
    Path("halved.py").write_text(OWN_METHOD.replace("0.5", "0.25"))
    capsys.readouterr()
    assert cli.main([*train, "--scenario", "loud.py", "--method", "halved.py"]) == 2
    assert "method: {'name': 'halved', 'factor': 0.5" in capsys.readouterr().err


def test_an_arm_by_a_users_method_runs_in_another_process(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("halved.py").write_text(OWN_METHOD)
    arms = ["ppo", {"name": "halved", "method": {"name": "./halved.py", "factor": 0.25}}]
    study = build_study(["capped"], arms, [0], {**SHORT, "max_steps": 1, "use_cpu": True})
    results = compare(study, tmp_path / "out", jobs=2)
    assert [run["error"] for run in results["runs"]] == [None] * 3
    record = json.loads((tmp_path / "out" / "capped" / "halved-seed0" / "run.json").read_text())
    assert (record["config"]["method"]["name"], record["config"]["method"]["factor"]) == ("halved", 0.25)
