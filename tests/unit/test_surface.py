"""What lies around a place in parameter space, on functions that are known everywhere."""

import math

import pytest
import torch
from torch import nn

from gaard.errors import ConfigError
from gaard.sharpness import (
    block,
    of_length,
    random_direction,
    second_difference,
    surface,
    value,
    worst_in_ball,
)


class Bowl(nn.Module):
    """f = 3x² − y², at (1, 2)."""

    def __init__(self):
        super().__init__()
        self.x = nn.Parameter(torch.tensor([1.0], dtype=torch.float64))
        self.y = nn.Parameter(torch.tensor([2.0], dtype=torch.float64))

    def f(self):
        return 3 * self.x[0] ** 2 - self.y[0] ** 2


def test_a_plane_is_measured_point_by_point_and_the_weights_come_back():
    bowl = Bowl()
    here = block(bowl)
    before = here.vector()
    across = torch.tensor([1.0, 0.0], dtype=torch.float64), torch.tensor([0.0, 1.0], dtype=torch.float64)
    points = surface(lambda: {"f": float(bowl.f())}, here, across, [[-1.0, 0.0], [0.0, 1.0, 2.0]])
    assert [point.at for point in points] == [(-1, 0), (-1, 1), (-1, 2), (0, 0), (0, 1), (0, 2)]
    assert [point.measures["f"] for point in points] == [-4, -9, -16, -1, -6, -13]
    assert torch.equal(here.vector(), before)


def test_a_measure_that_fails_leaves_the_weights_as_they_were():
    bowl = Bowl()
    here = block(bowl)
    before = here.vector()
    with pytest.raises(ZeroDivisionError):
        surface(lambda: {"f": 1 / 0}, here, [torch.ones(2, dtype=torch.float64)], [[0.3]])
    assert torch.equal(here.vector(), before)


def test_second_differences_of_a_parabola_are_its_curvature():
    assert second_difference(3 * 0.9**2, 3.0, 3 * 1.1**2, 0.1) == pytest.approx(6.0)


def test_the_worst_of_a_ball():
    """Of f = 3x² on a line: from x = 1 the worst within ρ is at 1 + ρ, and one ascent gets there."""
    bowl = Bowl()
    line = block(bowl, "^x")
    assert worst_in_ball(lambda: [bowl.f()], line, 0.5) == pytest.approx(3 * 1.5**2 - 3)
    assert worst_in_ball(lambda: [bowl.f()], line, 0.5, ascents=3) == pytest.approx(3 * 1.5**2 - 3)
    assert float(bowl.x) == 1.0
    # In the plane more ascents find a place at least as bad, and none beyond the ball.
    plane = block(bowl)
    first, fifth = (worst_in_ball(lambda: [bowl.f()], plane, 1.0, ascents=n) for n in (1, 20))
    angles = torch.linspace(0, 2 * math.pi, 10_000, dtype=torch.float64)
    true = (3 * (1 + angles.cos()) ** 2 - (2 + angles.sin()) ** 2).max() - float(bowl.f())
    assert first < fifth <= float(true) + 1e-6  # the circle is sampled
    assert fifth == pytest.approx(float(true), abs=0.02)


def test_where_all_directions_lead_down_nothing_is_worse():
    bowl = Bowl()
    with torch.no_grad():
        bowl.y.zero_()
    assert worst_in_ball(lambda: [bowl.f()], block(bowl, "^y"), 1.0) == 0.0


def test_a_random_direction_is_as_long_as_the_weights_filter_by_filter():
    torch.manual_seed(0)
    model = nn.Linear(6, 3)
    with torch.no_grad():
        model.weight[1].zero_()
    here = block(model)
    first, again = (random_direction(here, torch.Generator().manual_seed(7)) for _ in range(2))
    assert torch.equal(first, again)
    weight, bias = here.split(first)
    torch.testing.assert_close(weight.norm(dim=1), model.weight.detach().norm(dim=1))
    torch.testing.assert_close(bias.norm(), model.bias.detach().norm())
    assert not torch.equal(first, random_direction(here, torch.Generator().manual_seed(8)))


def test_lengths():
    assert of_length(torch.tensor([3.0, 4.0]), 10).tolist() == [6.0, 8.0]
    assert of_length(torch.zeros(2), 10).tolist() == [0.0, 0.0]


def test_blocks_by_name():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    assert block(model, r"^1\.").names == ("1.weight", "1.bias")
    assert block(model).size == 12
    with pytest.raises(
        ConfigError, match=r"block='mlp' finds no parameter: choose a pattern that finds some of 0.weight"
    ):
        block(model, "mlp")
    model[1].weight = model[0].weight  # tied
    assert block(model, "weight").names == ("0.weight",)


def test_the_value_is_the_sum_of_the_parts():
    assert value(lambda: [torch.tensor(1.5), torch.tensor(2.0)]) == 3.5
