"""Eigenvalues, traces and densities of maps whose spectrum was planted; random ones inside their stated error."""

import math

import pytest
import torch
from scipy.stats import binom
from torch import nn

from gaard.errors import ConfigError
from gaard.sharpness import (
    adaptive_scale,
    block,
    eigenpairs,
    filter_scale,
    hessian_product,
    scaled,
    spectrum,
    trace,
)
from gaard.sharpness.density import lanczos

SEEDS = 200
# 95% intervals that hold their number in fewer cases than this would be wrong with a chance of 1 in 1000.
FEWEST = int(binom.ppf(0.001, SEEDS, 0.95))


def planted(values, seed=0):
    """A symmetric matrix with these eigenvalues, along random directions, and those directions."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.as_tensor(values, dtype=torch.float64)
    q, _ = torch.linalg.qr(torch.randn(len(values), len(values), dtype=torch.float64, generator=generator))
    return q @ torch.diag(values) @ q.T, q


VALUES = torch.cat([torch.tensor([50.0, 20.0, 10.0]), torch.linspace(1, -1, 60), torch.tensor([-7.0, -30.0])]).double()


@pytest.mark.parametrize(
    ("end", "count", "expected"),
    [("top", 3, [50.0, 20.0, 10.0]), ("bottom", 2, [-7.0, -30.0]), ("both", 4, [50.0, 20.0, -7.0, -30.0])],
)
def test_planted_eigenvalues_are_found(end, count, expected):
    matrix, q = planted(VALUES)
    found = eigenpairs(matrix.mv, matrix[0], count, end, tolerance=1e-10)
    torch.testing.assert_close(found.values, torch.tensor(expected, dtype=torch.float64), rtol=1e-6, atol=0)
    assert float(found.residuals.max()) < 1e-6
    places = [VALUES.tolist().index(value) for value in expected]
    torch.testing.assert_close((found.vectors.T @ q[:, places]).abs(), torch.eye(count).double(), rtol=0, atol=1e-6)
    assert found.products >= count


def test_a_residual_bounds_how_far_an_eigenvalue_is():
    """A poor search says so: an eigenvalue lies within the residual of each value, and the residual is no zero."""
    matrix, _ = planted(torch.linspace(0, 1, 300))
    found = eigenpairs(matrix.mv, matrix[0], 1, "top", tolerance=0.2)
    assert float(found.residuals[0]) > 1e-8
    nearest = (torch.linspace(0, 1, 300).double() - found.values[0]).abs().min()
    assert float(nearest) <= float(found.residuals[0])


@pytest.mark.parametrize("count", [0, 65, 66])
def test_a_count_that_is_not_there_is_refused(count):
    matrix, _ = planted(VALUES)
    with pytest.raises(ConfigError, match=r"count=.* must be from 1 to 64"):
        eigenpairs(matrix.mv, matrix[0], count)


def test_the_trace_is_exact_where_the_sketch_holds_all_and_inside_its_error_else():
    low, _ = planted([3.0, -2.0, 1.0] + [0.0] * 57)
    found = trace(low.mv, low[0], 12, torch.Generator().manual_seed(0))
    assert math.isclose(found.value, 2.0, abs_tol=1e-9)
    matrix, _ = planted(VALUES)
    truth, inside, errors = float(VALUES.sum()), 0, []
    for seed in range(SEEDS):
        found = trace(matrix.mv, matrix[0], 30, torch.Generator().manual_seed(seed))
        inside += found.interval[0] <= truth <= found.interval[1]
        errors.append(found.error)
    assert inside >= FEWEST
    assert sum(errors) / SEEDS < 0.1 * VALUES.abs().sum()  # and the error says something
    with pytest.raises(ConfigError, match="products=5 must be at least 6"):
        trace(matrix.mv, matrix[0], 5, torch.Generator())


def test_the_trace_uses_as_many_products_as_it_says():
    matrix, _ = planted(VALUES)
    calls = []
    trace(lambda v: calls.append(1) or matrix @ v, matrix[0], 30, torch.Generator())
    assert len(calls) == 30


def test_shares_of_the_spectrum_are_inside_their_error():
    """A bulk near zero, and two groups well away from it."""
    values = torch.cat([torch.linspace(-0.5, 0.5, 80), torch.linspace(4, 5, 15), torch.linspace(-9, -8, 5)]).double()
    matrix, _ = planted(values)
    inside = {(-1.0, 1.0): 0, (3.0, 6.0): 0, (-10.0, -7.0): 0}
    for seed in range(SEEDS):
        seen = spectrum(matrix.mv, matrix[0], 16, 12, torch.Generator().manual_seed(seed))
        for low, high in inside:
            truth = float(((low <= values) & (values < high)).double().mean())
            found = seen.share(low, high)
            inside[low, high] += found.interval[0] <= truth <= found.interval[1]
    print(inside, FEWEST)
    assert min(inside.values()) >= FEWEST
    whole = seen.share(-math.inf, math.inf)
    assert math.isclose(whole.value, 1.0, abs_tol=1e-9)
    assert whole.error < 1e-9


def test_the_density_integrates_to_one_and_stands_where_the_eigenvalues_do():
    matrix, _ = planted([2.0] * 30 + [-1.0] * 10)
    seen = spectrum(matrix.mv, matrix[0], 200, 10, torch.Generator().manual_seed(0))
    at = torch.linspace(-4, 5, 901)
    density = torch.from_numpy(seen.density(at.tolist(), 0.1))
    assert math.isclose(float(density.sum()) * 0.01, 1.0, abs_tol=1e-3)
    assert math.isclose(float(density[at > 0.5].sum()) * 0.01, 0.75, abs_tol=0.02)
    assert len(seen.nodes[0]) == 2  # two distinct eigenvalues: the space ends there
    high = at[density > 0.5]
    assert float((torch.minimum((high - 2).abs(), (high + 1).abs())).max()) < 0.25


def test_lanczos_of_full_length_has_the_whole_spectrum():
    matrix, _ = planted(VALUES)
    diagonal, beside = lanczos(matrix.mv, torch.randn(len(VALUES), dtype=torch.float64), len(VALUES))
    found = torch.linalg.eigvalsh(
        torch.diag(torch.tensor(diagonal)) + torch.diag(torch.tensor(beside), 1) + torch.diag(torch.tensor(beside), -1)
    )
    torch.testing.assert_close(found, VALUES.sort().values, rtol=1e-8, atol=1e-8)


class Rescaled(nn.Module):
    """Two layers that compute the same whatever c is: W₁·c, W₂/c."""

    def __init__(self, c):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(5, 8, bias=False), nn.ReLU(), nn.Linear(8, 3, bias=False)).double()
        with torch.no_grad():
            self.layers[0].weight.mul_(c)
            self.layers[2].weight.div_(c)


@pytest.mark.parametrize("scale", [adaptive_scale, filter_scale])
def test_rescaling_two_layers_changes_raw_curvature_alone(scale):
    torch.manual_seed(1)
    x, y = torch.randn(20, 5, dtype=torch.float64), torch.randn(20, 3, dtype=torch.float64)
    raw, own, losses = [], [], []
    for c in (1.0, 4.0, 0.1):
        model = Rescaled(c)
        chosen = block(model)

        def objective(model=model):
            return [((model.layers(x) - y) ** 2).mean()]

        def product(v, objective=objective, chosen=chosen):
            return hessian_product(objective, chosen, v)

        start = chosen.vector()
        losses.append(objective()[0].item())
        raw.append(float(eigenpairs(product, start, tolerance=1e-9).values[0]))
        own.append(float(eigenpairs(scaled(product, scale(chosen)), start, tolerance=1e-9).values[0]))
    assert max(losses) - min(losses) < 1e-12
    assert max(raw) > 2 * min(raw)
    assert max(own) - min(own) < 1e-8 * max(own)


def test_scales_by_hand():
    model = nn.Linear(2, 2).double()
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[3.0, -4.0], [0.0, 2.0]]))
        model.bias.copy_(torch.tensor([-1.0, 0.0]))
    assert adaptive_scale(block(model)).tolist() == [3.0, 4.0, 0.0, 2.0, 1.0, 0.0]
    assert filter_scale(block(model)).tolist() == [5.0, 5.0, 2.0, 2.0, 1.0, 1.0]


@pytest.mark.parametrize("end", ["top", "both"])
def test_a_spectrum_of_zeros_but_for_two_is_found_soon(end):
    """ARPACK's own tolerance is relative to each eigenvalue: of a zero in float32 it would never be met."""
    basis = torch.linalg.qr(torch.randn(400, 2, generator=torch.Generator().manual_seed(0)))[0]
    product = lambda v: basis @ (torch.tensor([3.0, -2.0]) * (basis.T @ v))  # noqa: E731
    found = eigenpairs(product, torch.zeros(400), 4, end)
    assert found.products < 60
    assert float(found.values[0]) == pytest.approx(3, rel=1e-4)
    assert float(found.values[-1]) == pytest.approx(-2 if end == "both" else 0, abs=1e-3)


def test_without_curvature_all_eigenvalues_are_zero():
    found = eigenpairs(torch.zeros_like, torch.zeros(30), 3)
    assert found.values.tolist() == found.residuals.tolist() == [0, 0, 0]
    torch.testing.assert_close(found.vectors.T @ found.vectors, torch.eye(3), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("end", "sign"), [("both", 1), ("bottom", 1), ("top", -1)])
@pytest.mark.parametrize("rank", [40, 400])
def test_the_null_space_of_a_low_rank_map_is_seen(end, sign, rank):
    """As of a KL at its minimum: the outermost eigenvalue at one end is 0, which power iterations never come near."""
    generator = torch.Generator().manual_seed(rank)
    basis = torch.linalg.qr(torch.randn(2000, rank, dtype=torch.float64, generator=generator)).Q
    values = sign * torch.linspace(10, 100, rank, dtype=torch.float64)
    found = eigenpairs(lambda v: basis @ (values * (basis.T @ v)), basis[:, 0], 2 if end == "both" else 1, end, 1e-2)
    nearest_to_zero = found.values.abs().min()
    assert nearest_to_zero < 1.0
    assert found.products <= 50
