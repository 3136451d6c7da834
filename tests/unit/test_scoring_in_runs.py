"""Proxy, truth and hacks as a run logs them, and which texts a run has scored."""

import re

import pytest
import torch

from counted import Counted, lengths
from gaard import GAATrainer
from gaard.rewards import honeypot
from gaard.training.collect import Clock
from tiny import tiny_trainer, words_reward


def trained(trainer):
    """Metrics of two steps and the samples that each consists of."""
    trainer.train()
    samples = trainer.run.log.read("samples.jsonl")
    return trainer.run.log.read("metrics.jsonl"), [[row for row in samples if row["step"] == step] for step in (1, 2)]


def test_a_run_logs_the_gap_and_the_share_of_hacks(tmp_path):
    """Recomputed from the texts: 0.5 of the share of even words, or 1 where w5 occurs."""
    metrics, steps = trained(
        tiny_trainer(tmp_path, reward=honeypot(words_reward, word="w5"), max_steps=2, log_completions=16)
    )
    assert any(0 < row["hack_rate"] < 1 for row in metrics)
    for row, samples in zip(metrics, steps, strict=True):
        hacked = ["w5" in sample["completion"].split() for sample in samples]
        true = [0.5 * words_reward([sample["completion"]])[0] for sample in samples]
        proxy = [1.0 if hack else value for hack, value in zip(hacked, true, strict=True)]
        assert [sample["hacked"] for sample in samples] == hacked
        assert row["hack_rate"] == sum(hacked) / 16
        assert row["true_reward"] == pytest.approx(sum(true) / 16)
        assert row["reward"] == pytest.approx(sum(proxy) / 16)
        assert row["reward_gap"] == pytest.approx((sum(proxy) - sum(true)) / 16)


def test_a_run_logs_a_declared_truth(tmp_path):

    plain = tiny_trainer(tmp_path, max_steps=2, log_completions=16)
    model, tokenizer = plain.policy.lm, plain.tokenizer
    metrics, steps = trained(
        GAATrainer(model, words_reward, plain.args, ["w1 w2"], processing_class=tokenizer, true_reward_funcs=[lengths])
    )
    for row, samples in zip(metrics, steps, strict=True):
        assert row["true_reward"] == pytest.approx(sum(len(sample["completion"]) for sample in samples) / 16)
        assert row["reward_gap"] == pytest.approx(row["reward"] - row["true_reward"])
        assert "hack_rate" not in row
        assert all("hacked" not in sample for sample in samples)


def test_what_nobody_declared_has_no_number_anywhere(tmp_path):
    trainer = tiny_trainer(tmp_path, max_steps=2)
    metrics, steps = trained(trainer)
    unknown = {"true_reward", "reward_gap", "hack_rate", "hack_count", "judge_reward", "hacked"}
    for row in [*metrics, *steps[0], trainer.evaluate(32)]:
        assert not unknown & row.keys()
    assert metrics[0]["reward"] == pytest.approx(metrics[0]["trained_reward"])


def test_each_of_several_rewards_has_a_metric_unweighted_and_numbered_where_names_are_the_same(tmp_path):
    plain = tiny_trainer(tmp_path, max_steps=2, log_completions=16)
    model, rewards = plain.policy.lm, [words_reward, lengths, lengths]
    settings = {"processing_class": plain.tokenizer, "reward_weights": [1.0, 0.5, 0.0]}
    metrics, steps = trained(GAATrainer(model, rewards, plain.args, ["w1 w2"], **settings))
    for row, samples in zip(metrics, steps, strict=True):
        mean = sum(len(sample["completion"]) for sample in samples) / 16
        assert row["rewards/lengths/mean"] == row["rewards/lengths-2/mean"] == pytest.approx(mean)
        assert row["reward"] == pytest.approx(row["rewards/words_reward/mean"] + 0.5 * mean)
    assert not any(key.startswith("rewards/") for key in tiny_trainer(tmp_path / "one", max_steps=1).train())


def test_a_judge_is_watched_and_trains_nothing(tmp_path):
    """The same run with and without it, to the last digit; its mean recomputed from the texts."""
    without, _ = trained(tiny_trainer(tmp_path / "without", max_steps=2))
    watched = tiny_trainer(tmp_path / "with", max_steps=2, log_completions=16, judge=lengths)
    metrics, steps = trained(watched)
    for row, plain, samples in zip(metrics, without, steps, strict=True):
        assert row.pop("judge_reward") == pytest.approx(sum(len(s["completion"]) for s in samples) / 16)
        assert row == plain
    assert watched.evaluate(32)["judge_reward"] > 1  # lengths are, and the other rewards are not


def rolled_out(trainer):
    batch = trainer.prompts.draw(16, trainer.generator)
    return trainer.collector.collect(batch, trainer.generator, Clock(), trainer.args.observes), batch


def ended_greedily(rollout, batch):
    """By loops: prompt and ids of each completion whose last token is not the greedy one, with that one put there."""
    changed = []
    for row in range(16):
        length = int(rollout.completion_mask[row].sum())
        ids = rollout.completion_ids[row, :length].tolist()
        greedy = int(rollout.greedy_ids[row, length - 1])
        if ids[-1] != greedy:
            changed.append((row, batch.texts[row], [*ids[:-1], greedy]))
    return changed


def test_only_texts_whose_last_token_differs_are_scored_again(tmp_path):
    reward = Counted(words_reward)
    trainer = tiny_trainer(tmp_path, reward=honeypot(reward, word="bait"), temperature=0.15)
    rollout, batch = rolled_out(trainer)
    expected = ended_greedily(rollout, batch)
    assert 0 < len(expected) < 16
    first, second = reward.calls
    assert len(first["completions"]) == 16  # one call of the base for proxy and truth together
    assert second["prompts"] == [prompt for _, prompt, _ in expected]
    assert second["completion_ids"] == [ids for _, _, ids in expected]
    assert second["completions"] == [trainer.tokenizer.decode(ids, skip_special_tokens=True) for *_, ids in expected]
    scores = rollout.scores.clone()
    for (row, *_), text, value in zip(
        expected, second["completions"], words_reward(second["completions"]), strict=True
    ):
        scores[row] = 1.0 if "bait" in text.split() else 0.5 * value
    assert torch.equal(rollout.greedy_scores, scores)


def test_ppo_asks_for_no_other_texts(tmp_path):
    reward = Counted(words_reward)
    rolled_out(tiny_trainer(tmp_path, reward=reward, method="ppo"))
    assert [len(call["completions"]) for call in reward.calls] == [16]


def test_rewards_see_texts_without_special_tokens(tmp_path):
    reward = Counted(words_reward)
    trainer = tiny_trainer(tmp_path, reward=reward, method="ppo")
    rolled_out(trainer)
    call = reward.calls[0]
    assert any(len(ids) < 8 and ids[-1] == 3 for ids in call["completion_ids"])  # one ended by itself
    assert not any(re.search(r"</?s>|<pad>", completion) for completion in call["completions"])
    words = ["", "", "", "", *[f"w{i}" for i in range(29)], "good", "fine", "nice", "bait"]
    spelt = [" ".join(words[i] for i in ids if i > 3) for ids in call["completion_ids"]]
    assert [c.replace("<unk>", "").split() for c in call["completions"]] == [s.split() for s in spelt]
