"""Intervals over seeds, against numbers from a table of Student's t."""

import pytest

from gaard.lab.statistics import Interval, mean_interval


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
