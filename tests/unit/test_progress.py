"""What the terminal shows while runs go on."""

import io
import math
import re
from pathlib import Path

import pytest
from rich.console import Console

from gaard import GAAConfig
from gaard.lab.progress import RunsProgress
from gaard.training.progress import StepBar, StepProgress, fitting

METRICS = {"loss": 0.1, "kl_ref": 0.01, "reward": 0.5, "true_reward": 0.297, "hack_rate": 0.98}
ALL = ["hack_rate 0.980", "true_reward 0.297", "reward 0.500", "kl_ref 0.010"]


def terminal(width: int) -> Console:
    return Console(width=width, file=io.StringIO(), force_terminal=True)


def last_line(console: Console) -> str:
    """What stood there at the end, without colours."""
    text = re.sub(r"\x1b\[[?\d;]*[A-Za-z]", "", console.file.getvalue())
    return re.split(r"[\r\n]", text.rstrip())[-1].rstrip()


def shown(width: int, metrics=METRICS, label="fold seed 0", steps=(0, 37)) -> str:
    console = terminal(width)
    with StepProgress(80, label, console=console) as progress:
        for step in steps:
            progress.show(step, metrics if step else {})
    return last_line(console)


@pytest.mark.parametrize(("width", "figures"), [(60, 1), (80, 2), (100, 3), (120, 4), (160, 4)])
def test_as_many_figures_as_fit_stand_behind_the_bar(width, figures):
    line = shown(width)
    assert len(line) <= width
    assert re.match(r"fold seed 0 [━╸╺ ]+ 37/80 [-\d]+:..:.. left ", line)
    assert line.endswith(" left " + "  ".join(ALL[:figures]))


@pytest.mark.parametrize("width", [80, 100, 160])
def test_a_long_name_leaves_out_figures_and_not_the_time(width):
    line = shown(width, label="sentiment-cliff reference-resets seed 11")
    assert re.match(r"sentiment-cliff reference-resets seed 11 [━╸╺ ]+ 37/80 [-\d]+:..:.. left", line)
    assert len(line) <= width


def test_where_not_even_that_fits_the_name_is_cut():
    line = shown(40, label="sentiment-cliff reference-resets seed 11")
    assert re.match(r"sentim.*… [━╸╺ ]{10} 37/80 [-\d]+:..:.. left$", line)
    assert len(line) <= 40


@pytest.mark.parametrize("unknown", [None, math.nan])
def test_what_is_not_known_is_not_shown(unknown):
    assert shown(160, {**METRICS, "hack_rate": unknown}).endswith("left " + "  ".join(ALL[1:]))
    assert shown(160, {"reward": 0.5}).endswith("left reward 0.500")


def test_time_is_estimated_from_steps_of_minutes(monkeypatch):
    console, now = terminal(80), iter(range(0, 10**6, 90))
    console.get_time = lambda: next(now)
    with StepProgress(80, "fold seed 0", console=console) as progress:
        for step in range(5):
            progress.show(step, {})
        assert progress.bar.tasks[0].time_remaining > 80


def test_a_name_with_brackets_is_shown_as_it_is():
    assert shown(100, label="[/b] seed 0").startswith("[/b] seed 0 ")


def test_fitting():
    assert fitting(["ab", "cd"], 6) == "ab  cd"
    assert fitting(["ab", "cd"], 5) == "ab"
    assert fitting(["abc", "d"], 2) == ""


def test_without_a_terminal_there_are_some_ten_lines_a_run(capsys):
    with StepProgress(40, "ppo seed 0") as progress:
        for step in range(41):
            progress.show(step, {"reward": step / 10, "kl_ref": 0.25, "unimportant": 1.0} if step else {})
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 11
    assert lines[0] == "ppo seed 0 0/40"
    assert re.fullmatch(r"ppo seed 0 20/40  0:00:0\d left  reward 2.000  kl_ref 0.250", lines[5])
    assert lines[-1].split() == ["ppo", "seed", "0", "40/40", "reward", "4.000", "kl_ref", "0.250"]


def test_nothing_is_shown_of_no_steps_or_where_it_was_not_asked_for(capsys):
    for progress in (StepBar(0, "untrained"), StepBar(5, "ppo", visible=False)):
        with progress:
            progress.move(progress.total)
    captured = capsys.readouterr()
    assert captured.out + captured.err == ""


def runs(folder: Path, **settings) -> list[GAAConfig]:
    """Two runs, of which one has made three of ten steps."""
    (folder / "a").mkdir()
    (folder / "a" / "metrics.jsonl").write_text("{}\n{}\n{}\n")
    return [GAAConfig(str(folder / name), max_steps=10, **settings) for name in "ab"]


@pytest.mark.parametrize("width", [80, 100, 160])
def test_one_bar_counts_the_steps_of_all_runs(width, tmp_path):
    console = terminal(width)
    with RunsProgress(runs(tmp_path), 2, console) as progress:
        progress.look()
    assert re.fullmatch(r"2 runs, 2 at once [━╸╺ ]+  3/20 [-\d]+:..:.. left", last_line(console))


def test_without_a_terminal_the_steps_of_all_runs_are_lines(tmp_path):
    console = Console(width=80, file=io.StringIO())
    made = runs(tmp_path)
    with RunsProgress(made, 2, console) as progress:
        progress.look()
        progress.look()
        for name in "ab":
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / "metrics.jsonl").write_text("{}\n" * 10)
        progress.look()
    assert console.file.getvalue().splitlines() == ["2 runs, 2 at once 3/20", "2 runs, 2 at once 20/20"]


def test_runs_whose_progress_is_not_asked_for_are_not_read(tmp_path):
    console = Console(width=80, file=io.StringIO())
    with RunsProgress(runs(tmp_path, progress=False), 2, console) as progress:
        progress.look()
    assert progress.bar.tasks[0].completed == 0
    assert console.file.getvalue() == ""
