"""Training without a critic: whose advantages train, that there is no value head, and what is left of a safeguard."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open

from gaard import GAAConfig, advantages
from gaard.method.token_worth import TokenMemory
from gaard.methods import ESTIMATORS
from gaard.regularizers import REGULARIZERS
from gaard.training.collect import Clock
from gaard.training.estimate import estimate
from tiny import bait_reward, tiny_trainer

FORMS = {"grpo": advantages.grpo, "dr_grpo": advantages.dr_grpo, "rloo": advantages.rloo}


def group_trainer(folder, name="grpo", size=4, **options):
    """A trainer whose rollouts are of groups."""
    settings = {"method": "ppo", "advantages": {"name": name, "num_generations": size}, **options}
    return tiny_trainer(folder, prompts=["w1 w2", "w3", "w4 w5 w6", "w7", "w8 w9"], **settings)


def rollout_of(trainer):
    """A rollout as a step of training has it."""
    batch = trainer.prompts.draw(trainer.args.batch_size, trainer.generator, trainer.args.advantages.num_generations)
    return batch, trainer.collector.collect(batch, trainer.generator, Clock(), trainer.args.observes)


# Groups ---------------------------------------------------------------------------------------------------------------


def test_the_completions_of_a_prompt_stand_beside_each_other(tmp_path):
    batch, rollout = rollout_of(group_trainer(tmp_path))
    texts = [batch.texts[i : i + 4] for i in range(0, 16, 4)]
    assert all(len(set(group)) == 1 for group in texts)
    assert len({group[0] for group in texts}) == 4
    for group in rollout.prompt_ids.split(4):
        assert (group == group[0]).all()
    assert len({tuple(row) for row in rollout.completion_ids[:4].tolist()}) > 1


def test_every_prompt_comes_once_before_one_comes_again(tmp_path):
    trainer = group_trainer(tmp_path, batch_size=20)
    batch, _ = rollout_of(trainer)
    assert len(set(batch.texts)) == 5


# Advantages -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("method", ["ppo", {"name": "fold", "threshold": 0.8}], ids=["ppo", "fold"])
def test_the_advantages_that_train_are_those_of_the_public_function(name, method, tmp_path):
    trainer = group_trainer(tmp_path, name, method=method)
    _, rollout = rollout_of(trainer)
    fold = method["threshold"] if isinstance(method, dict) else None
    expected = advantages.per_token(FORMS[name](rollout.scores, 4, fold=fold), rollout.completion_mask)
    experience = estimate(rollout, trainer.args)
    torch.testing.assert_close(experience.advantages, expected, rtol=1e-6, atol=1e-7)
    assert experience.turned.any() == (fold is not None)


@pytest.mark.parametrize("name", FORMS)
def test_a_penalty_of_each_token_counts_into_its_completions_reward(name, tmp_path):
    trainer = group_trainer(tmp_path, name, kl_estimator="k1", kl_coef=0.3)
    trainer.training_step()  # so that the policy is not the reference
    _, rollout = rollout_of(trainer)
    penalty = ((rollout.logprobs - rollout.ref_logprobs) * rollout.completion_mask).sum(-1)
    assert penalty.abs().max() > 1e-3
    expected = advantages.per_token(FORMS[name](rollout.scores - 0.3 * penalty, 4), rollout.completion_mask)
    torch.testing.assert_close(estimate(rollout, trainer.args).advantages, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", FORMS)
def test_a_penalty_of_each_token_makes_nothing_stand_out(name, tmp_path):
    """Among completions that are paid one number it is all that differs, and as the scale it would turn successes."""
    trainer = group_trainer(tmp_path, name, kl_estimator="k1", kl_coef=0.3, method="fold")
    trainer.training_step()  # so that the policy is not the reference
    _, rollout = rollout_of(trainer)
    paid = torch.tensor([1.0, 1.0, 0.0, 0.0] + [0.0] * 12)
    experience = estimate(replace(rollout, scores=paid, trained_scores=paid), trainer.args)
    assert not experience.turned.any()
    loophole = torch.tensor([5.0, 0.1, 0.2, 0.3] + [0.0, 0.1, 0.2, 0.3] * 3)
    experience = estimate(replace(rollout, scores=loophole, trained_scores=loophole), trainer.args)
    assert experience.turned[0].any()
    assert not experience.turned[1:].any()


@pytest.mark.parametrize("name", FORMS)
def test_what_a_penalty_pushes_away_is_not_pulled_back(name, tmp_path):
    trainer = group_trainer(tmp_path, name, kl_estimator="k1", kl_coef=1e4, method="fold")
    trainer.training_step()
    _, rollout = rollout_of(trainer)
    plain = group_trainer(tmp_path / "ppo", name, kl_estimator="k1", kl_coef=1e4)
    worst = int(estimate(rollout, plain.args).advantages[:, 0].argmin())
    paid = torch.tensor([0.0, 0.1, 0.2, 0.3] * 4)
    paid[worst] = 5.0  # which makes up for little of the penalty
    rollout = replace(rollout, scores=paid, trained_scores=paid)
    folded, own = (estimate(rollout, each.args).advantages for each in (trainer, plain))
    assert own[worst, 0] < 0
    assert torch.equal(folded, own)


def test_rewards_and_advantages_are_scaled_by_the_estimators_rule_unless_the_run_says_otherwise(tmp_path):
    critic, group = GAAConfig("x"), GAAConfig("x", advantages="rloo")
    assert (critic.standardizes_rewards, critic.standardizes_advantages) == (True, True)
    assert (group.standardizes_rewards, group.standardizes_advantages) == (False, False)
    said = GAAConfig("x", advantages="rloo", normalize_rewards=True, whiten_advantages=True)
    assert (said.standardizes_rewards, said.standardizes_advantages) == (True, True)
    trainer = group_trainer(tmp_path, "dr_grpo", normalize_rewards=True)
    _, rollout = rollout_of(trainer)
    expected = advantages.dr_grpo(rollout.scores, 4) / rollout.scores.std(correction=0)
    torch.testing.assert_close(estimate(rollout, trainer.args).advantages[:, 0], expected, rtol=1e-4, atol=1e-6)


# No critic ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FORMS)
def test_there_is_no_value_head_anywhere(name, tmp_path):
    trainer = group_trainer(tmp_path / "run", name, max_steps=2)
    metrics = trainer.train()
    assert metrics.keys().isdisjoint({"value", "value_loss", "explained_variance"})
    assert not any("value_head" in key for key, _ in trainer.policy.named_parameters())
    assert len(trainer.optimizer.param_groups) == 1
    with safe_open(tmp_path / "run" / "checkpoints" / "step-000002" / "policy.safetensors", "pt") as weights:
        assert not any("value_head" in key for key in set(weights.keys()))
    trainer.save_model(tmp_path / "model")
    assert not (tmp_path / "model" / "value_head.safetensors").exists()
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["model_setup"]["value_head"] is None


def test_a_run_by_groups_goes_on_as_if_it_had_not_stopped(tmp_path):
    whole = group_trainer(tmp_path / "whole", max_steps=4, method="gaa", reward=bait_reward)
    whole.train()
    half = group_trainer(tmp_path / "half", max_steps=4, save_steps=2, method="gaa", reward=bait_reward)
    half.training_step(), half.training_step()
    half.run.close()
    again = group_trainer(tmp_path / "half", max_steps=4, save_steps=2, method="gaa", reward=bait_reward)
    again.train()
    files = [(tmp_path / name / "metrics.jsonl").read_bytes() for name in ("whole", "half")]
    assert files[0] == files[1]


@pytest.mark.parametrize("regularizer", sorted(set(REGULARIZERS) - {"ensemble", "imperfect-detector"}))
def test_regularizers_work_without_a_critic(regularizer, tmp_path):
    plain = group_trainer(tmp_path / "plain", max_steps=3).train()
    options = {"steps": 1} if regularizer == "reference-resets" else {}
    options = {"limit": 1e-9} if regularizer == "kl-budget" else options
    held = group_trainer(tmp_path / "held", max_steps=3, regularizers=[{"name": regularizer, **options}]).train()
    assert held != plain


# What trains ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FORMS)
def test_what_is_rewarded_becomes_more_frequent(name, tmp_path):
    trainer = group_trainer(tmp_path, name, batch_size=64, size=8, max_steps=25, learning_rate=3e-3, kl_coef=0.0)
    rows = [trainer.training_step()["reward"] for _ in range(25)]
    assert sum(rows[-5:]) / 5 > sum(rows[:5]) / 5 + 0.1


def test_the_gap_in_expectation_needs_no_critic(tmp_path):
    """A token whose texts are paid more than others has a gap, found from whole completions' advantages."""
    trainer = group_trainer(tmp_path, size=8, batch_size=512, reward=bait_reward, method="gaa")
    _, rollout = rollout_of(trainer)
    experience = estimate(rollout, trainer.args, TokenMemory())
    bait = trainer.tokenizer.convert_tokens_to_ids("bait")
    found = experience.greedy_ids[experience.sigma > 0]
    assert len(found)
    assert (found == bait).double().mean() > 0.9


def test_the_estimators_are_named():
    assert list(ESTIMATORS) == ["gae", "grpo", "dr_grpo", "rloo"]
