"""What a look before training says of rewards and texts, with numbers made by hand."""

import math

import numpy as np
import pytest
from scipy import stats

from gaard.errors import RewardError
from gaard.lab.check import rewards, texts
from gaard.lab.check.completions import Completions, pay
from gaard.lab.check.findings import share
from gaard.lab.check.statistics import paid_more, rank_correlation, ranks_within
from gaard.rewards import combine

ONE_GROUP = np.zeros(40, dtype=np.int64)
NORMAL = np.random.default_rng(0).normal(size=256)
NO_TEXTS = [""] * 256


def completions(size: int, sizes=(3, 5)) -> Completions:
    """Texts t0, t1, … in batches, of prompts p0 and p1 by turns."""
    numbers = iter(range(size))
    batches = []
    for count in sizes:
        rows = [next(numbers) for _ in range(count)]
        ids = [[1] * (row + 1) for row in rows]
        columns = {"row": rows}
        prompts, words = [f"p{row % 2}" for row in rows], [f"t{row}" for row in rows]
        batches.append({"prompts": prompts, "completions": words, "completion_ids": ids, "columns": columns})
    return Completions(batches, np.ones(size, dtype=bool), [0.1] * len(sizes))


# What is paid ---------------------------------------------------------------------------------------------------------


def test_pay_is_the_weighted_sum_and_counts_none():
    def by_row(row):
        return [float(one) for one in row]

    def odd_only(row):
        return [1.0 if one % 2 else None for one in row]

    paid = pay(combine([by_row, odd_only], [2.0, 0.5]), completions(8))
    assert paid.rewards.tolist() == [0, 2.5, 4, 6.5, 8, 10.5, 12, 14.5]
    assert paid.unscored == {"by_row": 0, "odd_only": 4}
    assert paid.failures == []
    found = rewards.scored(paid)
    assert (found.severity, "4 of 8 (50%)" in found.seen) == ("note", True)


@pytest.mark.parametrize("bad", [math.nan, math.inf, "text"])
def test_a_completion_that_stops_training_is_counted_and_the_others_are_paid(bad):
    def fails_on_two(completions, **_):
        return [bad if text in ("t1", "t6") else 1.0 for text in completions]

    def pays_all(completions, **_):
        return [2.0] * len(completions)

    paid = pay(combine([pays_all, fails_on_two]), completions(8))
    assert paid.unscored == {"pays_all": 0, "fails_on_two": 0}
    assert np.flatnonzero(np.isnan(paid.rewards)).tolist() == [1, 6]
    assert len(paid.failures) == 2
    assert "fails_on_two" in paid.failures[0]
    assert "'t1'" in paid.failures[0]
    found = rewards.scored(paid)
    assert found.severity == "problem"
    assert "2 of 8 (25%)" in found.seen


def test_one_that_fails_on_batches_alone_fails_on_all_of_them():
    def of_one(completions, **_):
        if len(completions) > 1:
            raise ValueError("one at a time")
        return [1.0]

    paid = pay(combine([of_one]), completions(8))
    assert np.isnan(paid.rewards).all()
    assert len(paid.failures) == 8


def test_a_completion_that_nobody_scores_stops_training():
    def none_of_the_first(row):
        return [None if one == 0 else 1.0 for one in row]

    paid = pay(combine([none_of_the_first]), completions(8))
    assert np.isnan(paid.rewards[0])
    assert len(paid.failures) == 1
    assert "scores" in paid.failures[0]
    assert RewardError(paid.failures[0])


def test_rows_of_the_dataset_are_told_apart_by_prompt_and_columns():
    assert completions(8).groups.tolist() == list(range(8))
    for batch in (alike := completions(8)).batches:
        batch["columns"] = {}
    assert alike.groups.tolist() == [0, 1] * 4
    assert alike.tokens.tolist() == [1, 2, 3, 4, 5, 6, 7, 8]


def test_shares():
    assert [share(1, 256), share(128, 256), share(0, 3), share(255, 256)] == [
        "1 of 256 (0.4%)",
        "128 of 256 (50%)",
        "0 of 3 (0%)",
        "255 of 256 (99.6%)",
    ]


# Rewards alone --------------------------------------------------------------------------------------------------------


def two(successes: int, size: int = 256) -> np.ndarray:
    """Rewards of 1 and 0."""
    return np.array([1.0] * successes + [0.0] * (size - successes))


@pytest.mark.parametrize(
    ("successes", "severity", "words"),
    [
        (5, "problem", "few succeed: 5 of 256 (2%)"),  # 0.98^32 = 53%
        (28, "note", "few succeed"),  # 0.89^32 = 2.4%
        (100, "fine", "156 of 256"),
        (228, "note", "nearly all succeed"),
        (251, "problem", "nearly all succeed: 251 of 256"),
    ],
)
def test_sparse_rewards(successes, severity, words):
    found = rewards.sparse(two(successes), 32)
    assert (found.severity, words in found.seen) == (severity, True), found


def test_how_often_a_batch_says_nothing_depends_on_its_size():
    assert "53% of the batches of 32" in rewards.sparse(two(5), 32).seen
    assert rewards.sparse(two(5), 256).severity == "note"


def test_graded_rewards_are_not_sparse():
    assert rewards.sparse(NORMAL, 32).severity == "fine"


def test_normal_rewards_have_no_tail_and_a_few_large_ones_make_one():
    assert rewards.tail(NORMAL, NO_TEXTS).severity == "fine"
    few, named = NORMAL.copy(), list(NO_TEXTS)
    few[:4], named[2] = [30, 30, 40, 30], "the best"
    found = rewards.tail(few, named)
    assert found.severity == "problem"
    assert "4 of 256 (2%)" in found.seen
    assert "'the best'" in found.seen
    assert "up to 40" in found.seen


def test_a_tail_that_decides_little_is_a_note_and_one_below_too():
    one = NORMAL.copy()
    one[0] = 8.0  # 64 of about 320
    assert rewards.tail(one, NO_TEXTS).severity == "note"
    below = rewards.tail(-(np.abs(NORMAL) ** 3), NO_TEXTS)
    assert (below.severity, "far less" in below.seen) == ("note", True)


def test_success_or_not_is_no_tail_but_counts_that_grow_are():
    assert rewards.tail(two(5), NO_TEXTS).severity == "fine"
    counts = np.array([0.0] * 200 + [1.0] * 30 + [2.0] * 24 + [500.0] * 2)
    assert rewards.tail(counts, NO_TEXTS).severity == "problem"


def test_a_reward_of_the_prompt_alone_teaches_nothing():
    groups = np.repeat(np.arange(8), 5)
    distinct = [f"t{i}" for i in range(40)]
    found = rewards.prompts(groups.astype(float), groups, distinct)
    assert (found.severity, "8 of 8" in found.seen) == ("problem", True)
    mixed = groups.astype(float)
    mixed[::5] += 0.5
    assert rewards.prompts(mixed, groups, distinct).severity == "fine"
    mixed[:25] = 0
    assert rewards.prompts(mixed, groups, distinct).severity == "note"


def test_one_text_a_prompt_is_no_exploration():
    groups = np.repeat(np.arange(8), 5)
    found = rewards.prompts(groups.astype(float), groups, [f"t{group}" for group in groups])
    assert (found.severity, "temperature" in found.remedy) == ("problem", True)


# Ranks within prompts -------------------------------------------------------------------------------------------------


def test_rank_correlation_is_spearmans_in_one_group():
    x, y = NORMAL[:40], NORMAL[:40] + NORMAL[40:80]
    assert rank_correlation(x, y, ONE_GROUP)[0] == pytest.approx(stats.spearmanr(x, y).statistic)
    assert rank_correlation(x, np.ones(40), ONE_GROUP) is None


def test_what_differs_between_prompts_is_no_correlation():
    groups = np.repeat([0, 1], 20)
    x, y = NORMAL[:40] + 100 * groups, NORMAL[40:80] + 100 * groups
    assert stats.spearmanr(x, y).statistic > 0.7
    assert abs(rank_correlation(x, y, groups)[0]) < 0.3


def test_pairs_that_are_won_are_those_of_mann_and_whitney():
    chosen = np.arange(40) % 3 == 0
    ranks = ranks_within(NORMAL[:40], ONE_GROUP)
    won, chance = paid_more(chosen, ranks, ONE_GROUP)
    plain = stats.mannwhitneyu(NORMAL[:40][chosen], NORMAL[:40][~chosen], method="asymptotic", use_continuity=False)
    assert won == pytest.approx(plain.statistic / (chosen.sum() * (~chosen).sum()))
    assert chance == pytest.approx(plain.pvalue)


def test_pairs_are_counted_within_groups_and_ties_are_half():
    groups = np.array([0, 0, 0, 1, 1, 1])
    chosen = np.array([True, False, False, True, False, False])
    values = np.array([2.0, 1.0, 2.0, 5.0, 9.0, 9.0])  # wins 1 + ½ of 2, 0 of 2
    assert paid_more(chosen, ranks_within(values, groups), groups)[0] == pytest.approx(1.5 / 4)
    assert paid_more(np.ones(6, dtype=bool), ranks_within(values, groups), groups) is None


# Texts ----------------------------------------------------------------------------------------------------------------


def test_none_that_ends_is_a_problem_and_most_of_them_cut_a_note():
    ended = np.zeros(40, dtype=bool)
    assert texts.truncation(NORMAL[:40], ended, ONE_GROUP, 16).severity == "problem"
    ended[:5] = True
    assert texts.truncation(NORMAL[:40], ended, ONE_GROUP, 16).severity == "note"
    assert "35 of 40 (88%)" in texts.truncation(NORMAL[:40], ended, ONE_GROUP, 16).seen
    ended[:30] = True
    assert texts.truncation(NORMAL[:40], ended, ONE_GROUP, 16).severity == "fine"
    assert texts.truncation(None, ended, ONE_GROUP, 16, eos_known=False).severity == "problem"


@pytest.mark.parametrize(("bonus", "learned"), [(3.0, "to end early"), (-3.0, "to be cut off")])
def test_cut_off_completions_that_are_paid_otherwise_are_a_problem(bonus, learned):
    ended = np.arange(40) < 20
    found = texts.truncation(NORMAL[:40] + bonus * ended, ended, ONE_GROUP, 16)
    assert (found.severity, learned in found.remedy) == ("problem", True)


def test_pay_for_words_is_seen_and_for_nothing_is_not():
    lengths = np.random.default_rng(1).integers(1, 30, 256)
    written = ["w " * length for length in lengths]
    groups, tokens = np.zeros(256, dtype=np.int64), np.full(256, 32)
    found = texts.length(lengths + NORMAL, written, tokens, groups)
    assert (found.severity, "longer" in found.remedy) == ("problem", True)
    shorter = texts.length(-lengths + NORMAL, written, tokens, groups)
    assert (shorter.severity, "shorter" in shorter.remedy) == ("problem", True)
    assert texts.length(lengths / 20 + NORMAL, written, tokens, groups).severity == "note"
    assert texts.length(NORMAL, written, tokens, groups).severity == "fine"
    assert texts.length(NORMAL, ["w"] * 256, tokens, groups).severity == "note"  # unknown, and said so


def test_the_word_that_decides_the_reward_is_named():
    draws = np.random.default_rng(2).integers(0, 50, (256, 6))
    written = [" ".join(f"w{i}" for i in row) for row in draws]
    groups = np.zeros(256, dtype=np.int64)
    assert texts.words(NORMAL, written, groups).severity == "fine"
    has = np.array(["w7" in text.split() for text in written])
    decided = texts.words(np.where(has, 10.0, NORMAL), written, groups)
    assert (decided.severity, "'w7' alone decides" in decided.remedy) == ("problem", True)
    assert share(int(has.sum()), 256) in decided.seen
    helped = texts.words(NORMAL + 1.5 * has, written, groups)
    assert (helped.severity, "'w7'" in helped.seen) == ("note", True)


def test_of_many_words_one_goes_with_the_reward_by_chance():
    for seed in (4, 6, 9):  # in each, some word would count as significant alone
        draws = np.random.default_rng(seed).integers(0, 200, (256, 6))
        written = [" ".join(f"w{i}" for i in row) for row in draws]
        assert texts.words(NORMAL, written, np.zeros(256, dtype=np.int64)).severity == "fine"


def test_a_word_of_a_well_paid_prompt_is_not_blamed():
    groups = np.repeat(np.arange(8), 32)
    written = ["paris" if group == 3 and i % 2 else "else" for i, group in enumerate(groups)]
    assert texts.words(NORMAL + 20 * (groups == 3), written, groups).severity == "fine"
