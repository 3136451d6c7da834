"""The methods as answers to what Johnson's text leaves open (docs/deviations.md): a row each."""

import pytest
import torch

from gaard.method.advantages import folded, heights
from gaard.method.coefficients import gaa_coefficients, ppo_coefficients
from gaard.methods import GAA, PPO, Estimates, Fold, Method
from gaard.methods.gaa import READINGS, Answers


def tensor(x, **kwargs) -> torch.Tensor:
    return torch.tensor(x, dtype=torch.float64, **kwargs)


def answers(method: Method) -> tuple[str, ...]:
    """How a method puts its objective together, and at which granularity its coefficients see η and σ."""
    form = method.objective
    eta, sigma = tensor([[0.2, 0.8]]), tensor([[1.0, 0.5]])
    a, _ = method.coefficients(eta, sigma, torch.ones(1, 2, dtype=torch.bool))
    granularity = "minibatch" if a[0, 0] == a[0, 1] != 1.0 else "token"
    return form.greedy_ratio, granularity, form.scaled_terms, form.greedy_clip


@pytest.mark.parametrize(
    ("method", "expected", "coefficients"),
    [
        (PPO(), ("own", "token", "surrogate", "outside"), ppo_coefficients),
        (Fold(), ("own", "token", "surrogate", "outside"), ppo_coefficients),
        (GAA(reading="text"), ("own", "token", "surrogate", "outside"), gaa_coefficients),
        (GAA(reading="code"), ("sampled", "minibatch", "objective", "outside"), gaa_coefficients),
        (GAA(reading="expected"), ("own", "token", "surrogate", "outside"), gaa_coefficients),
    ],
    ids=lambda x: getattr(x, "name", ""),
)
def test_methods_are_the_readings_of_the_table(method, expected, coefficients):
    assert answers(method) == expected
    eta, sigma = tensor([[0.3]]), tensor([[1.2]])
    found = method.coefficients(eta, sigma, torch.ones(1, 1, dtype=torch.bool))
    assert [x.item() for x in found] == [x.item() for x in coefficients(eta, sigma)]


def test_the_fold_is_of_one_method_alone():
    """PPO and both readings of GAA train on the advantages as they are; the fold turns what stands out from 3 on."""
    advantages = tensor([[-2.0, -1.0, 0.0, 1.0, 2.0, 3.0 * 1.4826 * 1.5, 99.0]])
    mask = advantages < 99.0
    estimates = Estimates(advantages, advantages, advantages, advantages, heights(advantages, mask))
    for method in (PPO(), *(GAA(reading=one) for one in READINGS)):
        assert torch.equal(method.shape(estimates, mask), advantages)
    assert Fold().threshold == 3.0
    assert Fold().shape(estimates, mask)[mask].tolist() == folded(advantages, 3.0, mask)[mask].tolist()


def test_every_question_has_a_row_above():
    """An answer or a reading without a row is one untested."""
    assert Answers._fields == (
        *("greedy_ratio", "granularity", "scaled_terms", "greedy_clip"),
        *("greedy_value", "candidates"),
    )
    assert tuple(READINGS) == ("text", "code", "expected")
    assert [READINGS[name][4:] for name in ("text", "code")] == [("critic", 1)] * 2
