"""A look before training on the pocket model: each planted fault is found, and the honest reward passes."""

import json
import os
import subprocess
import sys
import zlib

import pytest
from transformers import AutoModelForCausalLM

from gaard import cli
from gaard.lab.check import check, check_trainer, of_rewards, pay, sample
from gaard.lab.scenarios import with_scenario
from gaard.lab.spec import RunSpec, build_trainer
from gaard.rewards import HumanReward, LengthBonus, combine
from tiny import chat_tokenizer, rendered, tiny_config

pytestmark = pytest.mark.slow

CLEAN = {**with_scenario({"scenario": "clean"}), "progress": False, "use_cpu": True}
HUMAN = HumanReward()


def constant(completions, **_):
    return [0.5] * len(completions)


def rare_word(completions, **_):
    return [float("masterpiece" in text) for text in completions]


def mostly_full_marks(completions, **_):
    return [float("masterpiece" not in text) for text in completions]


def growing(prompts, completions, **_):
    return [2.0 ** (40 * rating) for rating in HUMAN(prompts=prompts, completions=completions)]


def whole_texts(prompts, completions, **_):
    return [
        0.5 * one + text.endswith(".")
        for one, text in zip(HUMAN(prompts=prompts, completions=completions), completions, strict=True)
    ]


def of_the_prompt(prompts, **_):
    return [float(len(prompt)) for prompt in prompts]


def broken_on_story(completions, **_):
    return [float("nan") if "story" in text else zlib.crc32(text.encode()) / 2**32 for text in completions]


@pytest.fixture(scope="module")
def trainer(tmp_path_factory):
    return build_trainer(RunSpec(**CLEAN, output_dir=str(tmp_path_factory.mktemp("check"))))


@pytest.fixture(scope="module")
def sampled(trainer):
    """One set of completions serves every reward."""
    return sample(trainer, 256)


def problems(sampled, reward) -> set[str]:
    """What is a problem with a reward."""
    found = of_rewards(sampled, pay(combine([reward]), sampled), 32, 16)
    return {one.about for one in found if one.severity == "problem"}


@pytest.mark.parametrize(
    ("reward", "about"),
    [
        (constant, {"constant"}),
        (rare_word, {"sparse", "words"}),
        (mostly_full_marks, {"sparse"}),
        (LengthBonus(HUMAN, limit=16), {"length"}),
        (growing, {"heavy tail"}),
        (whole_texts, {"truncated"}),
        (of_the_prompt, {"prompts"}),
        (broken_on_story, {"scores"}),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_planted_fault_is_found(sampled, reward, about):
    assert about <= problems(sampled, reward)


def test_the_honest_reward_has_no_problem(sampled):
    assert problems(sampled, HUMAN) == set()


def test_looking_changes_nothing_of_a_trainer(tmp_path):
    trainer = build_trainer(RunSpec(**CLEAN, output_dir=str(tmp_path)))
    before, texts = trainer.state.plain(), sample(trainer, 32).texts
    assert {one.about for one in check_trainer(trainer, 32)} >= {"chat template", "sparse", "time", "memory", "method"}
    assert trainer.state.plain() == before
    assert list(tmp_path.iterdir()) == []
    assert sample(trainer, 32).texts == texts


# The command ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def run(capsys, monkeypatch):
    """The command's status and its output, whose cells are on one line each."""
    monkeypatch.setattr("gaard.commands.check.WIDE", 5000)

    def run(*words: str) -> tuple[int, str]:
        status = cli.main(["check", "--progress", "false", "--use_cpu", "true", *words])
        return status, capsys.readouterr().out

    return run


def test_the_clean_scenario_passes_and_nothing_is_written(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, out = run("--scenario", "clean", "--output_dir", "mine")
    assert (status, "no problem found" in out) == (0, True)
    assert "for one step" in out
    assert "peak" in out
    assert list(tmp_path.iterdir()) == []


def test_the_command_takes_a_minute_at_most():
    """Of a processor: the process with all its imports, of which others on the machine take nothing."""
    before = sum(os.times()[2:4])
    words = ["--scenario", "capped", "--progress", "false", "--use_cpu", "true"]
    done = subprocess.run([sys.executable, "-m", "gaard", "check", *words], capture_output=True, text=True, timeout=600)
    assert "2 problems found" in done.stdout
    assert sum(os.times()[2:4]) - before <= 60


def test_completions_that_are_all_cut_off_fail_the_check(run):
    words = ("--prompts", "[The movie is]", "--max_completion_length", "4", "--completions", "64")
    status, out = run(*words)
    assert (status, "64 of 64 (100%) completions are cut off at max_completion_length=4" in out) == (1, True)


def test_a_reward_of_the_users_that_fails_is_reported_and_no_step_is_made(run, tmp_path):
    (tmp_path / "mine.py").write_text("def score(completions, **_):\n    return [1 / 0 for _ in completions]\n")
    config = {"prompts": ["The movie is"], "reward_funcs": f"{tmp_path}/mine.py:score", "batch_size": 8}
    (tmp_path / "run.yaml").write_text(json.dumps({**config, "output_dir": "x", "num_mini_batches": 1}))
    status, out = run("--config", str(tmp_path / "run.yaml"), "--completions", "8")
    assert (status, "8 of 8 (100%) completions have no reward" in out) == (1, True)
    assert "ZeroDivisionError" in out
    assert "updates were not measured" in out


# Templates ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chat_model(tmp_path_factory) -> str:
    """A tiny model whose tokenizer has a chat template."""
    folder, tokenizer = tmp_path_factory.mktemp("chat"), chat_tokenizer()
    AutoModelForCausalLM.from_config(tiny_config("gpt2", vocab_size=len(tokenizer))).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def spec(model: str, prompts: list, **settings) -> RunSpec:
    fixed = {"batch_size": 8, "num_mini_batches": 1, "max_completion_length": 8, "progress": False, "use_cpu": True}
    return RunSpec(output_dir="unused", model=model, prompts=prompts, reward_funcs="lexicon", **fixed, **settings)


@pytest.mark.parametrize(
    ("prompts", "severity"),
    [
        (["w1 w2"], "problem"),
        ([rendered(chat_tokenizer(), "w1 w2")], "fine"),
        ([{"prompt": [{"role": "user", "content": "w1"}]}], "fine"),
    ],
    ids=["plain", "rendered", "messages"],
)
def test_prompts_that_do_not_fit_the_template_are_found(chat_model, prompts, severity):
    found = {one.about: one for one in check(spec(chat_model, prompts), 8)}
    assert found["chat template"].severity == severity


def test_messages_for_the_pocket_model_are_found():
    (found,) = check(spec("pocket", [{"prompt": [{"role": "user", "content": "hi"}]}]))
    assert (found.severity, "no chat template" in found.seen) == ("problem", True)
