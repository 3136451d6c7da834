"""Where advantages come from: an estimator of one's own, without a critic, stands in GAE's place."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from gaard import GAAConfig
from gaard.errors import ConfigError
from gaard.methods import Estimator
from tiny import tiny_trainer


@dataclass(frozen=True)
class LeaveOneOut(Estimator):
    """Each completion's score less the mean of the others' (RLOO), at every one of its tokens."""

    name = "leave-one-out"

    def advantages(self, values: Tensor, rewards: Tensor, mask: Tensor) -> Tensor:
        scores = rewards.sum(-1)
        others = (scores.sum() - scores) / (len(scores) - 1)
        return (scores - others)[:, None] * mask


def test_an_estimator_without_a_critic_trains_the_policy_and_has_no_value_head(tmp_path):
    trainer = tiny_trainer(tmp_path, method="ppo", advantages=LeaveOneOut())
    before = {name: p.clone() for name, p in trainer.policy.named_parameters()}
    rows = [trainer.training_step() for _ in range(4)]
    of_critics = {"value", "value_loss", "explained_variance"}  # unknown, so not logged
    assert all(row.keys().isdisjoint(of_critics) for row in rows)
    after = dict(trainer.policy.named_parameters())
    assert not any(name.startswith("value_head") for name in after)
    assert any(not torch.equal(after[name], before[name]) for name in after)


def test_its_advantages_are_those_that_train(tmp_path):
    rewards = torch.tensor([[0.0, 1.0], [3.0, 0.0], [0.0, 2.0]])
    mask = torch.tensor([[True, True], [True, False], [True, True]])
    found = LeaveOneOut().advantages(torch.zeros(3, 2), rewards, mask)
    assert found.tolist() == [[-1.5, -1.5], [1.5, 0.0], [0.0, 0.0]]
    trainer = tiny_trainer(tmp_path, method="ppo", advantages=LeaveOneOut())
    assert trainer.record()["config"]["advantages"]["name"] == "leave-one-out"


def test_options_of_the_critic_are_no_options_of_it():
    with pytest.raises(ConfigError, match="'vf_coef'"):
        GAAConfig("x", advantages={"name": f"{__file__}:LeaveOneOut", "vf_coef": 1.0})
