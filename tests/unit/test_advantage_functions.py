"""``gaard.advantages``: arrays and tensors alike, per token and per completion, and the trainer's own numbers."""

import math

import numpy as np
import pytest
import torch

from gaard import advantages
from gaard.errors import ConfigError
from gaard.method import advantages as equations

MASK = torch.arange(5) < torch.tensor([5, 1, 3, 4])[:, None]


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


CALLS = {
    "folded": lambda as_given: advantages.folded(as_given(normal(8)), 0.5),
    "folded tokens": lambda as_given: advantages.folded(as_given(normal(4, 5)), 0.5, mask=as_given(MASK)),
    "grpo": lambda as_given: advantages.grpo(as_given(normal(8)), 4, fold=1.0),
    "dr_grpo": lambda as_given: advantages.dr_grpo(as_given(normal(8)), as_given(torch.arange(8) % 2)),
    "fold_weights": lambda as_given: advantages.fold_weights(as_given(normal(8)), 4, 0.5),
    "rloo": lambda as_given: advantages.rloo(as_given(normal(8)), 4),
    "gae": lambda as_given: advantages.gae(as_given(normal(4, 5)), as_given(normal(4, seed=1)), as_given(MASK)),
    "per_token": lambda as_given: advantages.per_token(as_given(normal(4)), as_given(MASK)),
}


@pytest.mark.parametrize("call", CALLS)
def test_arrays_give_arrays_of_the_same_numbers(call):
    tensor, array = CALLS[call](lambda x: x), CALLS[call](lambda x: x.numpy())
    assert isinstance(tensor, torch.Tensor)
    assert isinstance(array, np.ndarray)
    assert array.dtype == np.float32
    assert np.array_equal(array, tensor.numpy())


@pytest.mark.parametrize("call", CALLS)
def test_double_precision_stays(call):
    def wide(x):
        return x.double() if x.is_floating_point() else x

    assert CALLS[call](wide).dtype == torch.float64
    assert CALLS[call](lambda x: wide(x).numpy()).dtype == np.float64


@pytest.mark.parametrize("call", CALLS)
def test_what_is_given_stays_as_it_is(call):
    seen = []

    def kept(x):
        seen.append((x, x.clone()))
        return x

    CALLS[call](kept)
    assert seen
    assert all(torch.equal(now, before) for now, before in seen)


def test_whole_numbers_and_views_will_do():
    expected = advantages.dr_grpo(torch.tensor([1.0, 0.0, 0.0, 1.0]), 2)
    assert torch.equal(advantages.dr_grpo(torch.tensor([1, 0, 0, 1]), 2), expected)
    assert advantages.dr_grpo(np.array([1, 0, 0, 1]), np.int64(2)).tolist() == expected.tolist()
    backwards = np.array([1.0, 0.0, 0.0, 1.0])[::-1]
    backwards.flags.writeable = False
    assert advantages.dr_grpo(backwards, 2).tolist() == expected.flip(0).tolist()


def test_folded_is_what_the_trainer_folds():
    given = normal(4, 5)
    given[1, 0] = 30.0
    expected = torch.where(MASK, equations.folded(given, 3.0, MASK), 0.0)
    assert (expected != torch.where(MASK, given, 0.0)).any()
    assert torch.equal(advantages.folded(given, 3.0, mask=MASK), expected)
    assert torch.equal(advantages.folded(given, 3.0, mask=MASK.long()), expected)
    every = torch.ones_like(MASK)
    assert torch.equal(advantages.folded(given.flatten(), 3.0).view(4, 5), equations.folded(given, 3.0, every))


def test_gae_is_what_the_trainer_estimates():
    values, scores = normal(4, 5), normal(4, seed=1)
    rewards = equations.token_rewards(scores, MASK)
    expected = equations.generalized_advantages(values, rewards, MASK, 0.9, 0.5)
    assert torch.equal(advantages.gae(values, scores, MASK, gamma=0.9, lam=0.5), expected)
    assert torch.equal(advantages.gae(values, rewards, MASK, gamma=0.9, lam=0.5), expected)


@pytest.mark.parametrize("padding", [math.nan, math.inf, 1e30])
def test_padding_is_not_read(padding):
    values, rewards = normal(4, 5), normal(4, 5, seed=1)
    poisoned = [x.masked_fill(~MASK, padding) for x in (values, rewards)]
    assert torch.equal(advantages.folded(poisoned[0], 0.5, mask=MASK), advantages.folded(values, 0.5, mask=MASK))
    assert torch.equal(advantages.gae(*poisoned, MASK), advantages.gae(values, rewards, MASK))


def test_every_token_has_its_completions_advantage():
    given = advantages.per_token(torch.tensor([1.0, -2.0, 3.0, 0.5]), MASK)
    assert given.tolist() == [[1.0] * 5, [-2.0, 0, 0, 0, 0], [3.0, 3.0, 3.0, 0, 0], [0.5, 0.5, 0.5, 0.5, 0]]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: advantages.folded(torch.zeros(2, 3, 4)), "advantages has shape [2, 3, 4]: give [B] or [B, T]"),
        (lambda: advantages.folded(torch.zeros(3), mask=torch.ones(2)), "mask has shape [2]: give that of the numbers"),
        (lambda: advantages.folded(torch.tensor([[0.0, -math.inf]])), "advantages[0, 1] is -inf: give finite numbers"),
        (lambda: advantages.folded(torch.zeros(3), -1.0), "threshold is -1.0: give a number above 0"),
        (lambda: advantages.per_token(torch.zeros(3), MASK), "mask has shape [4, 5], and advantages [3]: give a row"),
        (lambda: advantages.folded(torch.zeros(3), None), "threshold is None: give a number above 0"),
        (lambda: advantages.gae(normal(4, 5), normal(3), MASK), "rewards has shape [3], and values [4, 5]"),
        (lambda: advantages.gae(normal(4, 5), [0.0] * 4, MASK), "rewards is [0.0, 0.0, 0.0, 0.0]: give a tensor"),
        (lambda: advantages.gae(normal(4), normal(4), MASK), "values has shape [4]: give [B, T]"),
    ],
)
def test_what_cannot_be_is_refused(call, words):
    with pytest.raises(ConfigError) as refused:
        call()
    assert words in str(refused.value)


class OnApple(torch.Tensor):
    """As on Apple's GPUs, of which torch refuses float64."""

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        found = super().__torch_function__(function, types, args, kwargs or {})
        if function is torch.Tensor.cpu:
            return found.as_subclass(torch.Tensor)
        if isinstance(found, torch.Tensor) and found.dtype == torch.float64:
            raise TypeError("Cannot convert a MPS Tensor to float64")
        return found


@pytest.mark.parametrize("call", CALLS)
def test_nothing_needs_float64_on_the_device(call):
    found = CALLS[call](lambda x: x.as_subclass(OnApple))
    assert torch.equal(found.as_subclass(torch.Tensor), CALLS[call](lambda x: x))


def test_a_mask_may_be_a_list():
    given = normal(4)
    assert torch.equal(advantages.per_token(given, MASK.tolist()), advantages.per_token(given, MASK))


def test_rewards_take_the_precision_of_the_values():
    rewards = normal(4, 5, seed=1)
    found = advantages.gae(normal(4, 5), rewards.double(), MASK)
    assert found.dtype == torch.float32
    assert torch.equal(found, advantages.gae(normal(4, 5), rewards, MASK))


@pytest.mark.parametrize("form", [advantages.grpo, advantages.dr_grpo, advantages.rloo])
def test_weights_fold_what_another_trainer_has_computed(form):
    rewards = normal(32)
    rewards[5] = 9.0
    weights = advantages.fold_weights(rewards, 8, 2.0)
    assert torch.allclose(weights * form(rewards, 8), form(rewards, 8, fold=2.0), atol=1e-7)
    assert weights[5] == -1
    assert (weights == 1).sum() > 24
    low = advantages.fold_weights(rewards, 8, 0.5)
    assert (low < weights).sum() > 4
    assert torch.allclose(low * form(rewards, 8), form(rewards, 8, fold=0.5), atol=1e-7)


def test_weights_of_groups_without_a_difference_are_one():
    assert advantages.fold_weights(torch.ones(8), 4).tolist() == [1.0] * 8
