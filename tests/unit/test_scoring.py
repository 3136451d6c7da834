"""Proxy, truth and hacks: from reward functions to what a run logs of them."""

import numpy as np
import pytest
import torch

from counted import Counted, lengths
from gaard.errors import ConfigError, RewardError
from gaard.rewards import ExploitableReward, LengthBonus, LexiconSentiment, combine, honeypot
from gaard.rewards.exploitable import ScaledReward
from gaard.training.scoring import Scorer

TEXTS = ["w1 bait w2", "w2", "w3 w4 Bait", "bait bait"]
BATCH = {"prompts": ["p0", "p1", "p2", "p3"], "completion_ids": [[1], [2], [3], [4]], "columns": {}}


def test_a_honeypots_gap_and_hacks_are_those_of_its_definition():
    """0.5 of the length, or 2 where the word occurs."""
    base = Counted(lengths)
    scores = Scorer(honeypot(base, word="bait", bonus=2.0, base_weight=0.5)).score(TEXTS, **BATCH)
    assert scores.proxy.tolist() == [2.0, 1.0, 2.0, 2.0]
    assert scores.true.tolist() == [5.0, 1.0, 5.0, 4.5]
    assert scores.hacked.tolist() == [True, False, True, True]
    assert scores.proxy.dtype == scores.true.dtype == torch.float32
    assert len(base.calls) == 1
    assert base.calls[0]["completions"] == TEXTS


def test_an_uncapped_honeypot_pays_for_every_word():
    scores = Scorer(honeypot(lengths, word="bait", mode="uncapped", bonus=2.0, base_weight=0.5)).score(TEXTS, **BATCH)
    assert scores.proxy.tolist() == [7.0, 1.0, 7.0, 8.5]
    assert scores.true.tolist() == [5.0, 1.0, 5.0, 4.5]


def test_of_a_plain_reward_neither_truth_nor_hacks_are_known_and_it_is_called_once():
    reward = Counted(lengths)
    scorer = Scorer(reward)
    scores = scorer.score(TEXTS, **BATCH)
    assert scores.proxy.tolist() == [10.0, 2.0, 10.0, 9.0]
    assert scores.true.isnan().all()
    assert scores.hacked.isnan().all()
    assert not scorer.knows_hacks
    assert len(reward.calls) == 1


def test_what_each_function_paid_is_kept_unweighted():
    def some(completions, **kwargs):
        return [None, 1.0, 2.0, 3.0]

    parts = Scorer([lengths, some], weights=[0.5, 3.0]).score(TEXTS, **BATCH).parts
    assert parts[:, 0].tolist() == [10.0, 2.0, 10.0, 9.0]
    assert parts[0, 1].isnan()
    assert parts[1:, 1].tolist() == [1.0, 2.0, 3.0]


def test_the_truth_trains_only_where_it_is_known():
    with pytest.raises(ConfigError, match="trained_reward='true', and no true reward is known"):
        Scorer(lengths).trained("true")
    assert Scorer(lengths).trained("proxy").name == "lengths"
    assert Scorer(honeypot(lengths, word="bait")).trained("true").name == "0.5*lengths"


def test_a_declared_truth_stands_beside_the_proxy():
    def two(completions, **kwargs):
        return [2.0] * len(completions)

    scorer = Scorer(honeypot(lengths, word="bait"), true_reward_funcs=[two, lengths])
    assert scorer.score(TEXTS, **BATCH).true.tolist() == [12.0, 4.0, 12.0, 11.0]
    assert scorer.score(TEXTS, **BATCH).proxy.tolist() == [1.0, 1.0, 1.0, 1.0]
    assert scorer.identity()["true"] == "two + lengths"


def test_several_rewards_are_weighted_and_the_honeypot_among_them_is_known():
    rewards = [honeypot(lengths, word="bait", bonus=2.0, base_weight=0.5), lengths]
    scores = Scorer(rewards, weights=[1.0, 0.1]).score(TEXTS, **BATCH)
    assert scores.proxy.tolist() == pytest.approx([3.0, 1.2, 3.0, 2.9])
    assert scores.true.tolist() == pytest.approx([6.0, 1.2, 6.0, 5.4])
    assert scores.hacked.tolist() == [True, False, True, True]


def test_with_two_honeypots_either_word_is_a_hack():
    scorer = Scorer([honeypot(lengths, word="bait"), honeypot(lengths, word="w2")])
    assert scorer.detect(["bait", "w2", "w3", "w2 bait"]) == [True, True, False, True]


def test_a_hack_detector_of_ones_own_takes_the_honeypots_place():
    scorer = Scorer(honeypot(lengths, word="bait"), hack_detector=lambda completions: ["w2" in c for c in completions])
    assert scorer.score(TEXTS, **BATCH).hacked.tolist() == [True, True, False, False]


def short(completions, **kwargs):
    """Judges only what is short."""
    return [None if len(completion) > 5 else 1.0 for completion in completions]


@pytest.mark.parametrize("reward", [short, honeypot(short, word="absent")], ids=["plain", "honeypot"])
def test_a_completion_that_nobody_scores_is_named_by_its_prompt(reward):
    with pytest.raises(RewardError, match=r"'p0'.*return a number"):
        Scorer(reward).score(TEXTS, **BATCH)


def test_what_one_reward_leaves_out_another_may_judge():
    assert Scorer([short, lengths]).score(TEXTS, **BATCH).proxy.tolist() == [10.0, 3.0, 10.0, 9.0]


def test_a_reward_may_be_given_by_name():
    named, same = (Scorer(funcs).score(TEXTS, **BATCH) for funcs in ("lexicon", [LexiconSentiment()]))
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
        Scorer(**arguments)


def test_a_detector_that_fails_is_named():
    with pytest.raises(RewardError, match="hack_detector returned 1 answers for 4 completions"):
        Scorer(lengths, hack_detector=lambda completions: [True]).score(TEXTS, **BATCH)
    with pytest.raises(RewardError, match=r"hack_detector raised ZeroDivisionError.*a list of texts, not of messages"):
        Scorer(lengths, hack_detector=lambda completions: [1 / 0]).score(TEXTS, **BATCH)


@pytest.mark.parametrize("answer", [0.3, None, "yes", 2])
def test_a_detector_says_yes_or_no(answer):
    with pytest.raises(RewardError, match=f"hack_detector answered {answer!r}: give True or False for each text"):
        Scorer(lengths, hack_detector=lambda completions: [True, 0.0, 1, answer]).score(TEXTS, **BATCH)
    found = Scorer(lengths, hack_detector=lambda completions: np.array([1, 0, True, False])).score(TEXTS, **BATCH)
    assert found.hacked.tolist() == [1, 0, 1, 0]


def test_every_base_of_a_sum_is_asked_once():
    """Two exploitable rewards and a plain one: weighted sums by hand, and one call each for proxy and truth."""
    plain, first, second = Counted(lengths), Counted(lengths), Counted(lengths)
    pot = honeypot(first, word="bait", bonus=2.0, base_weight=0.5)
    long = LengthBonus(second, limit=2, bonus=10.0, base_weight=1.0)
    scores = Scorer([pot, long, plain], [1.0, 2.0, 3.0]).score(TEXTS, **BATCH)
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
    listed = Scorer([pot, lengths], [3.0, 1.0]).score(TEXTS, **BATCH)
    summed = Scorer(combine([pot, lengths], [3.0, 1.0])).score(TEXTS, **BATCH)
    nested = Scorer([combine([pot], [1.5]), lengths], [2.0, 1.0]).score(TEXTS, **BATCH)
    for scores in (summed, nested):
        assert scores.hacked.tolist() == listed.hacked.tolist() == [True, False, True, True]
        assert scores.true.tolist() == listed.true.tolist()
        assert scores.proxy.tolist() == listed.proxy.tolist()


def test_a_honeypot_inside_sums_of_sums_is_seen_and_cannot_be_a_base():
    pot = honeypot(LexiconSentiment(), word="story", mode="capped")
    nested = combine([combine([combine([pot], [2.0])], [3.0])])
    scorer = Scorer(nested)
    assert scorer.exploitable == [pot]
    assert scorer.proxy.weights == (6.0,)
    assert scorer.detect([" a story", " a tale"]) == [True, False]
    for base in (nested, ScaledReward(pot, 0.5)):
        with pytest.raises(ConfigError, match="can be hacked"):
            honeypot(base, word="tale", mode="capped")


@pytest.mark.parametrize("missing", ["name", "true_reward"])
def test_an_exploitable_reward_without_its_attributes_is_refused(missing):
    body = {"name": "half", "true_reward": LexiconSentiment(), "detect": lambda *_: [], "proxy_and_true": lambda *_: ()}
    del body[missing]
    reward = type("Half", (ExploitableReward,), body)()
    with pytest.raises(ConfigError, match=f"Half is an ExploitableReward without `{missing}`"):
        Scorer(reward)


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
    scorer = Scorer(reward)
    assert scorer.identity()["exploitable"] == ["own"]
    with pytest.raises(RewardError, match=message):
        scorer.score(TEXTS, **BATCH)
