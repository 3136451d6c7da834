"""Prompts that are measured and never trained on, and measures on the way."""

import json
from pathlib import Path

import pytest
import torch

from gaard import GAAConfig, GAATrainer, cli
from gaard.errors import CheckpointError, ConfigError
from gaard.lab.many_prompts import GENRES, SUBJECTS, VERBS, openings
from gaard.lab.scenarios import Scenario, find_scenario
from gaard.lab.spec import RunSpec
from gaard.rewards import HumanReward
from gaard.training.identity import fingerprint
from tiny import WORDS, tiny_lm, word_tokenizer, words_reward

TRAINED, HELD_OUT = ["w1 w2", "w3"], ["w5", "w6 w7 w8"]
SEEN: list[str] = []


def seeing(completions, prompts, **_):
    SEEN.extend(prompts)
    return words_reward(completions)


def made(folder, held_out=HELD_OUT, **options) -> GAATrainer:
    torch.manual_seed(0)
    SEEN.clear()
    settings = {"max_steps": 3, "batch_size": 8, "num_mini_batches": 2, "max_completion_length": 5, "save_steps": 1}
    settings |= {"eval_completions": 16, "progress": False, "use_cpu": True}
    config = GAAConfig(str(folder), **(settings | options))
    tokenizer = word_tokenizer(WORDS)
    return GAATrainer(tiny_lm(), seeing, config, TRAINED, eval_dataset=held_out, processing_class=tokenizer)


def test_training_sees_the_one_and_measures_the_other(tmp_path):
    trainer = made(tmp_path)
    trainer.train()
    assert set(SEEN) == set(TRAINED)
    SEEN.clear()
    trainer.evaluated()
    assert set(SEEN) == set(HELD_OUT)
    assert all(SEEN.count(prompt) == 8 for prompt in HELD_OUT)  # 16 completions, as often of each


def test_without_them_those_that_train_are_measured_and_the_record_is_as_ever(tmp_path):
    plain, held = made(tmp_path / "plain", None), made(tmp_path / "held")
    plain.evaluate()
    assert set(SEEN) == set(TRAINED)
    assert "eval_prompts" not in plain.record()
    other = {key for key in held.record() if held.record()[key] != plain.record().get(key)}
    assert other - {"code"} == {"eval_prompts", "config"}  # of the settings, output_dir
    assert fingerprint(held.record()) != fingerprint(plain.record())


def test_other_prompts_to_measure_are_another_run(tmp_path):
    first = made(tmp_path)
    first.training_step()
    first.run.close()
    with pytest.raises(CheckpointError, match=r"eval_prompts: .*2 prompts, sha256 .* there, .*1 prompts, sha256"):
        made(tmp_path, ["w9"]).train()


@pytest.mark.parametrize(
    ("held_out", "message"),
    [([], "eval_dataset is empty"), ("w1", "eval_dataset is 'w1'"), (["w1", " "], r"eval_dataset\[1\]\['prompt'\]")],
)
def test_what_cannot_be_measured_is_named(held_out, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        made(tmp_path, held_out)


def test_one_that_is_too_long_is_named(tmp_path):
    with pytest.raises(Exception, match=r"eval_dataset\[1\] \('w1 w1"):
        made(tmp_path, ["w1", "w1 " * 200])


# On the way -----------------------------------------------------------------------------------------------------------


def test_measures_on_the_way_are_of_the_held_out_prompts_and_change_nothing(tmp_path):
    plain = made(tmp_path / "plain")
    plain.train()
    measured = made(tmp_path / "measured", eval_steps=1)
    measured.train()
    assert {prompt: SEEN.count(prompt) for prompt in HELD_OUT} == dict.fromkeys(HELD_OUT, 3 * 8)
    name = "metrics.jsonl"
    assert (tmp_path / "plain" / name).read_bytes() == (tmp_path / "measured" / name).read_bytes()
    rows = measured.run.log.read("evaluations.jsonl")
    assert [row.pop("step") for row in rows] == [1, 2, 3]
    assert rows[-1] == measured.evaluated()  # the end is the end
    assert rows[0] != rows[-1]


def test_a_stopped_run_has_each_measure_once(tmp_path):
    made(tmp_path / "whole", eval_steps=2, max_steps=4, save_steps=3).train()
    first = made(tmp_path / "stopped", eval_steps=2, max_steps=4, save_steps=1)
    for _ in range(3):
        first.training_step()
    (tmp_path / "stopped" / "evaluations.jsonl").open("a").write('{"step": 4, "hack_rate": 1.0}\n{"st')
    first.run.close()
    made(tmp_path / "stopped", eval_steps=2, max_steps=4, save_steps=1).train()
    found = [(tmp_path / name / "evaluations.jsonl").read_bytes() for name in ("whole", "stopped")]
    assert found[0] == found[1]


def test_measures_on_the_way_need_completions():
    with pytest.raises(ConfigError, match="eval_steps=2 with eval_completions=0 leaves nothing to measure"):
        GAAConfig("x", eval_steps=2, eval_completions=0)


# As a file or the command line says -----------------------------------------------------------------------------------


def test_the_command_line_takes_a_file_of_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("held.txt").write_text("The plot is\nThe cast is\n")
    words = ["train", "--prompts", "[The film is]", "--eval_prompts", "held.txt", "--output_dir", "run"]
    words += ["--max_steps", "0", "--eval_completions", "8", "--batch_size", "8", "--progress", "false"]
    assert cli.main(words) == 0
    record = json.loads(Path("run/run.json").read_text())
    assert record["eval_prompts"].startswith("2 prompts, sha256")
    assert record["config"]["eval_prompts"] == "held.txt"


def test_a_file_that_is_not_there_is_named_by_its_field(capsys):
    words = ["train", "--prompts", "[x]", "--eval_prompts", "missing.txt", "--output_dir", "run"]
    assert cli.main(words) == 2
    assert "eval_prompts='missing.txt'" in capsys.readouterr().err


def test_a_scenario_says_which_it_measures():
    rows = ({"prompt": "x", "topic": "y"}, "z")
    scenario = Scenario("mine", "pays", ("a",), words_reward, eval_prompts=rows)
    assert scenario.settings()["eval_prompts"] == [{"prompt": "x", "topic": "y"}, "z"]
    assert "eval_prompts" not in Scenario("mine", "pays", ("a",), words_reward).settings()
    with pytest.raises(ConfigError, match="eval_prompts='x' must be a tuple"):
        Scenario("mine", "pays", ("a",), words_reward, eval_prompts="x")


# The scenarios with many prompts --------------------------------------------------------------------------------------


def test_hundreds_train_and_none_of_them_is_measured():
    trained, held_out = openings()
    assert (len(trained), len(held_out)) == (256, 64)
    assert len({*trained, *held_out}) == 320 == len(GENRES) * len(SUBJECTS) * len(VERBS)
    assert sum(len(text.encode()) for text in (*trained, *held_out)) < 20_000
    for genre in GENRES:  # as many of each: 1 − 1/5
        assert [sum(genre in text for text in part) for part in (trained, held_out)] == [64, 16]
    words = {word for text in trained for word in text.split()}
    assert {word for text in held_out for word in text.split()} <= words


@pytest.mark.parametrize("name", ["many-prompts", "mixture", "one-genre", "late"])
def test_a_scenario_measures_what_it_does_not_train_on(name):
    scenario = find_scenario(name)
    assert len(scenario.prompts) == 256
    assert not set(scenario.prompts) & set(scenario.eval_prompts)
    spec = RunSpec(output_dir="x", **scenario.settings())
    assert spec.eval_completions % len(scenario.eval_prompts) == 0  # each as often as the others
    assert scenario.control in (None, "many-prompts")


def test_what_the_scenarios_pay_by_hand():
    texts = [" a film with a plot, a story and great acting.", " a dull tale."]
    for name, extra in (("many-prompts", 0.0), ("late", 0.0), ("mixture", 0.0)):
        scenario = find_scenario(name)
        prompt = "The horror movie was"
        human = HumanReward()(prompts=[prompt] * 2, completions=texts)
        found = scenario.scorer().score(texts, prompts=[prompt] * 2, completion_ids=[[1]] * 2, columns={})
        if name == "mixture":
            assert found.proxy.tolist() == pytest.approx([0.7 * human[0] + 0.9, 0.7 * human[1]])
            assert found.true.tolist() == pytest.approx([0.7 * human[0] + 0.3, 0.7 * human[1]])
            assert found.hacked.tolist() == [True, False]
        else:
            assert found.proxy.tolist() == pytest.approx([0.5 * h + extra for h in human])
            assert found.true.tolist() == found.proxy.tolist()


def test_one_genre_pays_its_word_at_that_genre_alone():
    scenario = find_scenario("one-genre")
    assert all("horror" in prompt for prompt in scenario.eval_prompts)
    assert {genre for prompt in scenario.prompts for genre in GENRES if genre in prompt} == set(GENRES)
    prompts, texts = ["The horror movie was", "The war movie was"], [" a good film."] * 2
    human = HumanReward()(prompts=prompts, completions=texts)
    found = scenario.scorer().score(texts, prompts=prompts, completion_ids=[[1]] * 2, columns={})
    assert found.proxy.tolist() == pytest.approx([1.0, 0.5 * human[1]])
    assert found.true.tolist() == pytest.approx([0.5 * h for h in human])
    assert found.hacked.tolist() == [True, False]
