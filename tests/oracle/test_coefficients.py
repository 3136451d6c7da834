"""G7, G8 and G11 against Johnson's four cases, numbers worked out by hand, and the formulas in Python's float64."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gaard.method.coefficients import at_granularity, gaa_coefficients, ppo_coefficients

GRID = [0.0, 0.1, 0.25, 0.5, 0.9, 1.0]
ANY_FLOAT = st.floats(allow_nan=True, allow_infinity=True)
TEXT_CASES = [  # σ, η, a, b
    (0.0, 0.0, 1.0, 0.0),
    (0.0, 1.0, 1.0, 0.0),
    (2.0, 0.0, 2.0, -1.0),
    (2.0, 1.0, 0.0, -1.0),
]


def tensor(x: float, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.tensor(x, dtype=dtype)


def written_out(eta: float, sigma: float) -> tuple[float, float]:
    """G7 and G8 as they stand in Johnson's text."""
    a = (1 - eta) * (sigma / 2 + 1) + eta * (1 - sigma / 2) ** 10
    b = (1 - eta) * (-sigma / 2) + eta * ((1 - sigma / 2) ** 10 - 1)
    return a, b


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("sigma", "eta", "expected_a", "expected_b"), TEXT_CASES)
def test_the_texts_four_cases_are_exact(sigma, eta, expected_a, expected_b, dtype):
    a, b = gaa_coefficients(tensor(eta, dtype), tensor(sigma, dtype))
    assert (a.item(), b.item()) == (expected_a, expected_b)


def test_an_interior_point_by_hand():
    """η=1/4, σ=1: a = ¾·1.5 + ¼·2⁻¹⁰ and b = −¾·½ + ¼·(2⁻¹⁰ − 1)."""
    a, b = gaa_coefficients(tensor(0.25), tensor(1.0))
    assert (a.item(), b.item()) == (1.125244140625, -0.624755859375)


@pytest.mark.parametrize("eta", GRID)
@pytest.mark.parametrize("sigma", [2 * x for x in GRID])
def test_equals_the_formulas_as_written(eta, sigma):
    a, b = gaa_coefficients(tensor(eta), tensor(sigma))
    assert (a.item(), b.item()) == pytest.approx(written_out(eta, sigma), abs=1e-14)


@pytest.mark.parametrize("sigma", [0.0, 0.3, 1.0, 1.7, 2.0, 50.0])
def test_without_confidence_a_and_b_add_up_to_one(sigma):
    a, b = gaa_coefficients(tensor(0.0), tensor(sigma))
    assert (a + b).item() == pytest.approx(1.0, abs=1e-15)


@pytest.mark.parametrize("sigma", [0.0, 0.3, 1.0, 1.7, 2.0, 50.0])
def test_with_certainty_b_is_a_minus_one(sigma):
    a, b = gaa_coefficients(tensor(1.0), tensor(sigma))
    assert b.item() == pytest.approx(a.item() - 1.0, abs=1e-15)


@given(ANY_FLOAT, st.sampled_from([0.0, -0.0, -1e-30, -3.0, -math.inf, math.nan]))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_without_a_gap_gaa_is_ppo_to_the_last_bit(eta, sigma):
    """σ = 0; a negative gap, the sampled token being the better one, and an undefined one count as none."""
    eta_32 = torch.tensor([eta, 1 / 3, 0.1], dtype=torch.float32)
    a, b = gaa_coefficients(eta_32, torch.tensor(sigma, dtype=torch.float32))
    assert a.dtype == b.dtype == torch.float32
    assert torch.equal(a, torch.ones(3))
    assert torch.equal(b, torch.zeros(3))


@given(ANY_FLOAT, ANY_FLOAT, ANY_FLOAT, ANY_FLOAT, st.sampled_from([torch.bfloat16, torch.float32, torch.float64]))
@settings(max_examples=400, deadline=None, derandomize=True)
def test_coefficients_stay_within_bounds_whatever_comes_in(eta, sigma, eta_scale, sigma_scale, dtype):
    a, b = gaa_coefficients(tensor(eta, dtype), tensor(sigma, dtype), eta_scale=eta_scale, sigma_scale=sigma_scale)
    assert 0.0 <= a.item() <= 2.0  # false for NaN
    assert -1.0 <= b.item() <= 0.0


@given(st.floats(0, 1), st.floats(0, 2))
@settings(max_examples=400, deadline=None, derandomize=True)
def test_coefficients_stay_within_bounds_in_float32(eta, sigma):
    """Rounding must not carry them out either."""
    a, b = gaa_coefficients(tensor(eta, torch.float32), tensor(sigma, torch.float32))
    assert 0.0 <= a.item() <= 2.0
    assert -1.0 <= b.item() <= 0.0


@pytest.mark.parametrize(
    ("eta", "sigma", "inside"),
    [
        (-0.5, 1.0, (0.0, 1.0)),
        (7.0, 1.0, (1.0, 1.0)),
        (math.inf, 1.0, (1.0, 1.0)),
        (math.nan, 1.0, (0.0, 1.0)),
        (0.25, -3.0, (0.25, 0.0)),
        (0.25, 9.0, (0.25, 2.0)),
        (0.25, math.inf, (0.25, 2.0)),
        (0.25, -math.inf, (0.25, 0.0)),
        (0.25, math.nan, (0.25, 0.0)),
    ],
)
def test_inputs_outside_their_range_count_as_its_nearest_end(eta, sigma, inside):
    a, b = gaa_coefficients(tensor(eta), tensor(sigma))
    assert (a.item(), b.item()) == pytest.approx(written_out(*inside), abs=1e-14)


@pytest.mark.parametrize(
    ("eta", "sigma", "scales", "equivalent"),
    [
        (0.25, 1.0, {"eta_scale": 2.0}, (0.5, 1.0)),
        (0.25, 1.0, {"eta_scale": 0.0}, (0.0, 1.0)),
        (0.5, 1.0, {"eta_scale": 3.0}, (1.0, 1.0)),  # clamped after scaling
        (2.0, 1.0, {"eta_scale": 0.25}, (0.5, 1.0)),  # not before it
        (0.25, 1.0, {"sigma_scale": 0.5}, (0.25, 1.0)),
        (0.25, 1.0, {"sigma_scale": 0.25}, (0.25, 0.5)),
        (0.25, 1.0, {"sigma_scale": 3.0}, (0.25, 2.0)),
        (0.25, 4.0, {"sigma_scale": 0.125}, (0.25, 1.0)),
        (0.25, 1.0, {"eta_scale": 2.0, "sigma_scale": 0.25}, (0.5, 0.5)),
    ],
)
def test_scales_multiply_before_the_clamp(eta, sigma, scales, equivalent):
    a, b = gaa_coefficients(tensor(eta), tensor(sigma), **scales)
    assert (a.item(), b.item()) == pytest.approx(written_out(*equivalent), abs=1e-14)


def test_each_element_gets_its_own_coefficients():
    eta, sigma = torch.tensor([[0.2], [0.9]], dtype=torch.float64), torch.tensor([0.1, 1.0, 1.9], dtype=torch.float64)
    a, b = gaa_coefficients(eta, sigma)
    expected = [[written_out(e, s) for s in sigma.tolist()] for e in eta.flatten().tolist()]
    torch.testing.assert_close(torch.stack([a, b], -1), torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize(
    ("eta", "sigma", "shape"),
    [
        (torch.rand(2, 3), torch.rand(2, 3), (2, 3)),
        (torch.rand(2, 1), torch.rand(3), (2, 3)),
        (torch.rand(4, dtype=torch.float64), 5.0, (4,)),
        (0.5, 2.0, ()),
    ],
)
def test_ppo_is_one_and_zero_of_the_broadcast_shape(eta, sigma, shape):
    a, b = ppo_coefficients(eta, sigma)
    assert a.shape == b.shape == shape
    assert a.dtype == b.dtype == torch.as_tensor(eta).dtype
    assert (a == 1.0).all()
    assert (b == 0.0).all()


@pytest.mark.parametrize("poison", [100.0, math.nan, math.inf])
def test_minibatch_granularity_is_the_mean_of_valid_tokens_everywhere(poison):
    mask = torch.tensor([[True, True, True], [True, False, False]])
    x = torch.tensor([[1.0, 2.0, 4.0], [5.0, poison, poison]])
    assert at_granularity(x, mask, "minibatch").tolist() == [[3.0] * 3] * 2


def test_token_granularity_changes_nothing():
    x = torch.tensor([[1.0, 2.0, 4.0], [5.0, 6.0, 7.0]])
    assert torch.equal(at_granularity(x, torch.ones(2, 3, dtype=torch.bool), "token"), x)
