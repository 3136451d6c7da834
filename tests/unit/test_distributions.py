"""What is read off a next-token distribution, against plain loops in Python's float64."""

import math

import pytest
import torch

from definitions import entropy, exact_kl, log_softmax, selected
from gaard.method import distributions
from gaard.method.distributions import draw, sample

ALMOST_ONE = 1.0 - 2.0**-53  # the largest float64 below 1


def random_logits(*shape: int, seed: int = 0) -> torch.Tensor:
    return 2.0 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def uniforms(count: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def naive_log_softmax(logits: list[float]) -> list[float]:
    log_total = math.log(math.fsum(math.exp(x - max(logits)) for x in logits)) + max(logits)
    return [x - log_total for x in logits]


def naive_sample(logprobs: list[float], u: float) -> int:
    """The first token at which the running sum of probabilities exceeds u."""
    total = math.fsum(math.exp(x) for x in logprobs)
    running = 0.0
    for token, logprob in enumerate(logprobs):
        running += math.exp(logprob)
        if running > u * total:
            return token
    raise AssertionError("u must be below 1")


def test_log_softmax_is_its_definition():
    logits = random_logits(3, 11)
    expected = torch.tensor([naive_log_softmax(row) for row in logits.tolist()], dtype=torch.float64)
    torch.testing.assert_close(log_softmax(logits), expected, atol=1e-12, rtol=0)


def test_log_softmax_of_huge_logits_is_finite():
    assert log_softmax(torch.tensor([1e4, 1e4, -1e4])).tolist() == pytest.approx(
        [-math.log(2), -math.log(2), -2e4 - math.log(2)]
    )


def test_selected_picks_each_positions_own_token():
    logprobs = random_logits(2, 3, 5)
    tokens = torch.tensor([[0, 4, 2], [1, 1, 3]])
    expected = [[logprobs[i, t, tokens[i, t]].item() for t in range(3)] for i in range(2)]
    assert selected(logprobs, tokens).tolist() == expected


@pytest.mark.parametrize("size", [1, 2, 37, 5000])
def test_entropy_of_the_uniform_distribution_is_log_of_its_size(size):
    assert entropy(log_softmax(torch.zeros(2, size))).tolist() == pytest.approx([math.log(size)] * 2, abs=1e-5)


def test_entropy_equals_its_sum():
    logprobs = log_softmax(random_logits(4, 9))
    expected = [-math.fsum(math.exp(x) * x for x in row) for row in logprobs.tolist()]
    assert entropy(logprobs).tolist() == pytest.approx(expected, rel=1e-12)


def test_entropy_of_a_certain_token_is_zero():
    assert entropy(log_softmax(torch.tensor([1e4, 0.0, 0.0]))).item() == 0.0


def test_exact_kl_equals_its_sum_in_the_stated_direction():
    logprobs, ref_logprobs = log_softmax(random_logits(4, 9)), log_softmax(random_logits(4, 9, seed=1))
    expected = [
        math.fsum(math.exp(x) * (x - y) for x, y in zip(p, q, strict=True))
        for p, q in zip(logprobs.tolist(), ref_logprobs.tolist(), strict=True)
    ]
    assert exact_kl(logprobs, ref_logprobs).tolist() == pytest.approx(expected, rel=1e-12)
    assert min(expected) > 0.1


def test_exact_kl_of_equal_distributions_is_zero():
    logprobs = log_softmax(random_logits(4, 9).float())
    assert exact_kl(logprobs, logprobs.clone()).tolist() == [0.0] * 4


def test_exact_kl_of_a_coin_by_hand():
    coin, bent = torch.tensor([0.5, 0.5]).log(), torch.tensor([0.25, 0.75]).log()
    assert exact_kl(coin, bent).item() == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(2 / 3), rel=1e-6)


@pytest.mark.parametrize("size", [1, 2, 7, 300])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sample_inverts_the_cumulative_distribution(size, dtype):
    logprobs = log_softmax(random_logits(200, size).to(dtype))
    numbers = uniforms(200)
    tokens = sample(logprobs.exp(), numbers)
    assert tokens.dtype == torch.int64
    pairs = zip(logprobs.tolist(), numbers.tolist(), strict=True)
    assert tokens.tolist() == [naive_sample(row, u) for row, u in pairs]


def test_sample_is_monotone_and_reaches_every_token():
    logprobs = log_softmax(random_logits(1, 6)).expand(5001, -1)
    tokens = sample(logprobs.exp(), torch.linspace(0, ALMOST_ONE, 5001, dtype=torch.float64))
    assert (tokens.diff() >= 0).all()
    assert tokens.unique().tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("inside", [0.0001, 0.9999])
@pytest.mark.parametrize("size", [49_152, 50_257])
def test_equal_probabilities_cut_the_unit_interval_into_equal_parts(size, inside):
    """Float32 probabilities do not add up to 1, and float32 sums of them round: neither may shift a late token."""
    tokens = torch.tensor([0, 1, size // 3, size // 2, *range(size - 20, size)])
    logprobs = torch.full((len(tokens) + 1, size), -math.log(size))
    logprobs[0] = log_softmax(torch.arange(size) * -1.0)  # a row whose sum is another
    numbers = torch.cat([torch.zeros(1).double(), (tokens.double() + inside) / size])
    assert sample(logprobs.exp(), numbers).tolist() == [0, *tokens.tolist()]


@pytest.mark.parametrize("u", [0.0, 2.0**-53, 0.5, ALMOST_ONE, 1.0])
@pytest.mark.parametrize(
    "probs",
    [
        pytest.param([0.0, 0.0, 0.5, 0.5], id="zeros first"),
        pytest.param([0.5, 0.0, 0.0, 0.5], id="zeros between"),
        pytest.param([0.7, 0.3, 0.0, 0.0], id="zeros last"),
        pytest.param([0.0, 0.2, 0.0, 0.8, 0.0], id="zeros everywhere"),
        pytest.param([0.0, 1.0, 0.0], id="one token"),
    ],
)
@pytest.mark.parametrize("zero", [-math.inf, -1e4])
def test_a_token_of_probability_zero_is_never_drawn(probs, u, zero):
    """U = 1 is outside the contract, but a number rounded up to it must not end in a token that is not there."""
    logprobs = torch.tensor([[math.log(p) if p else zero for p in probs]])
    token = sample(logprobs.exp(), torch.tensor([u], dtype=torch.float64)).item()
    assert 0 <= token < len(probs)
    assert probs[token] > 0.0


def test_frequencies_follow_the_probabilities():
    probs = [0.5, 0.25, 0.0, 0.15, 0.07, 0.03]
    draws = 40_000
    tokens = sample(torch.tensor([probs]).expand(draws, -1), uniforms(draws, seed=3))
    counts = [int((tokens == token).sum()) for token in range(6)]
    assert counts[2] == 0
    chi_square = sum((n - draws * p) ** 2 / (draws * p) for n, p in zip(counts, probs, strict=True) if p)
    assert chi_square < 18.47  # 99.9% point, 4 degrees of freedom


@pytest.mark.parametrize("size", [7, 1000, 4099])
def test_a_rows_token_does_not_depend_on_its_neighbours(size):
    numbers = uniforms(17, seed=4)
    weights = log_softmax(random_logits(17, size).float()).exp()
    together = sample(weights, numbers)
    alone = [sample(weights[i : i + 1].clone(), numbers[i : i + 1]).item() for i in range(17)]
    assert together.tolist() == alone
    order = torch.randperm(17, generator=torch.Generator().manual_seed(5))
    assert torch.equal(sample(weights[order], numbers[order]), together[order])


@pytest.mark.parametrize("u", [0.0, 0.3, 0.5, ALMOST_ONE, 1.0])
@pytest.mark.parametrize("scale", [1e-30, 1.0, 7.0])
def test_blocks_without_weight_and_the_room_behind_the_last_token_are_passed_over(monkeypatch, u, scale):
    monkeypatch.setattr(distributions, "BLOCK", 4)
    weights = torch.tensor([0.0] * 5 + [1.0, 0.0, 0.0] + [0.0] * 4 + [0.0, 2.0, 0.0])  # tokens 5 and 13 of 15
    token = sample(scale * weights[None], torch.tensor([u], dtype=torch.float64)).item()
    assert token == (5 if u * 3 < 1 else 13)


@pytest.mark.parametrize("size", [1, 9, 700])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_draw_says_what_the_definitions_say(size, dtype):
    logits, numbers = random_logits(50, size).to(dtype), uniforms(50)
    drawn, logprobs = draw(logits, numbers), log_softmax(logits.double())
    tolerance = 1e-12 if dtype == torch.float64 else 2e-6
    assert drawn.tokens.tolist() == [
        naive_sample(row, u) for row, u in zip(logprobs.tolist(), numbers.tolist(), strict=True)
    ]
    assert torch.equal(drawn.greedy_tokens, logits.argmax(-1))
    for figure, expected in (
        (drawn.logprobs, selected(logprobs, drawn.tokens)),
        (drawn.greedy_logprobs, selected(logprobs, drawn.greedy_tokens)),
        (drawn.entropy, entropy(logprobs)),
    ):
        assert figure.dtype == dtype
        torch.testing.assert_close(figure.double(), expected, atol=tolerance, rtol=tolerance)


def test_a_draw_from_huge_logits_is_finite():
    drawn = draw(torch.tensor([[1e4, 1e4, -1e4], [-1e4, 0.0, 1e4]]), torch.tensor([0.6, 0.5], dtype=torch.float64))
    assert drawn.tokens.tolist() == [1, 2]
    assert drawn.logprobs.tolist() == pytest.approx([-math.log(2), 0.0])
    assert drawn.entropy.tolist() == pytest.approx([math.log(2), 0.0])
