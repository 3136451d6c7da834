"""A comparison from the command line: what it leaves, and how it goes on."""

import json
import shutil
from argparse import Namespace

import pytest

from commands import SETTINGS, refused
from gaard import cli
from gaard.commands.compare import _study_of_options
from gaard.lab.arms import RECOMMENDED_ARM
from gaard.training.trainer import GAATrainer

MEASURES = ("hack_rate", "true_reward", "proxy_reward", "kl_untrained", "entropy", "frontier_area", "seconds_per_step")


@pytest.fixture(scope="module")
def comparison(model, tmp_path_factory):
    """The words of a comparison that has been run, its folder and its exit status."""
    folder = tmp_path_factory.mktemp("comparison")
    path = folder / "run.yaml"
    path.write_text("\n".join(f"{k}: {json.dumps(v)}" for k, v in (SETTINGS | {"model": str(model)}).items()))
    words = ["compare", "--config", str(path), "--arms", "ppo,gaa-text", "--seeds", "2", "--out", str(folder / "out")]
    return words, folder / "out", cli.main(words)


def test_a_comparison_leaves_its_results(comparison):
    _, folder, status = comparison
    assert status == 0
    results = json.loads((folder / "results.json").read_text())
    assert {"scenarios", "baseline", "tax", "standings", "verdicts", "runs", "study"} == set(results)
    assert results["standings"] == []  # no arm is honest training
    arms = results["scenarios"]["custom"]["arms"]
    assert list(arms) == ["ppo", "gaa-text"]
    for measures in arms.values():
        assert set(MEASURES) <= set(measures)
        for name in MEASURES:
            assert set(measures[name]) == {"mean", "low", "high", "n", "iqm"}
            assert measures[name]["low"] <= measures[name]["mean"] <= measures[name]["high"]
            assert measures[name]["n"] == 2
    assert results["study"]["settings"]["honeypot"] == SETTINGS["honeypot"]
    runs = {(run["arm"], run["seed"]) for run in results["runs"]}
    assert runs == {(arm, seed) for arm in ("ppo", "gaa-text", "untrained") for seed in (0, 1)}
    assert all((folder / run["folder"] / "run.json").exists() for run in results["runs"])


def test_a_comparisons_means_are_those_of_its_runs(comparison):
    """Two seeds: mean ± 12.7062·|x−y|/2, Student's t with one degree of freedom."""
    _, folder, _ = comparison
    arms = json.loads((folder / "results.json").read_text())["scenarios"]["custom"]["arms"]
    for arm in ("ppo", "gaa-text"):
        folders = [folder / "custom" / f"{arm}-seed{seed}" for seed in (0, 1)]
        runs = [json.loads((run / "evaluation.json").read_text()) for run in folders]
        for name in ("true_reward", "kl_untrained", "entropy", "proxy_reward", "hack_rate"):
            x, y = (run[name] for run in runs)
            measure = arms[arm][name]
            assert measure["mean"] == pytest.approx((x + y) / 2)
            if name in ("true_reward", "proxy_reward"):
                assert measure["high"] == pytest.approx((x + y) / 2 + 12.7062 * abs(x - y) / 2, rel=1e-5)
        times = [(run / "timings.jsonl").read_text().splitlines() for run in folders]
        after_the_first = [[json.loads(line)["seconds"] for line in lines[1:]] for lines in times]
        medians = [sum(seconds) / 2 for seconds in after_the_first]  # two steps are left: the median is their mean
        assert arms[arm]["seconds_per_step"]["mean"] == pytest.approx(sum(medians) / 2)


def test_a_comparison_run_again_does_nothing_twice(comparison, monkeypatch, capsys):
    words, folder, _ = comparison
    before = (folder / "results.json").read_bytes()

    def fail(*args, **kwargs):
        raise AssertionError("done again")

    monkeypatch.setattr(GAATrainer, "training_step", fail)
    monkeypatch.setattr(GAATrainer, "evaluate", fail)
    assert cli.main(words) == 0
    assert (folder / "results.json").read_bytes() == before
    shown = capsys.readouterr().out
    measure = json.loads(before)["scenarios"]["custom"]["arms"]["gaa-text"]["entropy"]
    assert f"{measure['mean']:.3f}" in shown
    assert f"[{measure['low']:.2f}, {measure['high']:.2f}]" in shown  # nor are the numbers
    assert all(word in shown for word in ("ppo", "gaa-text", "untrained", "seconds_per_step"))
    assert f"results: {folder / 'results.json'}" in shown  # not broken
    assert f"page: {folder / 'report.html'}" in shown


def test_a_run_that_fails_is_named_and_the_others_count(comparison, tmp_path, capsys):
    words, finished, _ = comparison
    folder = tmp_path / "out"
    shutil.copytree(finished, folder)
    path = folder / "custom" / "gaa-text-seed1" / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"prompts": "others"}))
    assert cli.main([*words[:-1], str(folder)]) == 1
    assert "gaard: custom, gaa-text seed 1 failed: CheckpointError: " in capsys.readouterr().err
    results = json.loads((folder / "results.json").read_text())
    assert [(run["arm"], run["seed"]) for run in results["runs"] if run["error"]] == [("gaa-text", 1)]
    arms = results["scenarios"]["custom"]["arms"]
    assert arms["ppo"]["kl_untrained"]["n"] == 2
    alone = json.loads((folder / "custom" / "gaa-text-seed0" / "evaluation.json").read_text())
    iqm = {"mean": alone["kl_untrained"], "low": None, "high": None}
    assert arms["gaa-text"]["kl_untrained"] == {**iqm, "n": 1, "iqm": iqm}


def test_a_defect_names_the_file_that_has_its_trace(comparison, tmp_path, capsys, monkeypatch):
    words, finished, _ = comparison
    folder = tmp_path / "out"
    shutil.copytree(finished, folder)

    def fail(trainer):
        raise ZeroDivisionError("no luck")

    command = [*words[:-1], str(folder)]
    with monkeypatch.context() as patched:
        patched.setattr(GAATrainer, "train", lambda trainer: "gaa" in trainer.args.output_dir and fail(trainer))
        assert cli.main(command) == 1
    trace = folder / "custom" / "gaa-text-seed1" / "error.txt"
    assert f"seed 1 failed: ZeroDivisionError: no luck (more in {trace})" in capsys.readouterr().err
    assert "in fail" in trace.read_text()
    path = trace.parent / "run.json"
    kept = path.read_text()
    path.write_text(json.dumps(json.loads(kept) | {"prompts": "others"}))
    assert cli.main(command) == 1  # now it says what is wrong, and the trace of the other error is gone
    assert "more in" not in capsys.readouterr().err
    path.write_text(kept)
    assert cli.main(command) == 0


def test_runs_that_the_results_will_no_longer_tell_are_named(comparison, tmp_path, capsys):
    """By another command in the same folder; one that only adds loses nothing, nor does the first after it."""
    words, finished, _ = comparison
    folder = tmp_path / "out"
    shutil.copytree(finished, folder)
    fewer = [*words[:-1], str(folder)]
    fewer[fewer.index("ppo,gaa-text")] = "ppo"
    assert cli.main(fewer) == 0
    told = "runs of an earlier command that the results and the page will no longer tell: 2 of gaa-text. Their folders"
    assert told in capsys.readouterr().err
    one_seed = [*fewer]
    one_seed[one_seed.index("--seeds") + 1] = "1"
    assert cli.main(one_seed) == 0
    told = capsys.readouterr().err
    assert "no longer tell: 1 of untrained in other scenarios or with other seeds, 1 of ppo in other" in told
    assert cli.main([*words[:-1], str(folder)]) == 0
    assert "no longer tell" not in capsys.readouterr().err
    results = json.loads((folder / "results.json").read_text())
    assert {run["arm"] for run in results["runs"]} == {"ppo", "gaa-text", "untrained"}
    (folder / "results.json").write_text("{")
    assert cli.main(fewer) == 0  # torn: nothing is known of what it told
    assert "no longer tell" not in capsys.readouterr().err


def test_each_arm_of_a_comparison_is_a_run_of_its_own(comparison):
    """An arm that looks at greedy tokens logs them, one that does not, does not; no two runs are one."""
    _, folder, _ = comparison
    runs = json.loads((folder / "results.json").read_text())["runs"]
    assert len({run["id"] for run in runs}) == len(runs)
    for run in runs:
        config = json.loads((folder / run["folder"] / "run.json").read_text())["config"]
        assert config["method"]["name"] == {"gaa-text": "gaa"}.get(run["arm"], "ppo")
        if run["arm"] != "untrained":
            rows = [json.loads(line) for line in (folder / run["folder"] / "metrics.jsonl").read_text().splitlines()]
            assert all(("sigma" in row) == (run["arm"] == "gaa-text") for row in rows)


COMPARE = ["compare", "--scenario", "capped", "--arms", "ppo,fold"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--method", "fold"],
            "method='fold' is given to every run, and each arm states its whole method: take it out",
        ),
        (
            ["--method", "fold", "--method.threshold", "2"],
            "--method.threshold is given to every run, and each arm states its whole method: take it out",
        ),
        (["--method.threshold", "2"], "--method.threshold is given to every run, and each arm states its whole method"),
        (
            ["--regularizers", "[sam]"],
            "regularizers=['sam'] is given to every run, and each arm states its whole method",
        ),
        (["--config", "run.yaml"], "method='fold' is given to every run"),
    ],
)
def test_a_comparison_cannot_be_given_a_method(words, message, capsys, tmp_path, monkeypatch):
    """Else the baseline would be trained by what it is held against."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.yaml").write_text("method: fold\n")
    assert message in refused([*COMPARE, *words, "--out", "out"], capsys)
    assert not (tmp_path / "out").exists()


def test_a_comparison_has_one_folder(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    message = refused([*COMPARE, "--out", "c1", "--output_dir", "c2"], capsys)
    assert message == "gaard: --out c1 and output_dir='c2' are two folders for one study: leave one out"
    assert not list(tmp_path.iterdir())


def test_what_is_compared_by_default_is_the_safeguard_to_try_first(capsys):
    study, _ = _study_of_options(Namespace(arms=None, seeds=1, baseline=None, out=None, config=None, scenario="capped"))
    assert [arm.name for arm in study.arms] == ["ppo", RECOMMENDED_ARM]
    with pytest.raises(SystemExit):
        cli.main(["compare", "--help"])
    assert f"default: ppo,{RECOMMENDED_ARM}" in " ".join(capsys.readouterr().out.split())


def test_nothing_beside_a_studys_file(tmp_path, capsys):
    for words, name in ((["--arms", ""], "arms"), (["--seeds", "2"], "seeds"), (["--baseline", "ppo"], "baseline")):
        message = refused(["compare", "study.yaml", *words], capsys)
        assert message == f"gaard: --{name} is given beside study.yaml: write it into the study's file"
    assert "--kl_coef is given beside study.yaml" in refused(["compare", "study.yaml", "--kl_coef", "1"], capsys)


def test_what_stops_the_first_run_stops_the_comparison(model, tmp_path, capsys):
    (tmp_path / "reward.py").write_text("def score(completions):\n    return [float('nan')] * len(completions)\n")
    settings = SETTINGS | {"model": str(model), "reward_funcs": [f"{tmp_path}/reward.py:score"], "honeypot": None}
    (tmp_path / "run.yaml").write_text("\n".join(f"{k}: {json.dumps(v)}" for k, v in settings.items()))
    words = ["compare", "--config", str(tmp_path / "run.yaml"), "--arms", "ppo", "--seeds", "1"]
    assert cli.main([*words, "--out", str(tmp_path / "out")]) == 2
    assert "gaard: reward function 'score' returned nan" in capsys.readouterr().err
    assert json.loads((tmp_path / "out" / "results.json").read_text())["runs"] == []


def test_results_of_other_settings_are_not_overwritten(comparison, tmp_path, capsys):
    words, finished, _ = comparison
    folder = tmp_path / "out"
    shutil.copytree(finished, folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert cli.main([*words[:-1], str(folder), "--learning_rate", "0.5"]) == 2
    message = capsys.readouterr().err
    assert "holds the run custom, untrained, seed 0 under other settings" in message
    assert "learning_rate: " in message
    assert "0.5 now" in message
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_more_seeds_may_join_a_comparison(comparison, tmp_path):
    words, finished, _ = comparison
    folder = tmp_path / "out"
    shutil.copytree(finished, folder)
    at = words.index("--seeds") + 1
    assert cli.main([*words[:at], "3", *words[at + 1 : -1], str(folder)]) == 0
    results = json.loads((folder / "results.json").read_text())
    assert results["scenarios"]["custom"]["arms"]["gaa-text"]["kl_untrained"]["n"] == 3
    earlier = json.loads((finished / "results.json").read_text())["runs"]
    assert results["runs"][: len(earlier)] == earlier
