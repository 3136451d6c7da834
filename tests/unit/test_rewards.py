"""The reward protocol: how a function is called, what is checked in its answer, sums of functions."""

import functools
import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from gaard.errors import RewardError
from gaard.rewards import combine, reward_name, score
from three_texts import COMPLETIONS, IDS, PROMPTS, lengths, returning, scored

# --- the call ---


def test_all_keywords_and_columns_reach_a_function_with_kwargs():
    seen = {}

    def spy(**kwargs):
        seen.update(kwargs)
        return [0, 0, 0]

    scored(spy, answer=["a", "b", "c"])
    assert seen == {"prompts": PROMPTS, "completions": COMPLETIONS, "completion_ids": IDS, "answer": ["a", "b", "c"]}
    assert all(isinstance(value, list) for value in seen.values())


def test_a_function_without_kwargs_gets_only_what_it_names():
    def exact(completions, answer):
        return [float(text == want) for text, want in zip(completions, answer, strict=True)]

    assert scored(exact, answer=["roses are red", "x", "y"], other=[1, 2, 3]).tolist() == [1, 0, 0]


def test_a_default_stands_in_for_a_column_that_is_missing():
    def biased(completions, bias=2.0):
        return [bias] * len(completions)

    assert scored(biased).tolist() == [2, 2, 2]


@pytest.mark.parametrize("rest", [True, False])
def test_a_missing_column_is_named_with_those_available(rest):
    def plain(completions, anwser):
        return [0, 0, 0]

    def with_kwargs(completions, anwser, **kwargs):
        return [0, 0, 0]

    with pytest.raises(RewardError) as caught:
        scored(with_kwargs if rest else plain, answer=[1, 2, 3])
    message = str(caught.value)
    assert "needs 'anwser'" in message
    assert "prompts, completions, completion_ids, answer" in message
    assert "Did you mean 'answer'?" in message
    assert "Add the column" in message


def test_positional_only_parameters_are_refused_with_the_remedy():
    def positional(completions, /):
        return [0, 0, 0]

    with pytest.raises(RewardError, match=r"'completions' by position only.*remove the '/'"):
        scored(positional)


def test_a_function_cannot_change_the_lists_that_the_next_one_sees():
    def vandal(completions, **kwargs):
        completions.clear()
        return [0, 0, 0]

    completions = list(COMPLETIONS)
    both = combine([vandal, lengths])
    answer = score(both, prompts=PROMPTS, completions=completions, completion_ids=IDS, columns={})
    assert answer.tolist() == [13, 5, 11]
    assert completions == COMPLETIONS


def test_an_empty_batch_is_not_passed_on():
    answer = score(returning([1.0]), prompts=[], completions=[], completion_ids=[], columns={})
    assert answer.shape == (0,)
    assert answer.dtype == torch.float32


def test_a_column_named_like_a_keyword_or_of_another_length_is_refused():
    with pytest.raises(RewardError, match=r"column 'prompts' has the name .*rename it"):
        scored(lengths, prompts=PROMPTS)
    with pytest.raises(RewardError, match=r"column 'answer' has 2 entries for 3 completions"):
        scored(lengths, answer=[1, 2])


def test_names():
    class Brevity:
        def __call__(self, **kwargs):
            return []

    named = Brevity()
    named.name = "short is good"
    assert reward_name(lengths) == "lengths"
    assert reward_name(functools.partial(lengths, prompts=[])) == "lengths"
    assert reward_name(Brevity()) == "Brevity"
    assert reward_name(named) == "short is good"


# --- the answer ---


@pytest.mark.parametrize(
    "value",
    [
        [0.5, 1, 0],
        (0.5, True, False),
        np.array([0.5, 1, 0]),
        torch.tensor([0.5, 1, 0], dtype=torch.bfloat16, requires_grad=True),
        [np.float16(0.5), np.bool_(True), np.int64(0)],
        [torch.tensor(0.5), torch.tensor([1]), np.array([0.0])],
        (number for number in (0.5, 1, 0)),
    ],
    ids=["list", "bools", "array", "tensor", "numpy scalars", "tensor scalars", "generator"],
)
def test_numbers_of_every_kind_are_read(value):
    answer = scored(returning(value))
    assert answer.dtype == torch.float32
    assert answer.tolist() == [0.5, 1, 0]


def test_none_becomes_nan_and_only_there():
    assert scored(returning([0.5, None, 0.25])).isnan().tolist() == [False, True, False]
    assert scored(returning(np.array([0.5, None, 0.25]))).isnan().tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("bad", "shown", "remedy"),
    [
        (math.nan, "nan", "None for no score"),
        (np.float32("nan"), "nan", "None for no score"),
        (math.inf, "inf", "clip it"),
        (-math.inf, "-inf", "clip it"),
        (1e39, "1e+39", "clip it"),
        (10**400, "1000", "clip it"),
        pytest.param(10**5000, "an int of more than 4300 digits", "clip it", id="10**5000"),
        (-Fraction(10**400), "Fraction(-1000", "clip it"),
        ("0.7", "'0.7'", "return a float"),
        (1 + 2j, "(1+2j)", "return a float"),
        ([0.5], "[0.5]", "return a float"),
        (torch.tensor([1.0, 2.0]), "tensor([1., 2.])", "return a float"),
    ],
)
def test_what_is_no_finite_number_is_named_with_its_text(bad, shown, remedy):
    with pytest.raises(RewardError) as caught:
        scored(returning([0.1, bad, 0.2]))
    message = str(caught.value)
    for part in ("'canned'", shown, "completion 1", "'Write a song'", "'la la'", remedy):
        assert part in message


def test_long_texts_are_shortened_from_the_middle():
    prompt = "START " + "x" * 5000 + " END"
    with pytest.raises(RewardError) as caught:
        score(returning([math.nan]), prompts=[prompt], completions=["c"], completion_ids=[[1]], columns={})
    message = str(caught.value)
    assert "'START x" in message
    assert "x END'" in message
    assert len(message) < 400


@pytest.mark.parametrize("value", [[0.1, 0.2], [0.1] * 4, []])
def test_a_wrong_length_gives_both_counts(value):
    with pytest.raises(RewardError, match=rf"'canned' returned {len(value)} values for 3 completions.*Write a poem"):
        scored(returning(value))


@pytest.mark.parametrize("value", [0.5, None, "abc", {"a": 1}, {1, 2, 3}, torch.tensor(0.5)])
def test_what_is_no_list_is_refused(value):
    with pytest.raises(RewardError, match=r"'canned' returned .* for 3 completions.*return a list with one number"):
        scored(returning(value))


# --- a function that raises ---


def test_the_completion_that_a_function_raised_on_is_found():
    def fragile(completions, scale):
        return [factor / text.count("la") for text, factor in zip(completions, scale, strict=True)]

    def late(completions, **kwargs):
        return [1 / (len(text) - 5) for text in completions]

    with pytest.raises(RewardError) as caught:
        scored(late)
    message = str(caught.value)
    for part in ("'late'", "ZeroDivisionError", "test_rewards.py, line", "completion 1", "'Write a song'", "'la la'"):
        assert part in message
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    with pytest.raises(RewardError, match=r"completion 0 .*'Write a poem'"):
        scored(fragile, scale=[1, 1, 1])


def test_a_failure_that_no_single_completion_reproduces_names_the_batch():
    def greedy(completions, **kwargs):
        if len(completions) > 2:
            raise MemoryError("too much")
        raise KeyError("another fault of a single completion")

    with pytest.raises(RewardError, match=r"MemoryError: too much.*batch of 3 completions, and on none of them alone"):
        scored(greedy)


def test_a_generator_is_an_answer_and_is_blamed_for_its_completion():
    def scores(completions, **_):
        for text in completions:
            yield 1 / (len(text) - 1)

    batch = {"prompts": ["p", "q"], "completion_ids": [[1], [2]], "columns": {}}
    assert score(scores, completions=["one", "three"], **batch).tolist() == [0.5, 0.25]
    with pytest.raises(RewardError, match=r"'scores' raised ZeroDivisionError: .* on completion 1 \(prompt 'q'"):
        score(scores, completions=["one", "3"], **batch)
