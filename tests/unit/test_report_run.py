"""The page of one run: what it says, its alarm, its facts, and how it follows a training."""

import json
import os
import re
import shlex
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
import yaml

from fabricated import fabricate, fabricate_run, metrics, write
from gaard import cli
from gaard.arguments import add_settings, given_settings, plain_parser
from gaard.errors import ConfigError
from gaard.finder.words import HEADINGS
from gaard.lab.spec import RunSpec
from gaard.lab.study import OWN_SCENARIO, RunKey, read_study
from gaard.report import page as pages
from gaard.report.facts import run_facts, study_command, study_facts, train_command
from gaard.report.page import watch_page, write_page
from gaard.report.parting import first_parting, parting
from gaard.report.run_files import moment, read_run_files
from gaard.report.run_page import run_document, run_verdict
from gaard.report.study_files import read_study_files
from gaard.report.suspects import find_suspects
from gaard.report.texts import browsable
from gaard.training.checkpoint import disk_error
from gaard.training.lock import is_locked, lock_folder, unlock_folder
from gaard.training.runlog import EVALUATION, METRICS, SAMPLES


def steps_of(proxy, truth, noise=0.01):
    """The metrics of a run with these means and a little noise."""
    rng = np.random.default_rng(0)
    pairs = zip(proxy, truth, strict=True)
    noisy = ((x + rng.normal(0, noise), y + rng.normal(0, noise)) for x, y in pairs)
    return [{"step": i, "reward": x, "true_reward": y} for i, (x, y) in enumerate(noisy, 1)]


RISING, FALLING = np.linspace(0.3, 0.9, 80), np.linspace(0.5, 0.3, 80)
UP_AND_DOWN = np.concatenate([np.linspace(0.3, 0.4, 20), np.linspace(0.4, 0.3, 60)])


def test_proxy_and_truth_part_where_one_rises_and_the_other_has_fallen():
    found = parting(steps_of(RISING, UP_AND_DOWN))
    assert found is not None
    assert found.step == pytest.approx(24, abs=4)  # the last step of the window around step 20
    assert found.proxy == pytest.approx((RISING[:8].mean(), RISING[-8:].mean()), abs=0.02)
    assert found.truth == pytest.approx((0.39, UP_AND_DOWN[-8:].mean()), abs=0.02)
    assert (
        "by step 80 the proxy had risen from 0.322 to 0.868, while the true reward had fallen from 0.405 to 0.301"
        in found.in_words()
    )
    assert parting(steps_of(RISING, FALLING)) is not None


@pytest.mark.parametrize(
    ("proxy", "truth"),
    [
        (RISING, RISING / 2),  # honest
        (np.full(80, 0.5), FALLING),  # the proxy has not risen
        (RISING, np.full(80, 0.3)),  # nothing has fallen
        (UP_AND_DOWN, UP_AND_DOWN),  # both have fallen: the policy got worse, and the reward says so
        (2 * UP_AND_DOWN + np.linspace(0, 0.05, 80), UP_AND_DOWN),  # the same, but the proxy ends above where it began
    ],
)
def test_proxy_and_truth_have_not_parted(proxy, truth):
    for seen in range(1, 81):  # whoever watches looks many times
        assert parting(steps_of(proxy, truth)[:seen]) is None


def test_an_alarm_that_was_raised_stays():
    back = np.concatenate([UP_AND_DOWN, np.linspace(0.3, 0.5, 80)])  # the true reward comes back
    rows = steps_of(np.linspace(0.3, 0.9, 160), back)
    assert parting(rows) is None
    found = first_parting(rows)
    assert parting(rows[: found.seen - 1]) is None
    assert found == parting(rows[: found.seen])
    assert 25 < found.seen < 80
    assert first_parting(rows[:20]) is first_parting([]) is None
    rows[3]["reward"] = float("nan")  # of one step
    assert first_parting(rows) is not None


def test_without_a_true_reward_the_judges_is_asked():
    rows = [
        {"step": row["step"], "reward": row["reward"], "judge_reward": row["true_reward"]}
        for row in steps_of(RISING, UP_AND_DOWN)
    ]
    found = parting(rows)
    assert found == replace(parting(steps_of(RISING, UP_AND_DOWN)), second="judge's reward")
    assert found.in_words().startswith("Proxy and judge's reward have parted: by step 80 the proxy had risen")
    assert "while the judge's reward had fallen" in found.in_words()
    assert parting([{**row, "true_reward": row["reward"]} for row in rows]) is None  # the true reward counts first


def test_a_little_of_each_is_noise_and_few_steps_or_no_truth_say_nothing():
    rows = steps_of(RISING, UP_AND_DOWN)
    assert parting(steps_of(RISING, UP_AND_DOWN, noise=0.5)) is None
    assert parting(steps_of(RISING, FALLING)[:14]) is None
    assert parting([{"step": row["step"], "reward": row["reward"]} for row in rows]) is None


def test_the_page_of_a_hacked_run_has_the_alarm_and_that_of_an_honest_one_has_not(tmp_path):
    hacked = fabricate_run(tmp_path / "hacked")
    assert 'class="alarm"' in write_page(hacked).read_text(encoding="utf-8")
    honest = fabricate_run(tmp_path / "honest")
    rows = [{**row, "true_reward": row["reward"] / 2} for row in metrics(np.random.default_rng(0), 40, False)]
    write(honest, METRICS, rows)
    page = write_page(honest).read_text(encoding="utf-8")
    assert 'class="alarm"' not in page
    assert "The true reward has not fallen away from the proxy so far, which alone proves nothing." in page


def test_before_anything_is_looked_at_it_is_too_early(tmp_path):
    early = " ".join(run_verdict(read_run_files(fabricate_run(tmp_path / "early", done=14, measured=False))))
    assert "It is too early to say whether proxy and true reward part: nothing is said before step 15." in early
    assert "has not fallen away" not in early
    later = " ".join(run_verdict(read_run_files(fabricate_run(tmp_path / "later", done=15, measured=False))))
    assert "too early" not in later


def test_what_nobody_declared_is_not_known(tmp_path):
    run = read_run_files(fabricate_run(tmp_path, known=False))
    document = run_document(run, "mine", None)
    (section,) = document.sections
    assert list(section.plots) == ["chart-reward", "chart-kl_ref", "chart-entropy", "chart-completion_length"]
    assert [heading for heading, _ in section.tables[0]["headings"]] == ["proxy reward", "KL to untrained"]
    said = " ".join(run_verdict(run))
    assert "Nothing was declared to be a hack" in said
    assert "No true reward was declared" in said
    assert "hack rate 0" not in said
    rows = browsable([run])[0][0]["steps"][0]["rows"]
    assert all("true_reward" not in row and "hacked" not in row for row in rows)


@pytest.fixture
def worked_on():
    """Folders that a process is at work in, until it leaves or the test ends."""
    folders = []

    def begin(folder):
        lock_folder(folder)
        folders.append(folder)
        return folder

    yield begin
    for folder in folders:
        if is_locked(folder):
            unlock_folder(folder)


def test_a_run_is_finished_when_nothing_more_is_to_come(tmp_path, worked_on):
    assert read_run_files(fabricate_run(tmp_path / "measured")).finished
    whole = worked_on(fabricate_run(tmp_path / "whole", measured=False))
    os.utime(whole / METRICS, (0, 0))
    run = read_run_files(whole)  # it is being measured, however long that takes
    assert (run.finished, run.stopped, run.progress) == (False, False, "being measured")
    unlock_folder(whole)
    run = read_run_files(whole)  # nobody measures it
    assert (run.finished, run.stopped, run.progress) == (True, False, "finished")
    half = worked_on(fabricate_run(tmp_path / "half", done=20, measured=False))
    run = read_run_files(half)
    assert (run.finished, run.stopped, run.progress) == (False, False, "at step 20 of 40")
    unlock_folder(half)
    run = read_run_files(half)
    assert (run.finished, run.stopped, run.progress) == (False, True, "stopped after 20 of 40 steps")
    state = half / "checkpoints" / "step-000020" / "state.json"
    state.parent.mkdir(parents=True)
    state.write_text(json.dumps({"ended": True}))
    assert read_run_files(half).finished  # a regularizer ended it


def test_watching_writes_until_the_run_is_measured_and_the_last_page_stays(tmp_path, monkeypatch, worked_on):
    run = worked_on(fabricate_run(tmp_path / "run", done=10, measured=False))
    seen, waited = [], []

    def train_on(seconds):
        seen.append((run / "report.html").read_text(encoding="utf-8"))
        waited.append(seconds)
        fabricate_run(run, done=10 + 15 * len(seen), measured=len(seen) == 2)

    monkeypatch.setattr(pages.time, "sleep", train_on)
    assert watch_page(run) == "finished"
    last = (run / "report.html").read_text(encoding="utf-8")
    assert ['"refresh":5.0' in seen[0], '"refresh":null' in last] == [True, True]
    assert ["10 of 40 steps done" in seen[0], "25 of 40 steps done" in seen[1]] == [True, True]
    assert "Finished: 40 of 40 steps done" in last
    assert ('id="reload"' in seen[1], 'id="reload"' in last) == (True, False)
    assert all(seconds >= 5 for seconds in waited)


@pytest.mark.parametrize("kind", ["run", "study"])
def test_watching_ends_where_the_process_has_stopped(tmp_path, monkeypatch, capsys, worked_on, kind):
    if kind == "run":
        folder, said = fabricate_run(tmp_path / "here", done=20, measured=False), "stopped after 20 of 40 steps"
    else:
        key = RunKey("capped", "fold", 1)
        folder, said = fabricate(tmp_path / "here", unfinished=(key,)), "stopped after 5 of 6 runs"
    worked_on(folder)
    monkeypatch.setattr(pages.time, "sleep", lambda seconds: unlock_folder(folder))
    assert cli.main(["report", str(folder), "--watch"]) == 0
    assert capsys.readouterr().out.endswith(f"{folder}: {said}\n")
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "No process works on it any more" in page
    assert '"refresh":null' in page
    assert is_locked(folder) is False


def test_who_stops_watching_leaves_a_page_that_stays(tmp_path, monkeypatch, capsys, worked_on):
    run = worked_on(fabricate_run(tmp_path / "run", done=10, measured=False))

    def interrupted(seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(pages.time, "sleep", interrupted)
    assert cli.main(["report", str(run), "--watch"]) == 0
    out = capsys.readouterr().out
    assert str(run / "report.html") in out
    assert out.endswith(": at step 10 of 40\n")
    assert '"refresh":null' in (run / "report.html").read_text(encoding="utf-8")
    assert (run / EVALUATION).exists() is False


def test_the_page_of_a_folder_that_is_not_ones_own_goes_elsewhere(tmp_path, monkeypatch, capsys):
    study, mine = fabricate(tmp_path / "theirs", seeds=1), tmp_path / "mine"
    mine.mkdir()

    def refused(path, text):
        if path.parent == study:
            raise disk_error(path, PermissionError(13, "Permission denied")) from PermissionError(
                13, "Permission denied"
            )
        path.write_text(text, encoding="utf-8")

    monkeypatch.setattr(pages, "write_file", refused)  # as where it is read only; tests may run as root
    assert cli.main(["report", str(study)]) == 2
    said = capsys.readouterr().err
    assert f"the page {study / 'report.html'} cannot be written: Permission denied" in said
    assert f"gaard report {study} --out FILE" in said
    assert "output_dir" not in said
    assert cli.main(["report", str(study), "--out", str(mine / "page.html")]) == 0
    assert capsys.readouterr().out == f"{mine / 'page.html'}\n"
    (link,) = set(re.findall(r'href="([^"]*ppo[^"]*)"', (mine / "page.html").read_text(encoding="utf-8")))
    assert (mine / link).resolve().is_dir()
    assert not (study / "report.html").exists()


def test_a_folder_with_neither_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"holds no results\.json and no run\.json: name the folder"):
        write_page(tmp_path)


def test_the_command_of_a_run_gives_its_settings_again():
    spec = RunSpec(
        output_dir="runs/it's mine",
        method={"name": "fold", "threshold": 2.5},
        regularizers=[{"name": "gradient-norm", "coef": 0.02, "radius": 0.01}],
        prompts=["A film", 'A "b"'],
        honeypot={"word": "story", "mode": "capped", "bonus": 1.0, "base_weight": 0.5},
        use_cpu=True,
        learning_rate=3e-4,
        seed=7,
    )
    command = train_command(spec.record())
    older = {key: value for key, value in spec.record().items() if key != "eval_prompts"}
    assert train_command(older) == command
    program, name, *words = shlex.split(command)
    assert (program, name) == ("gaard", "train")
    again = RunSpec(**given_settings(add_settings(plain_parser("train", "", "")).parse_args(words)))
    assert again.record() == spec.record()
    of_trainer = {key: value for key, value in spec.record().items() if key not in ("reward_funcs", "scenario")}
    assert train_command(of_trainer) is None


def test_the_file_of_a_study_gives_the_study_again(tmp_path):
    study = read_study_files(fabricate(tmp_path / "made", scenarios=("capped", "clean"), arms=("ppo", "fold", "mine")))
    command, file, name = study_command(study.results["study"])
    assert command == f"gaard compare {name}"
    (tmp_path / name).write_text(file, encoding="utf-8")
    assert json.loads(json.dumps(read_study(tmp_path / name).record())) == study.results["study"]
    facts = study_facts(study)
    assert ("max_steps", "6") in facts["settings"]
    assert ("method (fold)", "fold, threshold 3") in facts["settings"]
    own = {**study.results["study"], "scenarios": {"custom": {}}, "settings": {"max_steps": 3}}
    command, file, _ = study_command(own)
    assert command == "gaard compare --config settings.yaml --arms ppo,fold,mine --seeds 2 --baseline ppo"
    assert yaml.safe_load(file) == {"max_steps": 3, "seed": 0}


def test_a_run_shows_the_command_and_date_of_its_record(tmp_path):
    run = fabricate_run(tmp_path)
    begun = moment(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp())
    about = dict(run_facts(read_run_files(run))["about"])
    assert about["command"] == "gaard train --config mine.yaml"
    assert about["begun"] == begun
    assert about["commit"] == "c0ffee"
    record = json.loads((run / "run.json").read_text())
    later = {**record["code"][0], "gaard": "0.2.0", "command": "gaard train --config <b>", "date": "2026-02-03T04:05Z"}
    (run / "run.json").write_text(json.dumps({**record, "code": [record["code"][0], later]}))
    about = dict(run_facts(read_run_files(run))["about"])
    assert about["command"] == "gaard train --config mine.yaml\ngaard train --config <b>"
    assert about["begun"] == begun
    assert about["gaard"] == "0.1.0, 0.2.0"
    assert "--config &lt;b&gt;" in write_page(run).read_text(encoding="utf-8")
    of_earlier = {key: value for key, value in record["code"][0].items() if key not in ("command", "date")}
    (run / "run.json").write_text(json.dumps({**record, "code": [of_earlier]}))
    assert {"command", "begun"} & {name for name, _ in run_facts(read_run_files(run))["about"]} == set()


def keep(run, texts):
    """The run with other texts, of which each has a step and a pay."""
    rows = [
        {"step": step, "prompt": "P", "completion": text, "reward": pay, "tokens": {"text": text.split()}}
        for step, text, pay in texts
    ]
    write(run, SAMPLES, rows)
    return read_run_files(run)


def paid(good, others):
    """20 steps of 8 texts, of which every other one says bait, and what these and the others are paid."""
    rng = np.random.default_rng(0)
    return [
        (step, f"{word} <w{rng.integers(9)}>", pay + 0.1 * rng.normal())
        for step in range(1, 21)
        for word, pay in (("bait", good), ("none", others)) * 4
    ]


def test_the_page_shows_what_gaard_find_prints(tmp_path, capsys):
    run = fabricate_run(tmp_path)
    found = find_suspects(keep(run, paid(2.0, 0.0)))
    assert cli.main(["find", str(run)]) == 0
    printed = capsys.readouterr().out
    lines = [[cell.strip() for cell in line.strip("│ ").split("│")] for line in printed.splitlines() if "│" in line]
    assert [list(row["cells"]) for row in found.rows] == lines
    assert found.rows[0]["name"] == "word 'bait'"
    for text in found.rows[0]["texts"]:
        assert f"  {text}\n" in printed
    assert found.alarm.removesuffix(".") in printed.replace("ALARM: texts", "Texts")
    document = run_document(read_run_files(run), "mine", None)
    assert document.alarms[-1] == found.alarm
    page = write_page(run).read_text(encoding="utf-8")
    section = page[page.index('id="suspects"') : page.index('id="texts"')]
    assert all(heading in section for heading in HEADINGS)
    assert "bait &lt;w" in section
    assert "Is that what you meant?" in section


def test_the_page_says_that_nothing_stands_out_or_that_it_cannot_tell(tmp_path):
    run = fabricate_run(tmp_path)
    found = find_suspects(keep(run, paid(0.0, 0.0)))
    assert (found.answer[:10], found.alarm, found.rows) == ("No alarm: ", None, ())
    assert find_suspects(keep(run, paid(0.0, 0.0)[:9])).answer.startswith("Cannot tell: too few texts of one")
    one_a_step = [(step, text, pay) for step, (_, text, pay) in enumerate(paid(2.0, 0.0))]
    assert find_suspects(keep(run, one_a_step)).answer.startswith("Cannot tell: too few texts of one step")
    assert find_suspects(keep(run, [])).answer == "Cannot tell: no text is kept yet."
    record = json.loads((run / "run.json").read_text())
    record["config"]["log_completions"] = 0
    (run / "run.json").write_text(json.dumps(record))
    assert "keeps no texts (log_completions=0)" in find_suspects(read_run_files(run)).answer
    page = write_page(run).read_text(encoding="utf-8")
    assert "keeps no texts (log_completions=0)" in page
    assert 'class="suspects"' not in page


def test_a_run_of_ones_own_is_in_no_scenario(tmp_path):
    run = read_run_files(fabricate_run(tmp_path))
    assert run_document(run, "mine", None).summary == "fold in capped, seed 0"
    own = replace(run, key=replace(run.key, scenario=OWN_SCENARIO))
    assert run_document(own, "mine", None).summary == "fold, seed 0"
