"""Intervals over seeds, against numbers from a table of Student's t."""

import numpy as np
import pytest
from scipy import stats

from gaard.lab import statistics
from gaard.lab.statistics import Difference, Interval, holm, iqm_interval, mean_interval, paired_difference


def test_two_runs_have_the_wide_interval_that_two_numbers_deserve():
    """Mean 2, standard error 1, t(0.975, 1) = 12.7062."""
    interval = mean_interval([1.0, 3.0])
    assert (interval.mean, interval.n) == (2.0, 2)
    assert interval.low == pytest.approx(2.0 - 12.7062, abs=1e-4)
    assert interval.high == pytest.approx(2.0 + 12.7062, abs=1e-4)


def test_five_runs():
    """Mean 3, standard deviation √2.5, t(0.975, 4) = 2.77645."""
    interval = mean_interval([1.0, 2.0, 3.0, 4.0, 5.0])
    assert interval.high - interval.mean == pytest.approx(2.77645 * (2.5 / 5) ** 0.5, abs=1e-5)


def test_an_interval_is_cut_to_what_a_measure_can_be():
    interval = mean_interval([0.1, 0.9], bounds=(0.0, 1.0))
    assert (interval.low, interval.high) == (0.0, 1.0)


def test_one_run_says_nothing_of_its_spread():
    assert mean_interval([0.5]) == Interval(0.5, None, None, 1)


def test_no_run_is_an_error():
    with pytest.raises(ValueError, match="values is empty"):
        mean_interval([])


def runs(values) -> dict[int, float]:
    return dict(enumerate(values))


def test_a_paired_difference_is_scipys():
    ours, theirs = [1.0, 2.0, 4.0, 3.0], [0.5, 1.0, 1.0, 3.5]
    found = paired_difference(runs(ours), runs(theirs))
    expected = stats.ttest_rel(ours, theirs)
    assert found.mean == pytest.approx(1.0)
    assert found.p == pytest.approx(expected.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval(0.95)))


def test_seeds_that_one_of_them_lacks_do_not_count():
    found = paired_difference({0: 1.0, 1: 2.0, 5: 9.0}, {1: 0.0, 0: 0.0, 7: 3.0})
    assert (found.mean, found.n) == (1.5, 2)
    assert paired_difference({0: 1.0}, {1: 1.0}) is None


def test_a_single_pair_has_no_p_and_equal_differences_that_of_the_signs():
    assert paired_difference({0: 1.0}, {0: 0.0}) == Difference(1.0, None, None, None, 1, 1.0, 0.0)
    same = paired_difference(runs([2.0, 3.0]), runs([1.0, 2.0]))
    assert (same.mean, same.low, same.high, same.p) == (1.0, None, None, 0.5)  # of 4 signs, 2 are as far off
    rounded = paired_difference(runs([0.9, 0.8, 0.7]), runs([0.8, 0.7, 0.6]))
    assert (rounded.low, rounded.p) == (None, 0.25)  # their spread is rounding
    some = paired_difference({0: 1.0, 1: 3.0, 7: 90.0}, {0: 2.0, 1: 5.0, 8: 70.0})
    assert (some.ours, some.theirs, some.n) == (2.0, 3.5, 2)  # of the common seeds alone
    assert paired_difference(runs([1.0, 0.0]), runs([0.0, 0.5]), (-1.0, 1.0)).low == -1.0
    assert paired_difference(runs([1.0] * 20), runs([0.0] * 20)).p == pytest.approx(2.0**-19)
    assert paired_difference(runs([1.0] * 20), runs([1.0] * 20)).p == 1.0


def test_holm_by_hand():
    """0.01·4, then the largest so far of 0.02·3, 0.03·2 and 0.04·1."""
    assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_holm_keeps_the_chance_of_a_false_finding():
    """2,000 families of ten true nulls: at most 5% with any p below 0.05, give or take three deviations."""
    p_values = np.random.default_rng(0).random((2000, 10))
    false = np.mean([min(holm(row)) < 0.05 for row in p_values])
    assert false < 0.05 + 3 * (0.05 * 0.95 / 2000) ** 0.5
    assert np.mean(p_values.min(axis=1) < 0.05) > 0.35  # what it is for


def test_the_iqm_is_the_mean_of_the_middle_half():
    values = [100.0, 1.0, 2.0, 3.0, 4.0, -50.0, 2.5, 3.5]
    found = iqm_interval(values, np.random.default_rng(0))
    assert found.mean == pytest.approx(stats.trim_mean(values, 0.25)) == pytest.approx(2.75)
    assert found.low < 2.75 < found.high


def test_one_generator_gives_one_interval():
    values = list(np.random.default_rng(1).normal(size=12))
    one, two, other = (iqm_interval(values, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert one == two
    assert one != other


def test_few_or_equal_runs():
    assert iqm_interval([1.0, 2.0], np.random.default_rng(0)) == Interval(1.5, None, None, 2)
    assert iqm_interval([1.0] * 9, np.random.default_rng(0)) == Interval(1.0, None, None, 9)
    with pytest.raises(ValueError, match="values is empty"):
        iqm_interval([], np.random.default_rng(0))


SPREAD = 3 * (0.95 * 0.05 / 2000) ** 0.5  # three standard deviations of a share of 2,000


@pytest.mark.parametrize("n", [3, 10])
def test_means_cover_the_truth_at_the_stated_rate(n):
    draws = np.random.default_rng(n).normal(1.0, 2.0, (2000, n))
    hits = np.mean([found.low <= 1.0 <= found.high for found in map(mean_interval, draws)])
    assert hits == pytest.approx(0.95, abs=SPREAD)


@pytest.mark.slow
@pytest.mark.parametrize("n", [10, 20])
@pytest.mark.parametrize("shape", ["normal", "outliers"])
def test_iqms_cover_the_truth_at_the_stated_rate(n, shape, monkeypatch):
    """Symmetric about 1; every tenth run off by a hundred, in one of them. Fewer resamples, for speed."""
    monkeypatch.setattr(statistics, "RESAMPLES", 1000)
    generator = np.random.default_rng(n)
    draws = generator.normal(1.0, 2.0, (2000, n))
    if shape == "outliers":
        draws += np.where(generator.random(draws.shape) < 0.1, generator.choice([-100.0, 100.0], draws.shape), 0.0)
    found = [iqm_interval(row, generator) for row in draws]
    hits = np.mean([x.low <= 1.0 <= x.high for x in found])
    assert hits == pytest.approx(0.95, abs=SPREAD + 0.01)
