"""Best-of-n against all subsets, and the fitted curves against planted ones."""

import math
from itertools import combinations

import numpy as np
import pytest

from gaard.errors import ConfigError
from gaard.lab.overoptimisation import Curve, best_of_n, best_of_n_kl, fit


def by_subsets(proxy, reward, n):
    """The mean over every subset; of those that tie in it, each as often."""
    found = []
    for subset in combinations(range(len(proxy)), n):
        best = max(proxy[i] for i in subset)
        tied = [reward[i] for i in subset if proxy[i] == best]
        found.append(sum(tied) / len(tied))
    return sum(found) / len(found)


@pytest.mark.parametrize("n", [1, 2, 3, 6, 7])
def test_best_of_n_is_the_mean_over_all_subsets(n):
    proxy, reward = [3, 1, 2, 7, 5, 6, 4], [0.1, 0.9, 0.2, 0.4, 0.8, 0.3, 0.5]
    assert best_of_n(proxy, reward, n) == pytest.approx(by_subsets(proxy, reward, n))


def test_two_of_three_by_hand():
    """Subsets of rewards 1, 2, 6 in the order of the proxy: {1, 2} → 2, {1, 6} → 6, {2, 6} → 6."""
    assert best_of_n([0, 1, 2], [1, 2, 6], 2) == pytest.approx(14 / 3)


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_where_the_proxy_ties_each_is_as_likely(n):
    proxy, reward = [1, 2, 2, 2, 0], [0.0, 1.0, 0.0, 4.0, 9.0]
    assert best_of_n(proxy, reward, n) == pytest.approx(by_subsets(proxy, reward, n))


def test_a_pool_of_thousands_does_not_overflow():
    """Uniform rewards: the best of n of N grid points is (N + 1) / (n + 1) · n / N in the mean."""
    size, n = 20_000, 4096
    grid = np.arange(1, size + 1) / size
    assert best_of_n(grid, grid, n) == pytest.approx((size + 1) * n / (n + 1) / size, rel=1e-6)


def test_the_kl_of_best_of_n_by_hand():
    """Of two equally likely texts the better is kept with 3/4: KL = 3/4·log(3/2) + 1/4·log(1/2), below the bound."""
    assert best_of_n_kl(1) == 0
    assert best_of_n_kl(2) == pytest.approx(math.log(2) - 0.5)
    assert 0.75 * math.log(1.5) + 0.25 * math.log(0.5) < best_of_n_kl(2)
    fine = np.arange(1, 100_001) / 100_000  # of many texts of one probability each it is exact
    kept = np.diff(fine**8, prepend=0.0)
    assert (kept * np.log(np.maximum(kept, 1e-300) * 100_000)).sum() == pytest.approx(best_of_n_kl(8), abs=1e-3)


@pytest.mark.parametrize(
    ("kind", "alpha", "beta", "turn"),
    [
        ("best-of-n", 0.6, 0.1, 3.0),  # d(0.6 − 0.1 d): its derivative 0.6 − 0.2 d is 0 at 3
        ("rl", 0.3, 0.1, math.e**2),  # 0.3 − 0.1 log d − 0.1 is 0 at log d = 2
        ("rl", 0.3, -0.1, None),
        ("best-of-n", 0.6, 0.0, None),
        ("best-of-n", -0.6, 0.1, 0.0),  # it falls from the start
        ("rl", 100.0, 0.1, None),  # e^999
    ],
)
def test_planted_curves_are_found_again(kind, alpha, beta, turn):
    d = np.linspace(0.0, 12.0, 60)
    gain = [0.0] + [x * (alpha - beta * (x if kind == "best-of-n" else math.log(x))) for x in d[1:]]
    found = fit(kind, d, gain)
    assert (found.alpha, found.beta) == pytest.approx((alpha, beta), abs=1e-9)
    assert found.gain(d) == pytest.approx(gain, abs=1e-9)
    planted = Curve(kind, alpha, beta)
    assert planted.turn == (turn if turn is None else pytest.approx(turn))
    if turn:
        around = planted.gain([turn - 0.01, turn, turn + 0.01])
        assert around.argmax() == 1


def test_a_turn_farther_than_a_number_can_say_is_none():
    assert Curve("best-of-n", 1e300, 1e-300).turn is None


def test_noise_moves_the_fit_a_little():
    d, noise = np.linspace(0.1, 8.0, 200), np.random.default_rng(0).normal(0, 0.02, 200)
    found = fit("rl", d, Curve("rl", 0.2, 0.1).gain(d) + noise)
    assert (found.alpha, found.beta) == pytest.approx((0.2, 0.1), abs=0.01)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: best_of_n([1, 2], [1, 2], 3), "n is 3 and there are 2"),
        (lambda: best_of_n([1, 2], [1, 2], 0), "n is 0"),
        (
            lambda: best_of_n([1, 2], [1, 2], 1.5),
            "n is 1.5 and there are 2 completions: give a whole number from 1 to 2",
        ),
        (lambda: best_of_n([1, 2], [1, 2], True), "n is True"),
        (lambda: best_of_n([], [], 1), "n is 1 and there are 0 completions: give a whole number, and some completions"),
        (lambda: best_of_n_kl(0), "n is 0: give a whole number, 1 or more"),
        (
            lambda: best_of_n([1, 2], [1], 1),
            r"proxy and reward have the shapes \(2,\) and \(1,\): give two lists of one length",
        ),
        (lambda: best_of_n([1, math.nan], [1, 2], 1), "proxy holds a number that is not finite"),
        (lambda: best_of_n([1, 2], ["good", "bad"], 1), "reward=.*'good'.* must be a list of numbers"),
        (lambda: fit("ppo", [0, 1, 2], [0, 1, 2]), "kind='ppo' is not known: .*best-of-n, rl"),
        (lambda: fit("rl", [0, 1, 2], [0, 1]), r"d and gain have the shapes \(3,\) and \(2,\)"),
        (lambda: fit("rl", [0, 1, 2], [0, 1, math.inf]), "gain holds a number that is not finite"),
        (lambda: fit("rl", [-1, 1, 2], [0, 1, 2]), "d holds -1, and a square root of the KL is 0 or more"),
        (lambda: fit("rl", [0.0, 1.0, 1.0], [0, 1, 1]), "two different d"),
    ],
)
def test_what_cannot_be_computed_is_said(make, message):
    with pytest.raises(ConfigError, match=message):
        make()
