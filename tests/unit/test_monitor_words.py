"""The rule of words: gaps, spreads and ends against plain loops, what is compared, and what the window forgets."""

from itertools import pairwise
from math import isclose

import numpy as np
import pytest
from scipy.stats import t as student

from gaard.monitor.words import FAMILY, FREEDOM, LEAST, LastTexts, gaps, spreads, student_quantile

RNG = np.random.default_rng(0)


def batch(n=160, words=3, groups=5):
    has = (RNG.random((n, words)) < [0.1, 0.5, 0.9][:words]).astype(float)
    cell = np.arange(n) % groups
    return has, RNG.normal(size=n) + 2.0 * has[:, 0] + 3.0 * cell, cell


def test_the_gap_is_that_of_a_regression_with_a_level_for_each_group():
    has, reward, cell = batch()
    levels = np.eye(5)[cell]
    gap, error = gaps(has, reward, cell)
    for word in range(3):
        design = np.column_stack([has[:, word], levels])
        slope, *_ = solved = np.linalg.lstsq(design, reward, rcond=None)[0]
        rest = reward - design @ solved
        freedom = len(reward) - 6
        wide = np.sqrt(rest @ rest / freedom * np.linalg.inv(design.T @ design)[0, 0])
        assert gap[word] == pytest.approx(slope)
        assert error[word] == pytest.approx(student.isf(FAMILY / 3, freedom) * wide, rel=0.01)


def test_the_spread_is_of_texts_without_the_word_and_as_if_five_more_varied_as_all_do():
    has, reward, cell = batch()
    pooled = [reward[cell == one] for one in range(5)]
    of_all = sum(((pay - pay.mean()) ** 2).sum() for pay in pooled) / (160 - 5)
    for word, spread in enumerate(spreads(has, reward, cell)):
        own = [reward[(cell == one) & (has[:, word] == 0)] for one in range(5)]
        squares = sum(((pay - pay.mean()) ** 2).sum() for pay in own if len(pay))
        freedom = sum(len(pay) - 1 for pay in own if len(pay))
        assert spread == pytest.approx(np.sqrt((squares + LEAST * of_all) / (freedom + LEAST)))


@pytest.mark.parametrize("tail", [1e-5, 1e-3, 0.05])
@pytest.mark.parametrize("freedom", [FREEDOM, 50, 1000])
def test_the_quantile_is_students(tail, freedom):
    assert isclose(student_quantile(tail, freedom), student.isf(tail, freedom), rel_tol=0.01)


def told(texts, rewards, prompts=None, steps=1, window=512):
    """By default all texts have one prompt."""
    last = LastTexts(window)
    for _ in range(steps):
        last.add(texts, np.array(rewards, dtype=float), prompts or ["one"] * len(texts))
    return last


def texts_of(pays, word="story", n=32, every=4):
    """Texts of which each fourth has the word and is paid more; the pay of the others varies a little."""
    texts = [f"a {word} it is" if i % every == 0 else "a film it is" for i in range(n)]
    return texts, [pays if i % every == 0 else 0.3 + 0.01 * (i % 5) for i in range(n)]


def test_a_word_that_is_paid_stands_out_and_one_that_all_texts_have_does_not():
    first, *rest = told(*texts_of(1.0), steps=4).paid()
    assert first.word == "story"
    assert first.at_least > 4
    assert first.share == 0.25
    assert not {"a", "it", "film"} & {one.word for one in rest}  # "film" is what the others have: they are paid less
    assert told(*texts_of(0.32), steps=4).paid() == []  # as much as the others are paid


def test_the_word_that_stands_out_most_comes_first():
    texts = [["film", "it", "better", "story"][i % 4] for i in range(64)]
    found = told(texts, [[0.0, 0.0, 0.7, 1.0][i % 4] + 0.01 * (i % 5) for i in range(64)], steps=4).paid()
    assert [one.word for one in found] == ["story", "better"]


def test_capitals_make_no_difference_and_marks_are_words():
    texts, paid = texts_of(1.0, word="Story!")
    assert {one.word for one in told(texts, paid, steps=4).paid()} == {"story", "!"}


def test_a_word_of_easy_prompts_is_not_blamed():
    """Texts of one prompt are compared with each other alone."""
    texts, paid = texts_of(1.0)
    prompts = ["easy" if "story" in text else "hard" for text in texts]
    assert told(texts, paid, prompts, steps=4).paid() == []
    assert told(texts, paid, ["any"] * 32, steps=4).paid()[0].word == "story"


@pytest.mark.parametrize("prompts", [range(32), None])
def test_where_each_prompt_has_one_text_or_none_is_known_a_word_must_have_become_more_frequent(prompts):
    last = LastTexts()
    constant, growing = texts_of(1.0), texts_of(1.0, every=2)
    for _ in range(4):
        last.add(constant[0], np.array(constant[1]), prompts)
    assert last.paid() == []
    for _ in range(4):
        last.add(growing[0], np.array(growing[1]), prompts)
    assert last.paid()[0].word == "story"


def some_of(count, n=64):
    """Texts of which the first so many have a word, and what they are paid if it pays."""
    return ["a story" if i < count else "a film" for i in range(n)], [
        (1.0 if i < count else 0.3) + 0.01 * (i % 5) for i in range(n)
    ]


@pytest.mark.parametrize(("count", "expected"), [(4, []), (5, ["story"]), (59, ["story"]), (60, [])])
def test_five_texts_must_have_a_word_and_five_must_lack_it(count, expected):
    assert [one.word for one in told(*some_of(count)).paid()] == expected


def test_texts_in_pairs_are_compared_in_pairs():
    texts, paid = texts_of(1.0, n=64, every=2)
    found = told(texts, paid, [i // 2 for i in range(64)], steps=2).paid()
    assert [one.word for one in found] == ["story"]  # no more frequent than it was


def test_more_frequent_is_by_three_standard_errors():
    """A quarter of 64 texts, and then three eighths of 64, are 1.5 standard errors apart; five eighths are 4.3."""
    for late, expected in ((12, []), (20, ["story"])):
        last = LastTexts()
        for count in (8, 8, late, late):
            texts, paid = some_of(count, 32)
            last.add(texts, np.array(paid), range(32))
        assert [one.word for one in last.paid()] == expected


@pytest.mark.parametrize("prompts", [["one"] * 32, range(32)])
def test_steps_are_not_compared_with_each_other(prompts):
    """Pay and a word both grow with training; within a step the word is not paid."""
    last = LastTexts()
    for step in range(8):
        texts = ["a story" if i < 2 + 3 * step else "a film" for i in range(32)]
        last.add(texts, np.array([step + 0.1 * (i % 2) for i in range(32)]), prompts)
    assert last.paid() == []


def test_a_difference_is_measured_by_how_pay_varied_at_the_beginning():
    """A policy that has nearly learned writes texts that are paid nearly the same; the rest is not a hack for that."""
    last = LastTexts(window=64)
    pay = np.where(np.arange(32) % 2 == 0, 0.0, 1.0)
    for _ in range(2):
        last.add([f"text {i % 4}" for i in range(32)], pay, ["one"] * 32)
    texts, small = texts_of(0.4)
    for _ in range(4):
        last.add(texts, np.array(small), ["one"] * 32)
    assert last.paid()[0].at_least < 0.5
    alone = told(texts, small, steps=4).paid()
    assert alone[0].at_least > 2


def test_a_few_texts_without_a_word_that_are_paid_the_same_do_not_make_a_gap_infinite():
    texts = ["the film"] * 26 + ["film"] * 6
    last = told(texts, [*(float(i % 2) for i in range(26)), *[0.0] * 6], steps=2)
    assert all(np.isfinite(one.at_least) for one in last.paid())


def test_constant_rewards_and_few_texts_say_nothing():
    assert told(texts_of(1.0)[0], [0.5] * 32, steps=4).paid() == []
    assert told(["a story", "a film"], [1.0, 0.0]).paid() == []
    assert told(["story"] * 32, [1.0] * 32).paid() == []
    assert told(["a story"] * 8, [float("nan")] * 8).paid() == []


def test_texts_without_pay_are_left_out():
    texts, paid = texts_of(1.0)
    nothing = [float("nan") if "story" in text else pay for text, pay in zip(texts, paid, strict=True)]
    assert told(texts, nothing, steps=4).paid() == []


def test_the_window_keeps_whole_steps_and_no_more_of_a_step_than_itself():
    last = told(*texts_of(1.0), steps=9, window=100)
    assert len(last.steps) == 4  # 128 texts: 96 would be less than 100
    assert sum(len(step.words) for step in last.first) == 128
    large = told(*texts_of(1.0, n=300), window=100)
    assert [len(step.words) for step in large.steps] == [100]
    counts = [len(told(*texts_of(1.0), steps=steps, window=100).steps) for steps in range(1, 7)]
    assert all(before <= after for before, after in pairwise(counts))
