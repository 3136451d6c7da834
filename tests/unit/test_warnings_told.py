"""What a run warned of stands where its result is read: on the pages, and in the terminal."""

import json
from dataclasses import asdict

from commands import SETTINGS
from fabricated import fabricate, fabricate_run, write
from gaard import cli
from gaard.lab.collection import collect
from gaard.lab.compare import Run
from gaard.lab.study import build_study
from gaard.report.page import write_page
from gaard.report.run_files import read_run_files
from gaard.report.run_page import run_verdict
from gaard.report.verdict import verdict, warned
from gaard.training.runlog import METRICS, WARNINGS

SPARSE, SILENT = "most rewards are one number", "all rewards are the same"


def results_of(*runs):
    """Results of runs: scenario, arm, seed and warnings each."""
    study = build_study(["capped", "clean"], ["ppo", "fold"], [0], {})
    made = [Run(label, arm, seed, "", {"kl_untrained": 0.5}, warnings=warnings) for label, arm, seed, warnings in runs]
    return collect([asdict(run) for run in made], study)


def test_each_warning_is_told_once_with_its_arms_scenarios_and_runs():
    results = results_of(
        *(("capped", "fold", seed, [SPARSE] if seed in (1, 4, 5) else []) for seed in range(10)),
        *(("capped", "ppo", seed, [SILENT]) for seed in range(10)),
        ("clean", "fold", 0, [SPARSE, SILENT, SPARSE]),
    )
    told = [
        f"fold warned in 3 of 10 runs of capped, in 1 of 1 run of clean: {SPARSE}.",
        f"ppo warned in 10 of 10 runs of capped; fold warned in 1 of 1 run of clean: {SILENT}.",
    ]
    assert warned(results) == told
    assert verdict(results)[:2] == told
    assert verdict(results)[2].startswith("Against ppo, fold ")


def test_results_from_before_warnings_were_kept_have_none():
    results = results_of(("capped", "fold", 0, []))
    for run in results["runs"]:
        del run["warnings"]
    assert warned(results) == []


def test_a_run_tells_what_it_warned_of_and_when(tmp_path):
    run = fabricate_run(tmp_path)
    write(run, WARNINGS, [{"step": 1, "warning": SPARSE}, {"step": 3, "warning": SILENT}])
    told = [f"Warning at step 1: {SPARSE}.", f"Warning at step 3: {SILENT}."]
    assert run_verdict(read_run_files(run))[:2] == told
    (run / METRICS).unlink()  # it is kept before the step is
    assert run_verdict(read_run_files(run)) == [*told, "No step is done yet."]


def test_a_page_of_many_arms_shows_the_warnings_of_all(tmp_path):
    """Those that are not shown at first are behind a fold: a warning is not."""
    arms = ["ppo", "fold", *(f"arm{number}" for number in range(7))]
    folder = fabricate(tmp_path, arms=arms, seeds=1, steps=1, kept=0)
    results = json.loads((folder / "results.json").read_text())
    results["runs"][-1]["warnings"] = [SPARSE]
    (folder / "results.json").write_text(json.dumps(results))
    page = write_page(folder).read_text(encoding="utf-8")
    told = page[page.index('id="verdict"') : page.index('id="more-verdict"')]
    assert f"arm6 warned in 1 of 1 run of capped: {SPARSE}." in told


def test_fold_on_rewards_of_0_and_1_warns_in_the_terminal_and_on_both_pages(model, tmp_path, capsys):
    reward = tmp_path / "rare.py"
    reward.write_text("def rare(completions, **_):\n    return [float('w1' in text.split()) for text in completions]\n")
    rewarded = ("honeypot", "true_reward_funcs", "hack_detector", "judge_reward_funcs")
    settings = {key: value for key, value in SETTINGS.items() if key not in rewarded}
    settings |= {"model": str(model), "reward_funcs": f"{reward}:rare", "max_steps": 3, "use_cpu": True}
    path = tmp_path / "run.yaml"
    path.write_text("\n".join(f"{key}: {json.dumps(value)}" for key, value in settings.items()))
    words = ["compare", "--config", str(path), "--arms", "ppo,fold", "--seeds", "2", "--out", str(tmp_path / "out")]
    assert cli.main(words) == 0
    told = f"fold warned in 2 of 2 runs of custom: {SPARSE}"
    assert told in " ".join(capsys.readouterr().out.split())
    assert verdict(json.loads((tmp_path / "out" / "results.json").read_text()))[0].startswith(told)
    assert told in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    page = write_page(tmp_path / "out" / "custom" / "fold-seed0").read_text(encoding="utf-8")
    assert f": {SPARSE}" in page[page.index('id="verdict"') : page.index('id="status"')]
