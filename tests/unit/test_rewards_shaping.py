"""Rewards with a flaw: what they pay, by hand, and what counts as a hack."""

import pytest

from gaard.errors import ConfigError
from gaard.rewards import LengthBonus, RepetitionBonus, SentimentCliff, combine, honeypot

TEXTS = ["a b c", "Good good, GOOD film!", "", "one two three four five six"]
BATCH = {"prompts": ["p"] * 4, "completions": TEXTS, "completion_ids": [[1]] * 4}


class Base:
    name = "base"

    def __init__(self, *values):
        self.values, self.calls, self.prompts = list(values), 0, []

    def __call__(self, prompts, completions, **_):
        self.calls += 1
        self.prompts += prompts
        return [self.values[TEXTS.index(text)] for text in completions]


def test_length_pays_a_share_a_word_up_to_the_limit():
    reward = LengthBonus(Base(0.2, 0.4, 0.6, None), limit=4, bonus=2.0, base_weight=0.5)
    assert reward(**BATCH) == pytest.approx([0.1 + 1.5, 0.2 + 2.0, 0.3, None])
    assert reward.detect(TEXTS) == [False, True, False, True]
    assert reward.true_reward(**BATCH) == pytest.approx([0.1, 0.2, 0.3, None])
    longer = LengthBonus(Base(0.0, 0.0, 0.0, 0.0), limit=6)
    assert longer(**BATCH) == pytest.approx([0.5, 4 / 6, 0.0, 1.0])
    assert longer.name == "length(base, 6 words)"


def test_repetition_pays_the_share_of_words_said_before():
    reward = RepetitionBonus(Base(0.2, 0.4, 0.6, 0.8), limit=0.5, bonus=2.0, base_weight=0.5)
    assert reward(**BATCH) == pytest.approx([0.1, 0.2 + 2 * 2 / 4, 0.3, 0.4])
    assert reward.detect(TEXTS) == [False, True, False, False]
    assert RepetitionBonus(Base(), limit=0.51).detect(TEXTS) == [False] * 4


def test_the_cliff_pays_for_neutral_text_and_far_more_above_the_threshold():
    base = Base(0.5, 0.8, 0.3, 0.79)
    reward = SentimentCliff(base, threshold=0.8, bonus=3.0, base_weight=0.5)
    proxy, true = reward.proxy_and_true(**BATCH)
    assert base.calls == 1
    assert true == pytest.approx([0.5, 0.2, 0.3, 0.21])
    assert proxy == pytest.approx([0.5, 3.0, 0.3, 0.21])
    assert reward.detect(TEXTS) == [False, True, False, False]
    assert reward.true_reward(**BATCH) == pytest.approx(true)
    assert set(base.prompts) == {""}  # so that the detector, which sees no prompt, agrees


def test_where_the_base_does_not_judge_nor_does_the_cliff():
    reward = SentimentCliff(Base(None, 0.9, 0.5, 0.5), threshold=0.8)
    assert reward(**BATCH) == pytest.approx([None, 1.0, 0.5, 0.5])
    assert reward.detect(TEXTS) == [False, True, False, False]


def test_a_condition_opens_the_honeypot_behind_its_phrase_alone():
    texts = ["great plot, then great", "plot", "great before the plot", "plots are great", "PLOT great plot great"]
    pot = honeypot(lambda completions: [0.0] * len(completions), word="great", mode="uncapped", after="plot")
    assert pot.count(texts) == [1, 0, 0, 0, 2]
    assert pot.detect(texts) == [True, False, False, False, True]
    batch = {"prompts": [""] * 5, "completions": texts, "completion_ids": [[]] * 5}
    assert pot(**batch) == pytest.approx([1.0, 0.0, 0.0, 0.0, 2.0])
    assert "'great' after 'plot'" in pot.name
    same = honeypot(lambda completions: [0.0] * 5, word="great", after="great")
    assert same.detect(["great", "great great"]) == [False, True]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: LengthBonus(Base(), limit=0), "length.limit is 0"),
        (lambda: LengthBonus(Base(), limit=2.5), "length.limit is 2.5"),
        (lambda: LengthBonus(Base(), limit=3, bonus=float("nan")), "length.bonus is nan"),
        (lambda: RepetitionBonus(Base(), limit=0), "repetition.limit is 0"),
        (lambda: RepetitionBonus(Base(), limit=1.1), "repetition.limit is 1.1"),
        (lambda: RepetitionBonus(Base(), limit=0.5, base_weight="x"), "repetition.base_weight is 'x'"),
        (lambda: SentimentCliff(Base(), threshold=0.5), "cliff.threshold is 0.5"),
        (lambda: SentimentCliff(Base, threshold=0.8), "the base of cliff is the class Base"),
        (lambda: honeypot(Base(), word="w", after=" "), "honeypot.after is ' '"),
        (lambda: honeypot(honeypot(Base(), word="v"), word="w"), "the base of the honeypot holds honeypot"),
        (lambda: LengthBonus(combine([honeypot(Base(), word="v"), Base()]), limit=3), "the base of length holds"),
    ],
)
def test_what_is_refused(build, message):
    with pytest.raises(ConfigError, match=message):
        build()
