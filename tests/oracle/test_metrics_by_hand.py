"""Logged figures of six tokens, worked out by hand; what stands in padding must not count."""

import pytest
import torch
from torch import Tensor

from gaard import GAAConfig
from gaard.methods.experience import Experience, Rollout
from gaard.training.metrics import step_metrics

POISON = 1e6
LENGTHS = (4, 2)


def tokens(*valid: float) -> Tensor:
    """[2, 4] of six valid numbers, poison in the padding."""
    return torch.tensor([list(valid[:4]), [*valid[4:], POISON, POISON]], dtype=torch.float64)


def logged(*, returns=(0.0,) * 6, values=(0.0,) * 6, sigma=(0.0,) * 6, greedy=(0.0,) * 6, sigma_scale=0.5):
    """The metrics of a step with these numbers at its six tokens."""
    zeros, none = tokens(*(0.0,) * 6), torch.zeros(2)
    ids = torch.zeros(2, 4, dtype=torch.int64)
    mask = torch.arange(4) < torch.tensor(LENGTHS)[:, None]
    per_token = dict.fromkeys(("logprobs", "ref_logprobs", "entropy", "greedy_logprobs", "greedy_values"), zeros)
    scores = dict.fromkeys(("scores", "trained_scores", "greedy_scores", "true_scores", "judge_scores"), none)
    rollout = Rollout(
        prompt_ids=ids[:, :1],
        prompt_mask=mask[:, :1],
        completion_ids=ids,
        completion_mask=mask,
        ref_hidden=torch.zeros(2, 4, 0),
        candidate_ids=torch.zeros(2, 4, 0, dtype=torch.int64),
        candidate_logprobs=torch.zeros(2, 4, 0),
        greedy_ids=ids,
        values=tokens(*values),
        hacked=none,
        part_scores=torch.zeros(2, 1),
        baseline_scores=torch.zeros(2, 0),
        feature_distances=none,
        kept=torch.ones(2, dtype=torch.bool),
        **per_token,
        **scores,
    )
    experience = Experience(
        rollout=rollout,
        advantages=zeros,
        greedy_ids=ids,
        greedy_logprobs=zeros,
        greedy_advantages=tokens(*greedy),
        returns=tokens(*returns),
        sigma=tokens(*sigma),
        turned=zeros.bool(),
    )
    config = GAAConfig(output_dir="unused", method={"name": "gaa", "sigma_scale": sigma_scale})
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    return step_metrics(1, experience, [{"loss": torch.zeros(())}], optimizer, config)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        # Returns 1, 3, 5, 7, 4, 4: mean 4, variance (9 + 1 + 1 + 9) / 6 = 10/3.
        ((1.0, 3.0, 5.0, 7.0, 4.0, 4.0), 1.0),  # nothing is left
        ((4.0,) * 6, 0.0),  # a constant explains nothing
        # Residuals 0, 1, −1, 0, 1, −1: mean 0, variance 4/6; 1 − (2/3) / (10/3).
        ((1.0, 2.0, 6.0, 7.0, 3.0, 5.0), 0.8),
        ((11.0, 12.0, 16.0, 17.0, 13.0, 15.0), 0.8),  # a bias of 10 is no variance
        # Residuals −6, −2, 2, 6, 0, 0: variance 80/6, four times that of the returns.
        ((7.0, 5.0, 3.0, 1.0, 4.0, 4.0), -3.0),
    ],
)
def test_explained_variance(values, expected):
    found = logged(returns=(1.0, 3.0, 5.0, 7.0, 4.0, 4.0), values=values)
    assert found["explained_variance"] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("scale", "expected"),
    [
        (0.5, 2 / 6),  # from σ = 2 on: 2 and 4
        (0.25, 1 / 6),  # from 4 on
        (1.0, 4 / 6),  # from 1 on: 2, 1.9, 4 and 1
    ],
)
def test_sigma_saturated(scale, expected):
    found = logged(sigma=(2.0, 1.9, -3.0, 4.0, 0.0, 1.0), sigma_scale=scale)
    assert found["sigma_saturated"] == pytest.approx(expected)


def test_greedy_raised():
    """Where b < 0 meets a bad greedy token: the first and the last of six; σ or A(x*) of 0 raise nothing."""
    found = logged(sigma=(2.0, 1.9, -3.0, 4.0, 0.0, 0.1), greedy=(-1.0, 0.5, -2.0, 0.0, -1.0, -0.1))
    assert found["greedy_raised"] == pytest.approx(2 / 6)
