"""Masks and masked reductions against Python lists, NumPy and plain loops."""

import math

import numpy as np
import pytest
import torch

from gaard.method.masking import (
    completion_mask,
    last_token_mask,
    masked_mean,
    masked_std,
    masked_sum,
    position_ids,
    standardize,
)

POISON = [math.nan, math.inf, -math.inf, 1e30]
MASK = torch.tensor([[1, 1, 1, 1], [1, 0, 0, 0], [1, 1, 0, 0]], dtype=torch.bool)
EOS, OTHER_EOS = 9, 8


def numbers(seed: int = 0, offset: float = 0.0) -> torch.Tensor:
    return torch.randn(MASK.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + offset


def valid(x: torch.Tensor) -> list[float]:
    """The valid numbers, collected by hand."""
    return [x[i, t].item() for i in range(x.shape[0]) for t in range(x.shape[1]) if MASK[i, t].item()]


@pytest.mark.parametrize("poison", POISON)
def test_reductions_see_only_the_valid_places(poison):
    x = numbers().masked_fill(~MASK, poison)
    expected = valid(x)
    assert len(expected) == 7
    assert masked_sum(x, MASK).item() == pytest.approx(math.fsum(expected), rel=1e-12)
    assert masked_mean(x, MASK).item() == pytest.approx(math.fsum(expected) / 7, rel=1e-12)
    assert masked_std(x, MASK).item() == pytest.approx(np.std(expected), rel=1e-12)


@pytest.mark.parametrize("reduction", [masked_sum, masked_mean, masked_std])
def test_reductions_are_scalars_of_the_dtype_given(reduction):
    result = reduction(numbers().float(), MASK)
    assert result.shape == ()
    assert result.dtype == torch.float32


@pytest.mark.parametrize("reduction", [masked_sum, masked_mean, masked_std])
def test_nothing_valid_gives_zero(reduction):
    x = torch.full((2, 2), math.nan)
    assert reduction(x, torch.zeros(2, 2, dtype=torch.bool)).item() == 0.0


def test_no_gradient_reaches_a_padded_place():
    x = numbers().masked_fill(~MASK, math.nan).requires_grad_()
    masked_mean(x, MASK).backward()
    assert x.grad.tolist() == [[1 / 7] * 4, [1 / 7, 0, 0, 0], [1 / 7, 1 / 7, 0, 0]]


@pytest.mark.parametrize("as_tensor", [False, True])
@pytest.mark.parametrize("cuts", [[1], [2], [1, 2]])
def test_means_with_a_shared_count_add_up_over_any_split(cuts, as_tensor):
    x = numbers().masked_fill(~MASK, math.nan)
    count = MASK.sum() if as_tensor else int(MASK.sum())
    parts = zip(x.tensor_split(cuts), MASK.tensor_split(cuts), strict=True)
    added = sum(masked_mean(part, part_mask, count).item() for part, part_mask in parts)
    assert added == pytest.approx(math.fsum(valid(x)) / 7, rel=1e-12)


def test_std_is_of_the_population_and_zero_for_one_number():
    mask = torch.tensor([True, True, False])
    assert masked_std(torch.tensor([1.0, 5.0, math.nan]), mask).item() == 2.0  # divided by n, not n − 1
    assert masked_std(torch.tensor([3.0, 7.0]), torch.tensor([True, False])).item() == 0.0


def test_std_of_nearly_equal_float32_numbers_does_not_cancel():
    x = numbers(offset=1e6).float()
    assert masked_std(x, MASK).item() == pytest.approx(np.std(np.array(valid(x))), rel=1e-6)


def test_standardize_by_hand():
    x = torch.tensor([1.0, 3.0, 8.0], dtype=torch.float64)
    standardized = standardize(x, torch.tensor(3.0), torch.tensor(2.0))
    torch.testing.assert_close(standardized, torch.tensor([-1.0, 0.0, 2.5], dtype=torch.float64), rtol=1e-7, atol=0)


@pytest.mark.parametrize("size", [1, 7, 12, 32, 100])
@pytest.mark.parametrize("constant", [0.0, 1.0, -2.5, 0.1, 0.7, 3.3])
def test_standardize_of_a_constant_gives_zeros(constant, size):
    """A float32 mean of equal numbers can be off by an ulp, which the tiny eps would blow up to several units."""
    x = torch.full((size + 1,), constant)
    mask = torch.arange(size + 1) < size
    standardized = standardize(x, masked_mean(x, mask), masked_std(x, mask))
    assert torch.equal(standardized, torch.zeros(size + 1))


@pytest.mark.parametrize(
    ("ids", "eos_token_ids", "expected"),
    [
        pytest.param([EOS, 5, 5, 5], [EOS], [1, 0, 0, 0], id="eos first"),
        pytest.param([5, EOS, 5, 5], [EOS], [1, 1, 0, 0], id="eos in the middle"),
        pytest.param([5, 5, 5, EOS], [EOS], [1, 1, 1, 1], id="eos last"),
        pytest.param([5, 5, 5, 5], [EOS], [1, 1, 1, 1], id="eos never"),
        pytest.param([5, EOS, 5, EOS], [EOS], [1, 1, 0, 0], id="eos twice"),
        pytest.param([5, EOS, EOS, EOS], [EOS], [1, 1, 0, 0], id="padded with eos"),
        pytest.param([5, OTHER_EOS, 5, EOS], [EOS, OTHER_EOS], [1, 1, 0, 0], id="another eos id first"),
        pytest.param([5, 5, EOS, OTHER_EOS], [EOS, OTHER_EOS], [1, 1, 1, 0], id="several eos ids"),
        pytest.param([5, OTHER_EOS, EOS, 5], [EOS], [1, 1, 1, 0], id="an id that is not eos here"),
        pytest.param([5, EOS, 5, 5], [], [1, 1, 1, 1], id="no eos ids"),
        pytest.param([0, 0, EOS, 0], [EOS], [1, 1, 1, 0], id="a pad id that is a valid token"),
    ],
)
def test_completion_is_valid_up_to_and_including_its_first_eos(ids, eos_token_ids, expected):
    other_row = [5, 5, 5, 5]
    mask = completion_mask(torch.tensor([ids, other_row]), eos_token_ids)
    assert mask.dtype == torch.bool
    assert mask.int().tolist() == [expected, [1, 1, 1, 1]]  # one row's end is not another's


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        ([1, 1, 1, 1], [0, 0, 0, 1]),
        ([1, 1, 0, 0], [0, 1, 0, 0]),
        ([1, 0, 0, 0], [1, 0, 0, 0]),
        ([0, 0, 0, 0], [0, 0, 0, 0]),
    ],
)
def test_last_token_is_the_last_valid_one(mask, expected):
    last = last_token_mask(torch.tensor([mask, [1, 1, 1, 0]], dtype=torch.bool))
    assert last.dtype == torch.bool
    assert last.int().tolist() == [expected, [0, 0, 1, 0]]


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        pytest.param([1, 1, 1, 1], [0, 1, 2, 3], id="no padding"),
        pytest.param([0, 0, 1, 1], [0, 0, 0, 1], id="left padding"),
        pytest.param([0, 1, 1, 1], [0, 0, 1, 2], id="a little left padding"),
        pytest.param([0, 0, 0, 0], [0, 0, 0, 0], id="nothing valid"),
    ],
)
def test_positions_count_valid_tokens_only(mask, expected):
    positions = position_ids(torch.tensor([mask], dtype=torch.bool))
    assert positions.dtype == torch.int64
    assert positions.tolist() == [expected]


def test_positions_run_on_after_a_padded_prompt():
    """Prompt on the left with padding, completion on the right with its own: the valid places count from 0 on."""
    mask = torch.tensor([[0, 1, 1, 1, 1, 0]], dtype=torch.bool)
    assert position_ids(mask)[mask].tolist() == [0, 1, 2, 3]
