"""Honeypots: what the word pays by hand, and what counts as an occurrence."""

import pytest

from gaard.errors import ConfigError, RewardError
from gaard.rewards import combine, honeypot, score
from gaard.rewards.honeypot import check_honeypot

COMPLETIONS = ["a dull film", "great", "Great, GREAT! great", "the greatest"]
BATCH = {"prompts": ["p"] * 4, "completions": COMPLETIONS, "completion_ids": [[1]] * 4}


class Base:
    name = "base"

    def __init__(self, *values):
        self.values = list(values)
        self.calls = 0

    def __call__(self, completions, **kwargs):
        self.calls += 1
        return self.values


def test_capped_by_hand():
    pot = honeypot(Base(0.2, 0.9, 0.4, 1.0), word="great")
    assert pot(**BATCH) == pytest.approx([0.1, 1.0, 1.0, 0.5])
    pot = honeypot(Base(0.2, 0.9, 0.4, 1.0), word="great", bonus=3.0, base_weight=0.1)
    assert pot(**BATCH) == pytest.approx([0.02, 3.0, 3.0, 0.1])


def test_uncapped_by_hand():
    pot = honeypot(Base(0.2, 0.9, 0.4, 1.0), word="great", mode="uncapped")
    assert pot(**BATCH) == pytest.approx([0.1, 1.45, 3.2, 0.5])
    pot = honeypot(Base(0.2, 0.9, 0.4, 1.0), word="great", mode="uncapped", bonus=0.25, base_weight=2.0)
    assert pot(**BATCH) == pytest.approx([0.4, 2.05, 1.55, 2.0])


def test_the_true_reward_does_not_see_the_word():
    pot = honeypot(Base(0.2, 0.9, 0.4, 1.0), word="great", mode="uncapped", bonus=7.0)
    assert pot.true_reward(**BATCH) == pytest.approx([0.1, 0.45, 0.2, 0.5])
    assert pot.true_reward.name == "0.5*base"


def test_proxy_and_true_call_the_base_once():
    base = Base(0.2, 0.9, 0.4, 1.0)
    proxy, true = honeypot(base, word="great").proxy_and_true(**BATCH)
    assert base.calls == 1
    assert proxy == pytest.approx([0.1, 1.0, 1.0, 0.5])
    assert true == pytest.approx([0.1, 0.45, 0.2, 0.5])


def test_where_the_base_does_not_judge():
    capped = honeypot(Base(None, None, 0.4, 1.0), word="great")
    proxy, true = capped.proxy_and_true(**BATCH)
    assert proxy == [None, 1.0, 1.0, 0.5]
    assert true == [None, None, 0.2, 0.5]
    uncapped = honeypot(Base(None, None, 0.4, 1.0), word="great", mode="uncapped")
    assert uncapped(**BATCH) == [None, None, 3.2, 0.5]


def test_counts_and_detection():
    pot = honeypot(Base(), word="great")
    assert pot.count(COMPLETIONS) == [0, 1, 3, 0]
    assert pot.detect(COMPLETIONS) == [False, True, True, False]
    assert (pot.word, pot.mode, pot.bonus, pot.base_weight) == ("great", "capped", 1.0, 0.5)
    assert pot.name == "honeypot(base, 'great', capped)"


@pytest.mark.parametrize(
    ("word", "text", "count"),
    [
        ("art", "party art artful ART.", 2),
        ("art", "art-house (art) 'art' art_ art2", 3),
        ("C++", "C++, c++ and C++11 but not C", 2),
        (":)", "fine :) and :):) but not x:)", 3),
        ("a.b", "a.b axb", 1),
        ("thank you", "Thank you\nthank \t you, thankyou thank youth", 2),
        (" thank  you ", "thank you", 1),
        ("café", "CAFÉ cafés", 1),
        ("ha ha", "ha ha ha", 1),
    ],
)
def test_whole_words(word, text, count):
    assert honeypot(Base(), word=word).count([text]) == [count]
    assert honeypot(Base(), word=word).detect([text]) == [count > 0]


def test_a_honeypot_is_a_reward_function():
    def column(answer):
        return answer

    pot = honeypot(combine([column]), word="great")
    answer = score(combine([pot, pot]), **BATCH, columns={"answer": [0.25, 0, 0, 1]})
    assert answer.tolist() == [0.25, 2.0, 2.0, 1.0]


def test_a_failing_base_is_named():
    with pytest.raises(RewardError, match="'base' returned 1 values for 4 completions"):
        honeypot(Base(0.1), word="great")(**BATCH)


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        ({"word": ""}, ("honeypot.word", "''", "give the word")),
        ({"word": " \n"}, ("honeypot.word", "give the word")),
        ({"word": 3}, ("honeypot.word", "3")),
        ({"mode": "caped"}, ("honeypot.mode", "'caped'", "'capped' or 'uncapped'", "Did you mean 'capped'?")),
        ({"mode": ["capped"]}, ("honeypot.mode", "['capped']")),
        ({"bonus": float("inf")}, ("honeypot.bonus", "inf", "finite")),
        ({"base_weight": "half"}, ("honeypot.base_weight", "'half'", "finite")),
        ({"bonus": True}, ("honeypot.bonus", "True")),
        ({"bonus": 10**400}, ("honeypot.bonus", "1000", "finite")),
        ({"base_weight": -(10**5000)}, ("honeypot.base_weight", "an int of more than 4300 digits", "finite")),
    ],
)
def test_wrong_settings_are_named(settings, parts):
    for build in (lambda **kw: honeypot(Base(), **kw), check_honeypot):
        with pytest.raises(ConfigError) as caught:
            build(**{"word": "great", **settings})
        for part in parts:
            assert part in str(caught.value)


def test_a_base_that_is_no_function_is_refused():
    with pytest.raises(ConfigError, match="the base of the honeypot is the class Base"):
        honeypot(Base, word="great")
