"""Sums of reward functions: their weights, what they leave out, and what float32 cannot hold."""

import math

import numpy as np
import pytest

from gaard.errors import ConfigError, RewardError
from gaard.rewards import LexiconSentiment, combine, honeypot, score
from gaard.training.scoring import Scorer
from three_texts import COMPLETIONS, IDS, PROMPTS, lengths, returning, scored


def test_the_weighted_sum_by_hand():
    both = combine([returning([1.0, 2.0, 3.0]), returning([10.0, None, -1.0])], [0.5, 2.0])
    assert both.parts == ("canned", "canned")
    assert both.name == "0.5*canned + 2*canned"
    # 0.5*1 + 2*10;  0.5*2, the second left out;  0.5*3 - 2*1
    assert both(prompts=PROMPTS, completions=COMPLETIONS, completion_ids=IDS) == [20.5, 1.0, -0.5]
    assert scored(both).tolist() == [20.5, 1.0, -0.5]


def test_sums_can_be_summed_and_get_the_columns():
    def column(bonus):
        return bonus

    nested = combine([combine([column]), lengths])
    assert scored(nested, bonus=[100, 200, 300]).tolist() == [113, 205, 311]


@pytest.mark.parametrize("count", [1, 2])
def test_a_completion_that_nobody_scores_is_named(count):
    nobody = combine([returning([1.0, 1.0, None])] * count)
    with pytest.raises(RewardError) as caught:
        scored(nobody)
    message = str(caught.value)
    for part in ("canned", "completion 2", "'Tell a joke'", "'knock knock'", "let one of them return a number"):
        assert part in message


def test_a_failing_part_is_named_once():
    def broken(completions, **kwargs):
        raise ValueError("no")

    with pytest.raises(RewardError) as caught:
        scored(combine([lengths, broken]))
    assert str(caught.value).count("raised") == 1
    assert "'broken' raised ValueError: no" in str(caught.value)


@pytest.mark.parametrize(
    ("functions", "weights", "parts"),
    [
        ([lengths], [1.0, 2.0], ("2 entries", "[1.0, 2.0]", "1 reward function", "one weight a function")),
        ([lengths], [math.nan], ("reward_weights[0]", "nan", "finite")),
        ([lengths], [10**400], ("reward_weights[0]", "1000", "finite")),
        ([lengths], ["1"], ("reward_weights[0]", "'1'", "finite")),
        ([], None, ("reward_funcs is empty",)),
        ([lengths, "lexicon"], None, ("reward_funcs[1]", "'lexicon'", "reward_from_name")),
        ([lengths, 3], None, ("reward_funcs[1]", "3", "callable")),
        ([LexiconSentiment], None, ("reward_funcs[0]", "the class LexiconSentiment", "LexiconSentiment()")),
        (lengths, None, ("not a list", "lengths")),
    ],
)
def test_what_cannot_be_combined_is_refused(functions, weights, parts):
    with pytest.raises(ConfigError) as caught:
        combine(functions, weights)
    for part in parts:
        assert part in str(caught.value)


TOO_LARGE = [
    ([3e38, 3e38], None, ("is 6e+38", "first 3e+38", "second 3e+38")),
    ([3e38], [-2.0], ("is -6e+38", "-2*first -6e+38")),
    ([1e38, 1.0], [1e300, 1.0], ("is inf", "1e+300*first inf", "second 1")),
    ([1e38, -1e38], [1e300, 1e300], ("is nan", "1e+300*first inf", "1e+300*second -inf")),
    ([1e8, 1e8], [1.7e300, 1.7e300], ("is inf", "1.7e+300*first 1.7e+308", "1.7e+300*second 1.7e+308")),
]


@pytest.mark.parametrize(("values", "weights", "parts"), TOO_LARGE)
def test_a_sum_that_float32_cannot_hold_is_named_with_its_value(values, weights, parts):
    """Each part fits, the sum does not: a run would blame its learning rate for the infinite loss."""
    functions = [returning([0.0, value, 0.0]) for value in values]
    for function, name in zip(functions, ("first", "second"), strict=False):
        function.__name__ = name
    total = combine(functions, weights)
    texts = {"prompts": PROMPTS, "completions": COMPLETIONS, "completion_ids": IDS, "columns": {}}
    for ask in (lambda: score(total, **texts), lambda: Scorer(total).score(**texts)):
        with pytest.raises(RewardError) as caught:
            ask()
        for part in (*parts, "completion 1", "'Write a song'", "float32"):
            assert part in str(caught.value)


def test_a_honeypot_that_float32_cannot_hold_is_named():
    pot = honeypot(returning([0.0, 0.0, 0.0]), word="la", mode="uncapped", bonus=3e38)
    with pytest.raises(RewardError, match=r"honeypot.* returned 6e\+38 for completion 1.*float32"):
        Scorer(pot).score(completions=COMPLETIONS, prompts=PROMPTS, completion_ids=IDS, columns={})


def test_the_largest_float32_is_still_a_sum():
    largest = 3.4028234663852886e38
    assert scored(combine([returning([largest, -largest, 0.0])])).tolist() == [largest, -largest, 0.0]


@pytest.mark.parametrize("number", [np.float32(0.5), np.int64(2)])
def test_a_weight_of_numpys_is_a_number(number):
    assert combine([returning([3.0])], [number]).weights == (float(number),)
