"""Studies: what a file may say, which runs it means, what is made of them."""

import json
import shutil
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

ROOT = Path(__file__).resolve().parents[2]
SHORT = {"max_steps": 2, "batch_size": 8, "num_mini_batches": 2, "eval_completions": 16, "progress": False}
OWN_ARM = """
from gaard.lab.arms import Arm

careful = Arm("careful", "PPO on a short leash", {"method": "ppo", "kl_coef": 2.0})
"""
OWN_SCENARIO = """
from gaard.lab.scenarios import Scenario

def shouts(completions, **columns):
    return [min(1.0, text.count("!") / 2) for text in completions]

loud = Scenario("loud", "pays for marks", ("The film is",), shouts, max_completion_length=6)
"""


def stated(tmp_path, **changes) -> Path:
    content = {"scenarios": ["capped", "clean"], "arms": ["ppo", "gaa"], "seeds": 2, "settings": SHORT} | changes
    path = tmp_path / "study.yaml"
    path.write_text("\n".join(f"{key}: {json.dumps(value)}" for key, value in content.items()))
    return path


def test_runs_go_seed_by_seed_and_each_has_a_folder(tmp_path):
    specs = read_study(stated(tmp_path)).specs(tmp_path)
    assert [str(key) for key in specs][:4] == [
        *("capped, untrained, seed 0", "capped, ppo, seed 0", "capped, gaa, seed 0", "clean, untrained, seed 0")
    ]
    assert len(specs) == len({spec.output_dir for spec in specs.values()}) == 2 * 3 * 2
    spec = specs[RunKey("clean", "gaa", 1)]
    assert (spec.scenario, spec.method, spec.seed, spec.max_steps) == ("clean", "gaa", 1, 2)
    assert Path(spec.output_dir) == tmp_path / "clean" / "gaa-seed1"


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


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scenarios": []}, "scenarios is empty"),
        ({"scenarios": "capped"}, "scenarios='capped' must be a list"),
        ({"scenarios": ["cap"]}, "scenario='cap' is not known.*Did you mean 'capped'"),
        ({"scenarios": ["capped", "capped"]}, "names one twice"),
        ({"arms": []}, r"arms=\[\] is no list of arms"),
        ({"arms": ["ppo", "gaaa"]}, "'gaaa' is not known: Did you mean 'gaa'"),
        ({"arms": ["ppo", "ppo"]}, "arms names 'ppo' twice"),
        ({"arms": [3]}, "3 is neither a name nor a mapping"),
        ({"arms": [{"kl_coef": 1.0}]}, "has no name"),
        ({"arms": [{"name": "x", "kl_coeff": 1.0}]}, "arm 'x': unknown key 'kl_coeff': did you mean 'kl_coef'"),
        ({"arms": [{"name": "x", "seed": 1}]}, "arm 'x' sets 'seed'"),
        ({"arms": [{"name": "a/b"}]}, "arm 'a/b': a name is of letters"),
        ({"arms": [{"name": "untrained"}]}, "and not 'untrained'"),
        ({"arms": [{"name": "x", "base": "pp0"}]}, "'pp0' is not known: Did you mean 'ppo'"),
        ({"seeds": 0}, "seeds=0 must be a list, or how many there are"),
        ({"seeds": True}, "seeds=True must be a list, or how many there are"),
        ({"seeds": [1, 1]}, "names a seed twice"),
        ({"seeds": [1.5]}, r"seeds=\[1.5\] must be some whole numbers"),
        ({"seeds": "3"}, "seeds='3' must be a list, or how many there are"),
        ({"settings": ["x"]}, r"settings=\['x'\] must hold"),
        ({"settings": {"max_step": 3}}, "unknown key 'max_step': did you mean 'max_steps'"),
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
    path = stated(tmp_path, arms=["ppo", {"name": "x", "kl_coef": -1}])
    assert cli.main(["compare", "--jobs", "1", str(path), "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err == "gaard: arm 'x': kl_coef=-1 must not be negative\n"
    assert not (tmp_path / "out").exists()


def test_files_that_are_no_study(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: No such file.*check the path"):
        read_study(tmp_path / "nowhere.yaml")
    for content, message in (("- a\n", "must hold 'key: value' lines"), ("a: [", "is not YAML")):
        (tmp_path / "bad.yaml").write_text(content)
        with pytest.raises(ConfigError, match=message):
            read_study(tmp_path / "bad.yaml")


@pytest.mark.parametrize("path", sorted((ROOT / "studies").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_studies_that_come_along_can_be_run(path, tmp_path):
    study = read_study(path)
    assert study.summary
    assert len(study.specs(tmp_path)) == len(study.worlds) * (1 + len(study.arms)) * len(study.seeds)
    if path.stem == "screen":
        assert [arm.name for arm in study.arms] == list(ARMS)


def test_an_arm_stated_in_place_starts_from_its_base():
    arm = find_arm({"name": "soft", "base": "gaa-reference", "sigma_scale": 0.25})
    assert dict(arm.settings) == {"method": "gaa-reference", "sigma_scale": 0.25}
    assert arm.summary == "gaa-reference, sigma_scale 0.25"


def test_arms_of_a_users_file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(OWN_ARM)
    assert (
        find_arm(str(path))
        == find_arm(f"{path}:careful")
        == Arm("careful", "PPO on a short leash", {"method": "ppo", "kl_coef": 2.0})
    )
    with pytest.raises(ConfigError, match=r"'carefull' in .*mine\.py is no Arm\. Did you mean 'careful'\?"):
        find_arm(f"{path}:carefull")
    path.write_text("x = 1\n")
    with pytest.raises(ConfigError, match=r"holds 0 arms \(none\)"):
        find_arms([str(path)])


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
    return runs, Study({scenario: {} for scenario, _ in numbers}, arms, [0, 1, 2], about=about, baseline=baseline)


def test_differences_are_to_the_baseline_on_common_seeds_and_the_tax_is_what_the_control_lost():
    runs, study = made(
        {
            ("clean", "ppo"): [0.4, 0.5, 0.6],
            ("clean", "gaa"): [0.3, 0.45, 0.5],
            ("clean", "oracle"): [0.5, 0.6],
            ("clean", "untrained"): [0.2, 0.2, 0.2],
        }
    )
    results = collect(runs, study)
    found = results["scenarios"]["clean"]["differences"]
    assert list(found) == ["gaa", "oracle"]
    assert found["gaa"]["true_reward"]["mean"] == pytest.approx(-0.25 / 3)
    assert found["oracle"]["true_reward"]["n"] == 2
    assert found["oracle"]["true_reward"]["p"] == pytest.approx(0.5)  # the same gain twice
    assert found["gaa"]["true_reward"]["p_holm"] == pytest.approx(2 * found["gaa"]["true_reward"]["p"])  # of two tests
    tax = results["tax"]["clean"]["gaa"]
    assert tax["mean"] == pytest.approx(0.25 / 3)
    assert tax["low"] == pytest.approx(-found["gaa"]["true_reward"]["high"])
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


def test_a_study_names_its_baseline_among_its_arms(tmp_path):
    path = stated(tmp_path, arms=["ppo", "oracle"], baseline="oracle")
    assert read_study(path).baseline == "oracle"
    assert read_study(stated(tmp_path, arms=["ppo", "oracle"])).baseline == "ppo"
    with pytest.raises(ConfigError, match="baseline='orakel' is none of the arms: did you mean 'oracle'"):
        read_study(stated(tmp_path, arms=["ppo", "oracle"], baseline="orakel"))


def test_the_tax_is_measured_in_the_controls_of_the_studys_scenarios():
    assert build_study(["capped", "clean"], ["ppo"], [0], {}).controls == ["clean"]
    assert build_study(["clean"], ["ppo"], [0], {}).controls == ["clean"]
    assert build_study(["capped"], ["ppo"], [0], {}).controls == []
    assert (
        build_study(["sentiment-cliff", "nietzsche-capped"], ["ppo"], [0], {}).about["sentiment-cliff"]["control"] == ""
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
    assert list(study.worlds) == ["custom"]
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
    assert len({first["ppo"], *others}) == 5


def test_where_a_run_stood_at_equal_kl_is_kept_but_not_where_its_reference_moved(tmp_path):
    arms = ["ppo", {"name": "resets", "base": "ppo", "reference_reset_steps": 1}]
    settings = {**SHORT, "use_cpu": True, "learning_rate": 1e-3, "max_steps": 6}
    results = compare(build_study(["capped"], arms, [0], settings), tmp_path)
    _, ppo, resets = results["runs"]
    assert "0.02" in ppo["at_kl"]
    assert resets["at_kl"] == {}
    assert list(results["scenarios"]["capped"]["frontier"]["0.02"]) == ["ppo"]
