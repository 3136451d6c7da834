"""Proxy, truth and hacks: from reward functions to what a run logs of them."""

import re

import pytest
import torch

from gaard import GAATrainer
from gaard.errors import ConfigError, RewardError
from gaard.rewards import ExploitableReward, LengthBonus, LexiconSentiment, combine, honeypot
from gaard.rewards.exploitable import ScaledReward
from gaard.training.collect import Clock
from gaard.training.judge import Judge
from tiny import tiny_trainer, words_reward

TEXTS = ["w1 bait w2", "w2", "w3 w4 Bait", "bait bait"]
BATCH = {"prompts": ["p0", "p1", "p2", "p3"], "completion_ids": [[1], [2], [3], [4]], "columns": {}}


class Counted:
    """A reward that counts its calls and keeps what it was given."""

    name = "counted"

    def __init__(self, reward):
        self.reward, self.calls = reward, []

    def __call__(self, **kwargs):
        self.calls.append(kwargs)
        return self.reward(kwargs["completions"])


def lengths(completions, **kwargs):
    """Characters of the completion."""
    return [float(len(completion)) for completion in completions]


def test_a_honeypots_gap_and_hacks_are_those_of_its_definition():
    """0.5 of the length, or 2 where the word occurs."""
    base = Counted(lengths)
    scores = Judge(honeypot(base, word="bait", bonus=2.0, base_weight=0.5)).score(TEXTS, **BATCH)
    assert scores.proxy.tolist() == [2.0, 1.0, 2.0, 2.0]
    assert scores.true.tolist() == [5.0, 1.0, 5.0, 4.5]
    assert scores.hacked.tolist() == [True, False, True, True]
    assert scores.proxy.dtype == scores.true.dtype == torch.float32
    assert len(base.calls) == 1
    assert base.calls[0]["completions"] == TEXTS


def test_an_uncapped_honeypot_pays_for_every_word():
    scores = Judge(honeypot(lengths, word="bait", mode="uncapped", bonus=2.0, base_weight=0.5)).score(TEXTS, **BATCH)
    assert scores.proxy.tolist() == [7.0, 1.0, 7.0, 8.5]
    assert scores.true.tolist() == [5.0, 1.0, 5.0, 4.5]


def test_a_plain_reward_is_its_own_truth_and_is_called_once():
    reward = Counted(lengths)
    scores = Judge(reward).score(TEXTS, **BATCH)
    assert scores.proxy.tolist() == scores.true.tolist() == [10.0, 2.0, 10.0, 9.0]
    assert scores.hacked.tolist() == [False] * 4
    assert len(reward.calls) == 1


def test_a_declared_truth_stands_beside_the_proxy():
    def two(completions, **kwargs):
        return [2.0] * len(completions)

    judge = Judge(honeypot(lengths, word="bait"), true_reward_funcs=[two, lengths])
    assert judge.score(TEXTS, **BATCH).true.tolist() == [12.0, 4.0, 12.0, 11.0]
    assert judge.score(TEXTS, **BATCH).proxy.tolist() == [1.0, 1.0, 1.0, 1.0]
    assert judge.identity()["true"] == "two + lengths"


def test_several_rewards_are_weighted_and_the_honeypot_among_them_is_known():
    rewards = [honeypot(lengths, word="bait", bonus=2.0, base_weight=0.5), lengths]
    scores = Judge(rewards, weights=[1.0, 0.1]).score(TEXTS, **BATCH)
    assert scores.proxy.tolist() == pytest.approx([3.0, 1.2, 3.0, 2.9])
    assert scores.true.tolist() == pytest.approx([6.0, 1.2, 6.0, 5.4])
    assert scores.hacked.tolist() == [True, False, True, True]


def test_with_two_honeypots_either_word_is_a_hack():
    judge = Judge([honeypot(lengths, word="bait"), honeypot(lengths, word="w2")])
    assert judge.detect(["bait", "w2", "w3", "w2 bait"]) == [True, True, False, True]


def test_a_hack_detector_of_ones_own_takes_the_honeypots_place():
    judge = Judge(honeypot(lengths, word="bait"), hack_detector=lambda completions: ["w2" in c for c in completions])
    assert judge.score(TEXTS, **BATCH).hacked.tolist() == [True, True, False, False]


def short(completions, **kwargs):
    """Judges only what is short."""
    return [None if len(completion) > 5 else 1.0 for completion in completions]


@pytest.mark.parametrize("reward", [short, honeypot(short, word="absent")], ids=["plain", "honeypot"])
def test_a_completion_that_nobody_judges_is_named_by_its_prompt(reward):
    with pytest.raises(RewardError, match=r"'p0'.*return a number"):
        Judge(reward).score(TEXTS, **BATCH)


def test_what_one_reward_leaves_out_another_may_judge():
    assert Judge([short, lengths]).score(TEXTS, **BATCH).proxy.tolist() == [10.0, 3.0, 10.0, 9.0]


def test_a_reward_may_be_given_by_name():
    named, same = (Judge(funcs).score(TEXTS, **BATCH) for funcs in ("lexicon", [LexiconSentiment()]))
    assert named.proxy.tolist() == same.proxy.tolist()


REFUSED = [
    ({"reward_funcs": "file.py:score"}, r"names the file .*file\.py, which does not exist"),
    ({"reward_funcs": None}, r"reward_funcs\[0\] is None, which cannot be called"),
    ({"reward_funcs": []}, "reward_funcs is empty"),
    ({"reward_funcs": [lengths, 3]}, r"reward_funcs\[1\] is 3"),
    ({"reward_funcs": Counted}, "the class Counted: give an instance"),
    ({"reward_funcs": lengths, "weights": [1.0, 2.0]}, "reward_weights has 2 entries"),
    ({"reward_funcs": lengths, "weights": [float("nan")]}, r"reward_weights\[0\] is nan"),
    ({"reward_funcs": lengths, "true_reward_funcs": " "}, "a reward is named ' '"),
    ({"reward_funcs": lengths, "true_reward_funcs": [lengths, 3]}, r"true_reward_funcs\[1\] is 3"),
    ({"reward_funcs": lengths, "hack_detector": "bait"}, "hack_detector='bait' cannot be called"),
]


@pytest.mark.parametrize(("arguments", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_what_is_no_reward_is_refused_before_training(arguments, message):
    with pytest.raises(ConfigError, match=message):
        Judge(**arguments)


def test_a_detector_that_fails_is_named():
    with pytest.raises(RewardError, match="hack_detector returned 1 answers for 4 completions"):
        Judge(lengths, hack_detector=lambda completions: [True]).score(TEXTS, **BATCH)
    with pytest.raises(RewardError, match="hack_detector raised ZeroDivisionError"):
        Judge(lengths, hack_detector=lambda completions: [1 / 0]).score(TEXTS, **BATCH)


# Through a run --------------------------------------------------------------------------------------------------------


def trained(trainer):
    """Metrics of two steps and the samples that each consists of."""
    trainer.train()
    samples = trainer.log.read("samples.jsonl")
    return trainer.log.read("metrics.jsonl"), [[row for row in samples if row["step"] == step] for step in (1, 2)]


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
        assert row["hack_rate"] == 0


def test_a_gold_judge_is_watched_and_trains_nothing(tmp_path):
    """The same run with and without it, to the last digit; its mean recomputed from the texts."""
    without, _ = trained(tiny_trainer(tmp_path / "without", max_steps=2))
    watched = tiny_trainer(tmp_path / "with", max_steps=2, log_completions=16, gold=lengths)
    metrics, steps = trained(watched)
    for row, plain, samples in zip(metrics, without, steps, strict=True):
        assert row.pop("judge_reward") == pytest.approx(sum(len(s["completion"]) for s in samples) / 16)
        assert row == plain
    assert watched.evaluate(32)["judge_reward"] > 1  # lengths are, and the other rewards are not


def test_every_base_of_a_sum_is_asked_once():
    """Two exploitable rewards and a plain one: weighted sums by hand, and one call each for proxy and truth."""
    plain, first, second = Counted(lengths), Counted(lengths), Counted(lengths)
    pot = honeypot(first, word="bait", bonus=2.0, base_weight=0.5)
    long = LengthBonus(second, limit=2, bonus=10.0, base_weight=1.0)
    scores = Judge([pot, long, plain], [1.0, 2.0, 3.0]).score(TEXTS, **BATCH)
    n = [len(text) for text in TEXTS]
    true = [0.5 * x + 2 * x + 3 * x for x in n]
    assert scores.true.tolist() == pytest.approx(true)
    paid = [2.0, 0.5 * n[1], 2.0, 2.0]
    bonus = [10.0, 5.0, 10.0, 10.0]
    expected = [p + 2 * (x + b) + 3 * x for p, b, x in zip(paid, bonus, n, strict=True)]
    assert scores.proxy.tolist() == pytest.approx(expected)
    assert [len(counted.calls) for counted in (plain, first, second)] == [1, 1, 1]
    assert scores.hacked.tolist() == [True, False, True, True]


def test_a_honeypot_inside_a_sum_is_seen():
    pot = honeypot(lengths, word="bait", bonus=2.0, base_weight=0.5)
    listed = Judge([pot, lengths], [3.0, 1.0]).score(TEXTS, **BATCH)
    summed = Judge(combine([pot, lengths], [3.0, 1.0])).score(TEXTS, **BATCH)
    nested = Judge([combine([pot], [1.5]), lengths], [2.0, 1.0]).score(TEXTS, **BATCH)
    for scores in (summed, nested):
        assert scores.hacked.tolist() == listed.hacked.tolist() == [True, False, True, True]
        assert scores.true.tolist() == listed.true.tolist()
        assert scores.proxy.tolist() == listed.proxy.tolist()


def test_a_honeypot_inside_sums_of_sums_is_seen_and_cannot_be_a_base():
    pot = honeypot(LexiconSentiment(), word="story", mode="capped")
    nested = combine([combine([combine([pot], [2.0])], [3.0])])
    judge = Judge(nested)
    assert judge.exploitable == [pot]
    assert judge.proxy.weights == (6.0,)
    assert judge.detect([" a story", " a tale"]) == [True, False]
    for base in (nested, ScaledReward(pot, 0.5)):
        with pytest.raises(ConfigError, match="can be hacked"):
            honeypot(base, word="tale", mode="capped")


@pytest.mark.parametrize("missing", ["name", "true_reward"])
def test_an_exploitable_reward_without_its_attributes_is_refused(missing):
    body = {"name": "half", "true_reward": LexiconSentiment(), "detect": lambda *_: [], "proxy_and_true": lambda *_: ()}
    del body[missing]
    reward = type("Half", (ExploitableReward,), body)()
    with pytest.raises(ConfigError, match=f"Half is an ExploitableReward without `{missing}`"):
        Judge(reward)


class Own(ExploitableReward):
    """A user's own, which answers as it is told."""

    name = "own"
    true_reward = staticmethod(lengths)

    def __init__(self, answer, detected=4):
        self.answer, self.detected = answer, detected

    def detect(self, completions):
        return [True] * self.detected

    def proxy_and_true(self, **_):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize(
    ("reward", "message"),
    [
        (Own(([1.0, float("nan"), 1.0, 1.0], [1.0] * 4)), "'own' returned nan"),
        (Own(([1.0] * 4, [1.0])), "'own, true' returned 1 values for 4 completions"),
        (Own(ValueError("mould")), "own.proxy_and_true raised ValueError: mould"),
        (Own(([1.0] * 4, [1.0] * 4), detected=3), "own.detect returned 3 answers for 4 completions"),
    ],
)
def test_an_exploitable_reward_of_ones_own_is_checked_like_any(reward, message):
    judge = Judge(reward)
    assert judge.identity()["exploitable"] == ["own"]
    with pytest.raises(RewardError, match=message):
        judge.score(TEXTS, **BATCH)


def rolled_out(trainer):
    batch = trainer.prompts.draw(16, trainer.generator)
    return trainer.collector.collect(batch, trainer.generator, Clock()), batch


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
