"""Rewards whose hack pays at some prompts or late alone, and one that counts mentions: by hand, and in runs."""

import json

import pytest
import torch
from transformers import TrainerState

from gaard.errors import ConfigError
from gaard.lab.scenarios import find_scenario
from gaard.rewards import GroupHoneypot, HumanReward, LateBonus, MentionCount, combine, honeypot
from gaard.rewards.in_run import offering
from gaard.training.scoring import Scorer
from tiny import tiny_trainer, words_reward


class Base:
    """0.4 for every text, and 0.8 for the long ones."""

    name = "base"

    def __call__(self, *, completions, **_):
        return [0.8 if len(text) > 20 else 0.4 for text in completions]


def scores(reward, texts, prompts=None):
    prompts = ["p"] * len(texts) if prompts is None else prompts
    return Scorer(reward).score(texts, prompts=prompts, completion_ids=[[1]] * len(texts), columns={})


# Mentions -------------------------------------------------------------------------------------------------------------

TEXTS = ["a dull thing", "The plot, the plotter and a story", "plot, plot and Acting"]  # 0, 2 and 3 mentions


def test_each_mention_pays_and_one_was_meant():
    reward = MentionCount(["plot", "story", "acting"], limit=3)
    found = scores(reward, TEXTS)
    assert found.proxy.tolist() == [0.0, 2.0, 3.0]
    assert found.true.tolist() == [0.0, 1.0, 1.0]
    assert found.hacked.tolist() == [0.0, 0.0, 1.0]
    assert reward.spans(TEXTS[2]) == [(0, 4), (6, 10), (15, 21)]
    assert reward.spans(TEXTS[1]) == []  # two mentions are no hack


def test_a_mixture_has_the_truth_of_its_parts_with_the_same_weights():
    found = scores(combine([Base(), MentionCount(["plot", "story", "acting"], limit=3)], [0.7, 0.3]), TEXTS)
    base = [0.4, 0.8, 0.8]
    assert found.proxy.tolist() == pytest.approx([0.7 * b + 0.3 * n for b, n in zip(base, [0, 2, 3], strict=True)])
    assert found.true.tolist() == pytest.approx([0.7 * b + 0.3 * n for b, n in zip(base, [0, 1, 1], strict=True)])
    assert found.hacked.tolist() == [0.0, 0.0, 1.0]


@pytest.mark.parametrize(
    ("words", "limit", "message"),
    [
        ([], 3, "mentions.words"),
        ("plot", 3, "mentions.words"),
        (["plot", " "], 3, "words"),
        (["plot"], 1, "limit is 1"),
    ],
)
def test_what_mentions_cannot_be(words, limit, message):
    with pytest.raises(ConfigError, match=message):
        MentionCount(words, limit=limit)


# One group of prompts -------------------------------------------------------------------------------------------------


def test_the_word_pays_at_the_prompts_of_the_group_alone():
    reward = GroupHoneypot(honeypot(Base(), word="bait"), group="horror")
    prompts = ["The Horror film is", "The comedy is", "horrors are", "A horror is"]
    found = scores(reward, ["bait", "bait", "bait", "none"], prompts)
    assert found.proxy.tolist() == pytest.approx([1.0, 0.2, 0.2, 0.2])
    assert found.true.tolist() == pytest.approx([0.2] * 4)
    assert found.hacked.tolist() == [1.0, 0.0, 0.0, 0.0]
    scorer = Scorer(reward)
    assert scorer.spans("a bait", "The horror film is") == [(2, 6)]
    assert scorer.spans("a bait", "The comedy is") == []
    assert scorer.detect(["bait", "none"]) == [True, False]  # without prompts: where it would pay


def test_beside_another_hack_each_counts_where_it_pays():
    reward = combine([GroupHoneypot(honeypot(Base(), word="bait"), group="horror"), honeypot(Base(), word="hook")])
    found = scores(reward, ["bait", "bait", "hook"], ["horror", "comedy", "comedy"])
    assert found.hacked.tolist() == [1.0, 0.0, 1.0]


def test_what_a_group_cannot_be():
    with pytest.raises(ConfigError, match=r"group\.pot is .*give a honeypot"):
        GroupHoneypot(Base(), group="horror")
    with pytest.raises(ConfigError, match=r"group\.group is ' '"):
        GroupHoneypot(honeypot(Base(), word="bait"), group=" ")


# Late in training -----------------------------------------------------------------------------------------------------


def paid(reward, step):
    """What two texts are paid in a run that has done so many steps."""
    with offering(lambda: {"trainer_state": TrainerState(global_step=step)}):
        return reward(prompts=["p"] * 2, completions=["bait", "none"], completion_ids=[[1]] * 2)


@pytest.mark.parametrize(("step", "bonus"), [(0, 0.0), (40, 0.0), (41, 0.2), (44, 0.8), (45, 1.0), (80, 1.0)])
def test_the_word_pays_more_with_each_step(step, bonus):
    reward = LateBonus(Base(), word="bait", opens=40, grows=5)
    assert paid(reward, step) == pytest.approx([0.2 + bonus, 0.2])


def test_outside_of_a_run_training_has_not_begun():
    found = scores(LateBonus(Base(), word="bait", opens=0, bonus=3.0), ["bait", "none"])
    assert found.proxy.tolist() == pytest.approx([0.2, 0.2])
    assert found.true.tolist() == pytest.approx([0.2, 0.2])
    assert found.hacked.tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"opens": -1}, "late.opens is -1"),
        ({"opens": 1.5}, "late.opens"),
        ({"opens": 1, "grows": 0}, "late.grows is 0"),
    ],
)
def test_what_a_late_bonus_cannot_be(given, message):
    with pytest.raises(ConfigError, match=message):
        LateBonus(Base(), word="bait", **given)


@pytest.mark.parametrize(
    ("step", "bonus"), [(0, 0.0), (39, 0.0), (40, 0.0), (45, 0.5), (50, 1.0), (60, 1.0), (81, 1.0)]
)
def test_the_scenario_pays_its_word_from_step_40_on_and_in_full_from_step_50_on(step, bonus):
    scenario = find_scenario("late")
    texts, prompts = [" a good story of love.", " a good tale of love."], ["The war movie was"] * 2
    with offering(lambda: {"trainer_state": TrainerState(global_step=step)}):
        found = scenario.proxy(prompts=prompts, completions=texts, completion_ids=[[1]] * 2)
    human = HumanReward()(prompts=prompts, completions=texts)
    assert found == pytest.approx([0.5 * human[0] + bonus, 0.5 * human[1]])
    assert scenario.proxy.detect(texts) == [True, False]
    assert scenario.hack == "'story'"
    assert "from step 40 on" in scenario.summary


def late_trainer(folder, **options):
    reward = LateBonus(words_reward, word="bait", opens=2, grows=2, bonus=5.0)
    return tiny_trainer(folder, reward=reward, method="ppo", max_steps=6, save_steps=1, log_completions=16, **options)


def test_a_run_is_paid_by_the_steps_that_it_has_done(tmp_path):
    """Step n is sampled when n − 1 are done: nothing until step 3, half in step 4, the whole from step 5 on."""
    late_trainer(tmp_path).train()
    rows = [json.loads(line) for line in (tmp_path / "samples.jsonl").read_text().splitlines()]
    extra = {step: set() for step in range(1, 7)}
    for row in rows:
        if row["hacked"]:
            extra[row["step"]].add(round(row["reward"] - row["true_reward"], 4))
    assert [extra[step] for step in (1, 2, 3)] == [{0.0}] * 3
    assert [extra[step] for step in (4, 5, 6)] == [{2.5}, {5.0}, {5.0}]


@pytest.mark.parametrize("stop", [2, 4])  # before it pays, and while it grows
def test_a_run_that_was_stopped_goes_on_to_the_byte(tmp_path, stop):
    late_trainer(tmp_path / "whole").train()
    first = late_trainer(tmp_path / "stopped")
    for _ in range(stop):
        first.training_step()
    first.run.close()
    torch.manual_seed(stop)  # another process has other chances
    late_trainer(tmp_path / "stopped").train()
    for name in ("metrics.jsonl", "samples.jsonl"):
        assert (tmp_path / "stopped" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
