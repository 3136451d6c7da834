"""What help says, and how long it and a typo keep one waiting."""

import importlib
import re
import resource
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from commands import refused
from gaard import cli
from gaard.arguments import check_options
from gaard.commands.compare import STUDY_OPTIONS
from gaard.errors import ConfigError
from gaard.lab.arms import OF_ARMS
from gaard.lab.catalogue import CATALOGUE
from gaard.lab.scenarios import SCENARIOS
from gaard.lab.spec import OF_HUB, RunSpec
from gaard.option_texts import SHORT
from gaard.reward_names import BUILT_IN
from gaard.rewards import spec as rewards
from gaard.settings import suggest
from timing import cpu_seconds, slowness

FIELDS = [field.name for field in fields(RunSpec)]


def shown_help(words, capsys) -> str:
    with pytest.raises(SystemExit) as left:
        cli.main(words)
    assert left.value.code == 0
    return capsys.readouterr().out


def flags(text: str) -> list[str]:
    """The options that a help lists."""
    return re.findall(r"^  (?:-h, )?--([\w.]+)", text, re.MULTILINE)


# The overview ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_the_overview_says_what_each_command_is_for_and_how_to_begin(words, capsys):
    assert cli.main(words) == 0
    out = capsys.readouterr().out
    assert all(re.search(rf"^  {name} +{re.escape(what)}$", out, re.MULTILINE) for name, what in cli.COMMANDS.items())
    assert "usage: gaard COMMAND" in out
    assert "gaard compare --scenario capped --arms ppo,gaa-expected" in out
    assert "--prompts prompts.txt --reward_funcs reward.py:score" in out


def test_every_command_is_a_module_that_says_the_same_as_the_overview():
    folder = Path(cli.__file__).parent / "commands"
    assert set(cli.COMMANDS) == {path.stem for path in folder.glob("*.py")} - {"__init__", "terminal", "comparing"}
    for name, summary in cli.COMMANDS.items():
        assert summary == importlib.import_module(f"gaard.commands.{name}").SUMMARY


@pytest.mark.parametrize("word", ["--help", "-h"])
@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_has_help(command, word, capsys):
    assert shown_help([command, word], capsys).startswith(f"usage: gaard {command}")


def test_help_of_the_other_commands(capsys):
    assert "fetch" in shown_help(["models", "--help"], capsys)
    assert "--out" in shown_help(["coefficients", "--help"], capsys)


# Options --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("command", "lines"), [("train", 50), ("compare", 54)])
def test_help_fits_a_screen_and_begins_with_what_is_needed_first(command, lines, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    text = shown_help([command, "--help"], capsys)
    assert len(text.splitlines()) <= lines
    headings = re.findall(r"^([a-z].*):$", text, re.MULTILINE)
    own = ["what is compared"] if command == "compare" else []
    assert headings[:-1] == [*own, *SHORT, "this command"]
    assert f"gaard {command} --help all lists every option" in text
    named = [name for names in SHORT.values() for name in names]
    if command == "train":
        assert flags(text) == [*named, "config", "overwrite", "help"]
        assert named[:5] == ["scenario", "model", "prompts", "reward_funcs", "true_reward_funcs"]
        assert named[5:7] == ["hack_detector", "output_dir"]
    else:
        assert flags(text)[: len(STUDY_OPTIONS)] == ["arms", "seeds", "baseline", "out", "jobs", "engine"]


def test_all_of_help_explains_every_field_once(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "1000")
    text = shown_help(["train", "--help", "all"], capsys)
    for name in FIELDS:
        assert re.search(rf"^  --{name}\b.*?  +\S.*\w", text, re.MULTILINE | re.DOTALL), name
    assert len(set(flags(text))) == len(flags(text))
    sentences = re.findall(r"^        \w+: (.+)", (RunSpec.__doc__ or "").partition("Attributes:")[2], re.MULTILINE)
    assert all(" ".join(sentence.split()) in " ".join(text.split()) for sentence in sentences)
    assert "`" not in text  # markup of the documentation


@pytest.mark.parametrize(("command", "own"), [("train", ()), ("compare", STUDY_OPTIONS)])
def test_help_lists_what_the_command_takes_and_nothing_else(command, own, capsys):
    listed = flags(shown_help([command, "--help", "all"], capsys))
    assert len(listed) > 40
    for flag in listed:
        check_options([f"--{flag}", "x"], own, command)
    if command == "compare":
        refused_there = {*OF_ARMS, *OF_HUB, "accept_changed_rewards"}
        assert {flag.partition(".")[0] for flag in listed} & refused_there == set()
        assert set(FIELDS) - set(listed) == {*refused_there, "output_dir"}  # --out by another name


def test_help_tells_the_options_of_methods_and_whose_they_are(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "1000")
    text = shown_help(["train", "--help", "all"], capsys)
    assert re.search(r"^  --method.threshold X\s+fold: From how many robust .*\(default: 3.0\)$", text, re.MULTILINE)
    assert re.search(r"^  --method.reading {text,code,expected}\s+gaa: Johnson's text", text, re.MULTILINE)
    assert re.search(r"^  --method.candidates N\s+gaa: Among how many", text, re.MULTILINE)
    assert re.search(r"^  --advantages.lam X\s+gae: λ", text, re.MULTILINE)
    assert re.search(r"^  --honeypot.after VALUE\s+A phrase", text, re.MULTILINE)
    regularizers = re.search(r"^  --regularizers LIST\s+(.*)", text, re.MULTILINE)[1]
    assert "Of reference-resets: steps, training steps from one reset to the next" in regularizers
    assert "radius, how far off the second gradient" in regularizers
    assert "default: None" not in text


@pytest.mark.parametrize("command", ["train", "compare"])
def test_a_name_that_is_near_none_is_told_where_they_are_listed(command, capsys):
    line = refused([command, "--output_dir", "x", "--foo", "1"], capsys)
    assert line == f"gaard: command line: unknown key 'foo': `gaard {command} --help all` lists what there is"
    near = refused([command, "--output_dir", "x", "--leanring_rate", "1"], capsys)
    assert near.endswith("unknown key 'leanring_rate': did you mean 'learning_rate'?")


def test_few_names_are_listed_and_many_are_not():
    assert suggest("ab", ["abc", "x"]) == "did you mean 'abc'? Choose from abc, x"
    assert suggest("zz", ["abc", "x"]) == "Choose from abc, x"
    many = [f"name{i}" for i in range(9)]
    assert suggest("nome3", many, "`gaard arms`") == "did you mean 'name3'?"
    assert suggest("zz", many, "`gaard arms`") == "`gaard arms` lists what there is"
    assert suggest("nom", many) == "there are name8, name7, name6 and others"


# Names of rewards -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["reward_funcs", "true_reward_funcs", "judge_reward_funcs"])
def test_a_plain_word_that_is_no_reward_is_refused_before_the_hub_is_asked(field, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(rewards, "ClassifierReward", lambda name: pytest.fail(f"asked the hub for {name}"))
    words = ["--output_dir", "x", "--prompts", '["w1"]', f"--{field}", "lexikon"]
    for command in (["train"], ["compare", "--arms", "ppo"]):
        line = refused([*command, *words], capsys)
        assert "the reward 'lexikon' is not known" in line
        assert all(form in line for form in ("`lexicon`", "`human`", "file.py:function", "`org/model`"))
        assert line.endswith("Did you mean 'lexicon'?")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_here_needs_no_slash(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(rewards, "ClassifierReward", lambda name: f"the model {name}")
    with pytest.raises(ConfigError, match="'judge' is not known"):
        rewards.reward_from_name("judge")
    (tmp_path / "judge").mkdir()
    assert rewards.reward_from_name("judge") == "the model judge"


def test_the_names_of_rewards_are_those_there_are():
    assert set(BUILT_IN) == set(rewards.BUILT_IN)


# How long it takes ----------------------------------------------------------------------------------------------------


def test_the_catalogue_is_of_the_scenarios_there_are():
    assert list(CATALOGUE) == list(SCENARIOS)
    for name, build in SCENARIOS.items():
        scenario, entry = build(), CATALOGUE[name]
        assert [getattr(scenario, field.name) for field in fields(entry)] == [
            getattr(entry, field.name) for field in fields(entry)
        ]


@pytest.mark.parametrize(
    "words",
    [["train", "--output_dir", "x", "--scenario"], ["check", "--scenario"], ["compare", "--scenario"], ["scenarios"]],
)
def test_a_mistyped_scenario_has_a_suggestion(words, capsys):
    assert refused([*words, "cappd"], capsys).endswith("did you mean 'capped'?")
    assert refused([*words, "xyz"], capsys).endswith("`gaard scenarios` lists what there is")


def test_a_mistyped_arm_is_told_before_anything_else(capsys):
    assert "'gaa-expectd' is not known: did you mean 'gaa-expected'?" in refused(
        ["compare", "--arms", "gaa-expectd"], capsys
    )


QUICK = {
    "--help": 0.5,
    "arms": 0.5,
    "scenarios": 0.5,
    "trian": 0.5,
    "train --leanring_rate 1": 0.5,
    "train --output_dir x --reward_funcs my_reward": 0.5,
    "train --output_dir x --scenario cappd": 0.5,
    "train --output_dir x --scenario capped --method gaaa": 0.5,
    "train --output_dir x": 0.5,
    "train --output_dir x --prompts none.txt": 0.5,
    "train --output_dir x --prompts [a] --hack_detector foo": 0.5,
    "train --output_dir x --prompts [a] --reward_funcs none.py:score": 0.5,
    "check --scenario cappd": 0.5,
    "scenarios cappd": 0.5,
    "compare --scenario cappd": 0.5,
    "league --seeds none": 0.5,
    "compare --scenario capped --arms ppo,gaa-expectd": 0.5,
    "compare --scenario capped --baseline pp0": 0.5,
    "compare nosuch.yaml": 0.5,
    "find nosuch": 0.5,
    "report nosuch": 0.5,
    "sharpness nosuch": 0.5,
    "sharpness --help": 0.5,
    "reproduce nosuch": 0.5,
    "train --help": 1.5,
    "train --help all": 1.5,
    "compare --help": 1.5,
}


@pytest.mark.skipif(not hasattr(resource, "RUSAGE_CHILDREN"), reason="needs POSIX")
@pytest.mark.parametrize("words", QUICK)
def test_neither_help_nor_a_typo_keeps_one_waiting(words):
    taken = cpu_seconds("-m", "gaard", *words.split(), statuses=(0, 2))
    if taken > QUICK[words] * slowness():  # again, beside a look at how fast the machine is now
        slowness.cache_clear()
        taken = min(cpu_seconds("-m", "gaard", *words.split(), statuses=(0, 2)) for _ in range(3))
    assert taken <= QUICK[words] * slowness()


@pytest.mark.parametrize("words", [*QUICK, "train --config none.yaml", "train --output_dir x --batch_size 1"])
def test_neither_help_nor_a_typo_waits_for_torch(words):
    look = "import sys; from gaard import cli\ntry: cli.main(sys.argv[1:])\nexcept SystemExit: pass\n"
    look += "assert not {'torch', 'transformers', 'numpy', 'scipy', 'polars'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", look, *words.split()], check=True, capture_output=True)
