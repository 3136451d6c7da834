"""``gaard check`` as a command: what it is told, what it shows, how it ends."""

import subprocess
import sys

import pytest

from commands import refused
from gaard import cli
from gaard.lab.check import Finding, check
from gaard.lab.scenarios import with_scenario
from gaard.lab.spec import RunSpec

FOUND = [
    Finding("sparse", "fine", "rewards differ"),
    Finding("words", "note", "[bold] in a text", "read it"),
    Finding("constant", "problem", "all are paid 1", "mend it"),
]


@pytest.fixture
def asked(monkeypatch):
    """What the library is asked; it answers with as many of the findings as there are in the list."""
    calls, answer = [], list(FOUND)

    def check(spec, completions):
        calls.append((spec, completions))
        return answer

    monkeypatch.setattr("gaard.lab.check.check", check)
    return calls, answer


def test_problems_stand_first_and_decide_the_exit_status(asked, capsys):
    assert cli.main(["check", "--scenario", "clean"]) == 1
    out = capsys.readouterr().out
    assert out.index("all are paid 1") < out.index("[bold] in a text") < out.index("rewards differ")
    assert out.splitlines()[-1] == "1 problem found"
    asked[1].pop()
    assert cli.main(["check", "--scenario", "clean"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "no problem found"


def test_it_takes_the_settings_of_train_and_needs_no_output_dir(asked, config):
    path = config(max_completion_length=5)
    assert cli.main(["check", "--config", path, "--temperature", "0.5", "--completions", "9"]) == 1
    assert cli.main(["check", "--scenario", "uncapped"]) == 1
    (first, nine), (second, default) = asked[0]
    assert (first.max_completion_length, first.temperature, nine) == (5, 0.5, 9)
    assert (second.scenario, second.batch_size, default) == ("uncapped", 32, 256)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--completions", "1"], "--completions 1: give 2 or more"),
        (["--completions", "x"], "invalid int value"),
        (["--completion", "9"], "did you mean 'completions'"),
    ],
)
def test_what_it_cannot_take_is_refused_in_one_line(words, said, capsys):
    assert said in refused(["check", "--scenario", "clean", *words], capsys)


def test_help_tells_the_exit_status_and_waits_for_nothing_heavy():
    look = "import sys; from gaard import cli\ntry: cli.main(['check', '--help'])\nexcept SystemExit: pass\n"
    look += "assert not {'transformers', 'accelerate', 'scipy', 'psutil'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", look], check=True, capture_output=True, text=True)
    text = " ".join(done.stdout.split())
    assert "Exit status: 0 without problems, 1 with, 2 for settings that cannot be run." in text
    assert "--completions N" in text
    assert "--reward_funcs" in text


def test_it_tells_how_far_it_is(tmp_path, capsys):
    """Where there is no terminal, in lines on standard error."""
    small = {"scenario": "capped", "output_dir": str(tmp_path), "batch_size": 8, "max_completion_length": 4}
    check(RunSpec(**with_scenario(small)), 16)
    said = capsys.readouterr().err
    assert [word in said for word in ("sampling 0/2", "sampling 2/2", "scoring 2/2", "trying steps 2/2")] == [True] * 4
