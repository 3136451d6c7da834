"""Studies that are run: what is made of them, what makes a run another, and how they go on."""

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from gaard import GAATrainer, cli
from gaard.errors import CheckpointError, ConfigError
from gaard.lab.agreement import check_agreement
from gaard.lab.collection import collect
from gaard.lab.compare import compare
from gaard.lab.given_arms import find_arms
from gaard.lab.study import RunKey, Study, build_study
from user_files import OWN_ARM, OWN_METHOD, OWN_SCENARIO, SHORT, stated


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


@pytest.mark.slow
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
    (kept,) = (tmp_path / "capped" / "ppo-seed0" / "checkpoints").iterdir()  # though a run alone keeps two
    assert not (kept / "optimizer.safetensors").exists()  # though that of a run alone has it
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


@pytest.mark.slow
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


def test_a_study_of_more_steps_is_another_study(tmp_path):
    """Its runs keep no optimizer to go on with."""
    compare(build_study(["capped"], ["ppo"], [0], {**SHORT, "use_cpu": True}), tmp_path)
    more = build_study(["capped"], ["ppo"], [0], {**SHORT, "use_cpu": True, "max_steps": 3})
    with pytest.raises(CheckpointError, match=r"other settings: use another --out(.|\n)*max_steps: 2 there, 3 now"):
        compare(more, tmp_path)


@pytest.mark.slow
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


@pytest.mark.slow
def test_where_a_run_stood_at_equal_kl_is_kept_but_not_where_its_reference_moved(tmp_path):
    arms = ["ppo", {"name": "resets", "method": "ppo", "regularizers": [{"name": "reference-resets", "steps": 1}]}]
    settings = {**SHORT, "use_cpu": True, "learning_rate": 1e-3, "max_steps": 6}
    results = compare(build_study(["capped"], arms, [0], settings), tmp_path)
    _, ppo, resets = results["runs"]
    assert "0.02" in ppo["at_kl"]
    assert resets["at_kl"] == {}
    assert list(results["scenarios"]["capped"]["frontier"]["0.02"]) == ["ppo"]


@pytest.mark.slow
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
    assert record["config"]["method"].keys() == {"name", "factor", "class", "code"}
    Path("halved.py").write_text(OWN_METHOD.replace("0.5", "0.25"))
    capsys.readouterr()
    assert cli.main([*train, "--scenario", "loud.py", "--method", "halved.py"]) == 2
    message = capsys.readouterr().err
    assert "What differs:\n  method.factor: 0.5 there, 0.25 now\n  the code of method 'halved' changed" in message


def test_a_study_goes_on_after_a_comment_and_not_by_another_reward(tmp_path, capsys):
    """What its reward does is what counts, not how it is written."""
    file, out = tmp_path / "loud.py", tmp_path / "out"
    file.write_text(OWN_SCENARIO)
    words = ["compare", str(stated(tmp_path, scenarios=[str(file)], arms=["ppo"], seeds=[0])), "--out", str(out)]
    assert cli.main(words) == 0
    trained = {path: path.read_bytes() for path in out.rglob("*.jsonl")}
    file.write_text(f'"""Mine."""\n# Marks are to be heard.\n\n{OWN_SCENARIO}')
    assert cli.main(words) == 0
    assert {path: path.read_bytes() for path in out.rglob("*.jsonl")} == trained
    file.write_text(OWN_SCENARIO.replace("/ 2", "/ 3"))
    capsys.readouterr()
    assert cli.main(words) == 2
    message = capsys.readouterr().err
    assert "under other settings: use another --out, or --overwrite to delete its runs. What differs:" in message
    assert message.rstrip().endswith("\n  the code of reward loud.py:shouts changed")


def test_the_code_of_a_reward_without_a_scenario_is_looked_at_first_too(tmp_path, capsys):
    file = tmp_path / "mine.py"
    file.write_text("def score(completions):\n    return [len(text) for text in completions]\n")
    settings = {**SHORT, "use_cpu": True, "max_steps": 1, "prompts": ["The film is"], "reward_funcs": f"{file}:score"}
    options = [f"--{key}={json.dumps(value)}" for key, value in settings.items()]
    words = ["compare", "--arms", "ppo", "--seeds", "1", *options, "--out", str(tmp_path / "out")]
    assert cli.main(words) == 0
    file.write_text("# Longer is better.\n" + file.read_text())
    assert cli.main(words) == 0
    file.write_text(file.read_text().replace("len(text)", "-len(text)"))
    capsys.readouterr()
    assert cli.main(words) == 2
    message = capsys.readouterr().err
    assert "holds the run custom, untrained, seed 0 under other settings: use another --out, or --overwrite" in message
    assert message.rstrip().endswith("What differs:\n  the code of reward mine.py:score changed")


def test_a_study_goes_on_where_some_arms_have_an_ensemble(tmp_path):
    """Their rewards are more than those of the other arms in the same scenario."""
    words = ["compare", str(stated(tmp_path, arms=["ppo", "ppo-ensemble-worst"], seeds=[0])), "--out", str(tmp_path)]
    assert cli.main(words) == 0
    assert cli.main(words) == 0


@pytest.mark.slow
def test_an_arm_by_a_users_method_runs_in_another_process(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("halved.py").write_text(OWN_METHOD)
    arms = ["ppo", {"name": "halved", "method": {"name": "./halved.py", "factor": 0.25}}]
    study = build_study(["capped"], arms, [0], {**SHORT, "max_steps": 1, "use_cpu": True})
    results = compare(study, tmp_path / "out", jobs=2)
    assert [run["error"] for run in results["runs"]] == [None] * 3
    record = json.loads((tmp_path / "out" / "capped" / "halved-seed0" / "run.json").read_text())
    assert (record["config"]["method"]["name"], record["config"]["method"]["factor"]) == ("halved", 0.25)


EDITED = OWN_SCENARIO.replace("/ 2", "/ 3")


def test_a_reward_that_is_edited_meanwhile_does_not_join_the_one_before(tmp_path):
    """Else one seed would have the old reward and the next one the new, in one table."""
    (tmp_path / "loud.py").write_text(OWN_SCENARIO)
    study = build_study([str(tmp_path / "loud.py")], ["ppo"], [0, 1], {**SHORT, "max_steps": 1, "use_cpu": True})

    def edit(text):
        if text.startswith("run 3/4"):
            (tmp_path / "loud.py").write_text(EDITED)

    runs = compare(study, tmp_path / "out", announce=edit)["runs"]
    assert [run["error"] is None for run in runs] == [True, True, False, False]
    assert "seed 1 differs from the first run of the scenario" in runs[3]["error"]
    assert runs[3]["error"].endswith("What differs:\n  the code of reward loud.py:shouts changed")
    assert runs[3]["measures"] == {}
    assert not (tmp_path / "out" / runs[3]["folder"] / "run.json").exists()
    (tmp_path / "loud.py").write_text(OWN_SCENARIO)  # put back, the study goes on
    assert [run["error"] for run in compare(study, tmp_path / "out")["runs"]] == [None] * 4


def test_runs_of_a_scenario_share_model_rewards_and_prompts_and_those_of_an_arm_its_method():
    first = {"algorithm": 1, "model_sha256": "a", "rewards": {"proxy": "x"}, "prompts": "p"}
    first["model_setup"] = {"config": "c", "value_head": "0"}
    method = {"name": "halved", "factor": 0.5, "code": "1"}
    record = {**first, "config": {"method": method, "regularizers": []}}
    known: dict = {}
    check_agreement(known, RunKey("loud", "halved", 0), record)
    other_seed = {**record, "model_setup": {"config": "c", "value_head": "1"}}
    check_agreement(known, RunKey("loud", "halved", 1), other_seed)
    check_agreement(known, RunKey("quiet", "halved", 0), {**record, "rewards": {"proxy": "y"}})
    other_facts = {"algorithm": 2, "model_sha256": "b", "rewards": {"proxy": "y"}, "prompts": "q"}
    other_facts["model_setup"] = {**first["model_setup"], "config": "d"}
    for key, value in other_facts.items():
        line = "reward_funcs: x there, y now" if key == "rewards" else key
        with pytest.raises(ConfigError, match=f"seed 1 differs from the first run of the scenario 'loud'.*\n  {line}"):
            check_agreement(known, RunKey("loud", "halved", 1), {**record, key: value})
    for key, value in {"method": {**method, "code": "2"}, "regularizers": [{"name": "sam"}]}.items():
        other = {**record, "config": {**record["config"], key: value}}
        line = {"method": "the code of method 'halved' changed", "regularizers": "regularizers: "}[key]
        with pytest.raises(ConfigError, match=f"seed 1 differs from the first run of the arm 'halved'.*\n  {line}"):
            check_agreement(known, RunKey("quiet", "halved", 1), {**other, "rewards": {"proxy": "y"}})


@pytest.mark.slow
def test_a_reward_that_is_edited_before_another_process_reads_it_does_not_join(tmp_path):
    """Of runs side by side the record that each left is compared when it ends."""
    for name in ("loud", "calm"):
        (tmp_path / f"{name}.py").write_text(OWN_SCENARIO)
    scenarios = [str(tmp_path / "loud.py"), str(tmp_path / "calm.py")]
    study = build_study(scenarios, ["ppo"], [0, 1], {**SHORT, "max_steps": 1, "use_cpu": True})
    edited = []

    def edit(text):
        if "calm" in text and text.endswith("done") and not edited:
            edited.append((tmp_path / "calm.py").write_text(EDITED))

    results = compare(study, tmp_path / "out", jobs=2, announce=edit)
    records = [json.loads(path.read_text()) for path in (tmp_path / "out").rglob("run.json")]
    errors = [run["error"] for run in results["runs"] if "calm" in run["scenario"] and run["error"]]
    assert errors
    assert all("differs from the first run of the scenario" in error for error in errors)
    assert len(records) >= 5
