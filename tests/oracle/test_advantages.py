"""G3, G5, G6 and G12 against hand-derived numbers and double loops over the definitions, in float64."""

import math

import pytest
import torch

from gaard.method.advantages import (
    advantage_gap,
    generalized_advantages,
    one_step_advantages,
    sampled_next_values,
    token_rewards,
)

LENGTHS = [5, 1, 3, 4]
MASK = torch.arange(5) < torch.tensor(LENGTHS)[:, None]
POISON = [math.nan, math.inf, -math.inf, 1e30]


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def tensor(x: list) -> torch.Tensor:
    return torch.tensor(x, dtype=torch.float64)


def naive_gae(values: torch.Tensor, rewards: torch.Tensor, gamma: float, lam: float) -> list[list[float]]:
    """Σ_k (γλ)^k δ_{t+k} for each token, by the definition; zero in the padding."""
    advantages = []
    for v, r, n in zip(values.tolist(), rewards.tolist(), LENGTHS, strict=True):
        delta = [r[t] + (gamma * v[t + 1] if t + 1 < n else 0.0) - v[t] for t in range(n)]
        row = [math.fsum((gamma * lam) ** k * delta[t + k] for k in range(n - t)) for t in range(n)]
        advantages.append(row + [0.0] * (values.shape[1] - n))
    return advantages


def assert_equals(result: torch.Tensor, expected: list) -> None:
    torch.testing.assert_close(result, tensor(expected), rtol=1e-12, atol=1e-12)


def test_the_score_stands_on_the_last_valid_token():
    rewards = token_rewards(torch.tensor([1.0, -2.0, 3.0, 0.5]), MASK)
    assert rewards.tolist() == [[0, 0, 0, 0, 1.0], [-2.0, 0, 0, 0, 0], [0, 0, 3.0, 0, 0], [0, 0, 0, 0.5, 0]]


def test_the_next_value_is_the_next_entry():
    assert sampled_next_values(torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])).tolist() == [[2, 3, 0], [5, 6, 0]]


@pytest.mark.parametrize("gamma", [1.0, 0.9])
@pytest.mark.parametrize("lam", [0.0, 0.5, 0.95, 1.0])
def test_gae_equals_the_double_loop(lam, gamma):
    values, rewards = normal(4, 5), normal(4, 5, seed=1)  # a reward on every token, as with KL in the reward
    assert_equals(generalized_advantages(values, rewards, MASK, gamma, lam), naive_gae(values, rewards, gamma, lam))


def test_gae_without_discounts_is_the_score_minus_the_value():
    values, scores = normal(4, 5), normal(4, seed=1)
    advantages = generalized_advantages(values, token_rewards(scores, MASK), MASK, gamma=1.0, lam=1.0)
    expected = [[scores[i].item() - values[i, t].item() if t < LENGTHS[i] else 0.0 for t in range(5)] for i in range(4)]
    assert_equals(advantages, expected)


@pytest.mark.parametrize(
    ("gamma", "lam", "expected"),
    [
        pytest.param(1.0, 0.0, [[-0.3, 0.7, 1.1], [0.5, 4.0, 0.0]], id="G3"),
        pytest.param(0.5, 0.0, [[-0.4, 0.25, 1.1], [0.75, 4.0, 0.0]], id="G3 with a discount"),
        pytest.param(1.0, 1.0, [[1.5, 1.8, 1.1], [4.5, 4.0, 0.0]], id="score minus value"),
        pytest.param(1.0, 0.5, [[0.325, 1.25, 1.1], [2.5, 4.0, 0.0]], id="halved each step"),
    ],
)
def test_advantages_by_hand(gamma, lam, expected):
    values = tensor([[0.5, 0.2, 0.9], [-1.0, -0.5, 77.0]])
    mask = torch.tensor([[True, True, True], [True, True, False]])
    rewards = token_rewards(tensor([2.0, 3.5]), mask)
    assert_equals(generalized_advantages(values, rewards, mask, gamma, lam), expected)


def test_greedy_advantages_by_hand():
    """G5: V(x_<t, x*) − V(x_<t), and at the last token the score of the sequence that ends in x*."""
    values = tensor([[0.5, 0.2, 0.9], [-1.0, -0.5, 77.0]])
    greedy_values = tensor([[1.0, -1.0, 55.0], [2.0, 66.0, 88.0]])
    mask = torch.tensor([[True, True, True], [True, True, False]])
    rewards = token_rewards(tensor([3.0, -4.0]), mask)
    expected = [[0.5, -1.2, 2.1], [3.0, -3.5, 0.0]]
    assert_equals(one_step_advantages(values, greedy_values, rewards, mask, gamma=1.0), expected)
    discounted = [[0.0, -0.7, 2.1], [2.0, -3.5, 0.0]]
    assert_equals(one_step_advantages(values, greedy_values, rewards, mask, gamma=0.5), discounted)


def test_greedy_advantages_where_the_greedy_token_was_sampled_are_the_sampled_ones_bit_for_bit():
    values, rewards = normal(4, 5).float(), token_rewards(normal(4, seed=1).float(), MASK)
    sampled = generalized_advantages(values, rewards, MASK, gamma=1.0, lam=0.0)
    greedy = one_step_advantages(values, sampled_next_values(values), rewards, MASK, gamma=1.0)
    assert torch.equal(sampled, greedy)
    assert torch.equal(advantage_gap(sampled, greedy, sampled.std()), torch.zeros(4, 5))


@pytest.mark.parametrize("poison", POISON)
@pytest.mark.parametrize("lam", [0.0, 0.95])
def test_padding_never_changes_a_number(lam, poison):
    values, next_values, rewards = normal(4, 5), normal(4, 5, seed=1), normal(4, 5, seed=2)
    clean = [
        generalized_advantages(values, rewards, MASK, 0.9, lam),
        one_step_advantages(values, next_values, rewards, MASK, 0.9),
    ]
    values, next_values, rewards = (x.masked_fill(~MASK, poison) for x in (values, next_values, rewards))
    poisoned = [
        generalized_advantages(values, rewards, MASK, 0.9, lam),
        one_step_advantages(values, next_values, rewards, MASK, 0.9),
    ]
    assert all(torch.equal(x, y) for x, y in zip(clean, poisoned, strict=True))
    assert all((x[~MASK] == 0.0).all() for x in poisoned)


@pytest.mark.parametrize("poison", POISON)
def test_the_greedy_value_after_the_last_token_is_not_read(poison):
    """The branch ends with the last token, so whatever stands there must not matter."""
    values, next_values, rewards = normal(4, 5), normal(4, 5, seed=1), normal(4, 5, seed=2)
    clean = one_step_advantages(values, next_values, rewards, MASK, 1.0)
    next_values[range(4), [n - 1 for n in LENGTHS]] = poison
    assert torch.equal(one_step_advantages(values, next_values, rewards, MASK, 1.0), clean)


@pytest.mark.parametrize("lam", [0.0, 0.95])
def test_arguments_are_left_alone(lam):
    values, rewards = normal(4, 5), normal(4, 5, seed=1)
    generalized_advantages(values, rewards, MASK, 0.9, lam)
    assert torch.equal(values, normal(4, 5))
    assert torch.equal(rewards, normal(4, 5, seed=1))


def test_gap_by_hand():
    advantages = tensor([[1.0, 2.0, -0.5]])
    greedy_advantages = tensor([[2.0, 2.0, -1.5]])
    gap = advantage_gap(advantages, greedy_advantages, torch.tensor(0.5))
    assert gap.tolist() == [[pytest.approx(2.0, rel=1e-7), 0.0, pytest.approx(-2.0, rel=1e-7)]]


@pytest.mark.parametrize("std", [0.0, 1e-12, 1.0, 1e6])
def test_gap_of_equal_advantages_is_exactly_zero_and_any_gap_finite(std):
    advantages = normal(4, 5).float()
    gap = advantage_gap(advantages, advantages.clone(), torch.tensor(std))
    assert torch.equal(gap, torch.zeros(4, 5))
    assert advantage_gap(advantages, advantages + 1.0, torch.tensor(std)).isfinite().all()


def expected_gap(token_values, probs):
    """G12, E_x[A(x*) − A(x)] = Σ_{x≠x*} (V(x*) − V(x)) π(x), exactly, over a whole vocabulary.

    Args:
        token_values: [..., V], V(x_<t, x) for every token x.
        probs: [..., V], π(x | x_<t), summing to 1; x* is its argmax.

    Returns:
        [...], the expected gap before division by the standard deviation.
    """
    greedy = probs.argmax(-1, keepdim=True)
    return ((token_values.gather(-1, greedy) - token_values) * probs).sum(-1)


class TestExpectedGap:
    """G12 on a vocabulary of six tokens."""

    probs = torch.softmax(normal(6, seed=6), -1)
    token_values = normal(6, seed=3)
    greedy = max(range(6), key=probs.tolist().__getitem__)

    def exact(self) -> float:
        v, p = self.token_values.tolist(), self.probs.tolist()
        return math.fsum((v[self.greedy] - v[x]) * p[x] for x in range(6) if x != self.greedy)

    def test_the_case_is_not_degenerate(self):
        """The likeliest token is neither the first nor the one of highest value, nor alone."""
        assert self.greedy not in (0, self.token_values.argmax().item())
        assert self.probs.max() < 0.8
        assert abs(self.exact()) > 0.3

    def test_equals_the_sum_by_an_explicit_loop(self):
        assert expected_gap(self.token_values, self.probs).item() == pytest.approx(self.exact(), rel=1e-12)

    def test_works_row_by_row(self):
        flipped = expected_gap(self.token_values.flip(0), self.probs.flip(0)).item()
        rows = expected_gap(
            torch.stack([self.token_values, self.token_values.flip(0)]), torch.stack([self.probs, self.probs.flip(0)])
        )
        assert rows.tolist() == pytest.approx([self.exact(), flipped], rel=1e-12)

    def test_by_hand(self):
        """x* is the second token: (2 − 5)·0.3 + (2 − (−1))·0.2."""
        gap = expected_gap(tensor([5.0, 2.0, -1.0]), tensor([0.3, 0.5, 0.2]))
        assert gap.item() == pytest.approx(-0.3, rel=1e-12)

    def test_sampled_gaps_converge_to_it(self):
        """The mean of A(x*) − A(x) over sampled tokens, through the functions that training uses."""
        draws = 50_000
        tokens = torch.multinomial(self.probs, draws, replacement=True, generator=torch.Generator().manual_seed(7))
        mask = torch.ones(draws, 2, dtype=torch.bool)
        values = torch.full((draws, 2), 0.37, dtype=torch.float64)
        after, rewards = torch.zeros_like(values), torch.zeros_like(values)
        after[:, 0] = self.token_values[tokens]
        advantages = one_step_advantages(values, after, rewards, mask, gamma=1.0)
        after[:, 0] = self.token_values[self.greedy]
        greedy_advantages = one_step_advantages(values, after, rewards, mask, gamma=1.0)
        gaps = advantage_gap(advantages, greedy_advantages, torch.tensor(1.0), eps=0.0)[:, 0]
        standard_error = gaps.std().item() / math.sqrt(draws)
        assert standard_error < 0.02 * abs(self.exact())  # sharp enough to tell a wrong formula
        assert abs(gaps.mean().item() - expected_gap(self.token_values, self.probs).item()) < 4 * standard_error
