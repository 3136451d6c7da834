"""What a reward was given tells it from others: closures, defaults, attributes, parameters; and what cannot be told."""

import functools
import json
import math
import threading

import numpy as np
import pytest
import torch

from counted import Counted, Holder, Wrapper, lengths
from gaard.rewards import (
    HumanReward,
    LengthBonus,
    LexiconSentiment,
    SentimentCliff,
    combine,
    honeypot,
    reward_from_name,
)
from gaard.rewards.exploitable import ScaledReward
from gaard.rewards.shaping import Neutrality
from gaard.training.scoring import Scorer


def network(value):
    layer = torch.nn.Linear(2, 1)
    torch.nn.init.constant_(layer.weight, value)
    torch.nn.init.zeros_(layer.bias)
    return layer


def limited(limit):
    def score(completions, **kwargs):
        return [limit for _ in completions]

    return score


def defaulting(limit):
    def score(completions, limit=limit, **kwargs):
        return [limit for _ in completions]

    return score


def keyword_defaulting(limit):
    def score(completions, *, limit=limit, **kwargs):
        return [limit for _ in completions]

    return score


VALUES = [
    (0.1, 0.2),
    (["a", "b"], ["a", "c"]),
    ({"a": 1}, {"a": 2}),
    ({"a"}, {"b"}),
    (np.arange(3), np.arange(4)),
    (torch.zeros(2), torch.ones(2)),
    (network(1.0), network(2.0)),
    (lengths, limited(1)),
    (limited(1), limited(2)),
    (LexiconSentiment(), LexiconSentiment(include_prompt=True)),
    (Holder(1), Holder(2)),
    (Wrapper(1), Holder(1)),
    (Holder, Wrapper),
    (functools.partial(lengths, a=1), functools.partial(lengths, a=2)),
    (functools.partial(lengths, 1), functools.partial(lengths, 2)),
    (Wrapper(1).__call__, Wrapper(2).__call__),
    ("ab".count, "ac".count),
    ("a" * 500, "a" * 499 + "b"),
    (float("nan"), float("inf")),
]
HOLDERS = [
    *(limited, defaulting, keyword_defaulting, Wrapper),
    lambda value: functools.partial(lengths, value),
    lambda value: functools.partial(lengths, value=value),
]


@pytest.mark.parametrize("holder", HOLDERS, ids=["closure", "default", "keyword", "attribute", "argument", "partial"])
@pytest.mark.parametrize(("first", "second"), VALUES)
def test_what_a_reward_was_given_counts(holder, first, second):
    assert Scorer(holder(first)).identity() == Scorer(holder(first)).identity() != Scorer(holder(second)).identity()


SHIPPED = [
    (LexiconSentiment(), LexiconSentiment(include_prompt=True)),
    (HumanReward(), HumanReward(include_prompt=False)),
    (LengthBonus(lengths, limit=3), LengthBonus(lengths, limit=4)),
    (LengthBonus(lengths, limit=3), LengthBonus(lengths, limit=3, bonus=2.0)),
    (ScaledReward(lengths, 0.5), ScaledReward(lengths, 0.6)),
    (SentimentCliff(lengths, threshold=0.8), SentimentCliff(lengths, threshold=0.9)),
    (Neutrality(lengths, 0.5), Neutrality(lengths, 0.6)),
    (honeypot(lengths, word="a"), honeypot(lengths, word="a", after="b")),
    (combine([lengths, lengths], [1, 2]), combine([lengths, lengths], [2, 1])),
]


@pytest.mark.parametrize(("first", "second"), SHIPPED, ids=[type(first).__name__ for first, _ in SHIPPED])
def test_rewards_that_come_with_gaard_are_told_by_their_parameters(first, second):
    assert Scorer(first).identity() != Scorer(second).identity()
    assert Scorer(Wrapper(first)).identity() != Scorer(Wrapper(second)).identity()


def test_other_weights_of_the_human_reward_are_another_reward(tmp_path):
    from safetensors.numpy import save_file

    for name, value in (("a", 0.0), ("b", 1.0), ("c", 0.0)):
        weights = {"weights": np.zeros(2**17, np.float32), "intercept": np.array([value], np.float32)}
        save_file(weights, tmp_path / name)
    first, second, same = (Scorer(HumanReward(asset=tmp_path / name)).identity() for name in "abc")
    assert first == same
    assert len({json.dumps(one) for one in (first, second, Scorer(HumanReward()).identity())}) == 3


@pytest.mark.parametrize(
    ("reward", "named"),
    [
        (len, "builtins:len"),
        (math.sqrt, "math:sqrt"),
        (limited(threading.Lock()), "_thread:lock"),
        (Wrapper(iter([1])), "builtins:list_iterator"),
        (eval("lambda completions: [1]"), "<lambda>"),
    ],
)
def test_what_cannot_be_told_is_named(reward, named):
    text = json.dumps(Scorer(reward).identity())
    assert f"{named}, not told" in text


def test_objects_that_hold_each_other_are_told():
    first, second = Wrapper(None), Wrapper(1)
    first.inner, second.inner = second, first
    assert Scorer(first).identity() == Scorer(second).identity()


def test_which_of_two_alike_comes_again_counts():
    one, two = Wrapper(1), Wrapper(2)
    assert Scorer([one, two, one]).identity() != Scorer([one, two, two]).identity()


def test_scoring_changes_no_identity():
    scorer = Scorer(Counted(lengths))
    before = json.dumps(scorer.identity())
    scorer.score(["a", "b"], prompts=["p", "q"], completion_ids=[[1], [2]], columns={})
    assert json.dumps(scorer.identity()) == before


class Cached(Counted):
    """What it keeps is not what it is."""

    def __getstate__(self):
        return {"reward": self.reward}


def test_what_an_object_leaves_out_when_it_is_pickled_does_not_count():
    fresh, used = Cached(lengths), Cached(lengths)
    used(completions=["a"])
    assert Scorer(fresh).identity() == Scorer(used).identity() != Scorer(Cached(limited(1))).identity()


def test_an_identity_is_read_by_people(tmp_path):
    """Names and hashes; a long value as its hash."""
    file = tmp_path / "mine.py"
    file.write_text("def score(completions, weight=1, **kwargs):\n    return [weight for _ in completions]\n")
    reward = functools.partial(reward_from_name(f"{file}:score"), weight=3, words=["word"] * 100)
    identity = Scorer([honeypot(reward, word="bait"), LexiconSentiment()]).identity()
    assert identity["proxy"] == "honeypot(score, 'bait', capped) + lexicon"
    assert identity["exploitable"] == ["honeypot(score, 'bait', capped), bonus 1, base weight 0.5"]
    pot, lexicon = identity["functions"]["proxy"]["functions"]
    assert lexicon == "LexiconSentiment(include_prompt=False)"
    partial = pot["true_reward"]["base"]
    assert partial["partial"]["function"].startswith("mine.py:score ")
    assert partial["keywords"]["weight"] == 3
    assert list(partial["keywords"]["words"]) == ["sha256"]
    assert len(json.dumps(identity)) < 1500
