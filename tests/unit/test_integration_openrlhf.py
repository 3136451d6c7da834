"""gaard in OpenRLHF, against stand-ins of its shape at 0.11.2; test_integrations_real.py has its own code.

``RemoteExperienceMaker.compute_advantages_and_returns(self, experiences)`` of
openrlhf/trainer/ppo_utils/experience_maker.py gets the whole batch, in experiences of some completions each, whose
places in the batch are in ``index``. It fills in ``advantages`` and ``returns`` and returns the list.
"""

from types import SimpleNamespace

import pytest
import torch

from gaard.advantages import dr_grpo, folded
from gaard.errors import ConfigError
from gaard.integrations import openrlhf
from stand_ins import LOOPHOLE, SIZE, rewards, stand_in, tokens

# Completions of one prompt are neighbours in the batch, not in the experiences, which are packed by length.
ORDER = torch.randperm(32, generator=torch.Generator().manual_seed(1))
CUTS = (5, 12, 15)


class RemoteExperienceMaker:
    """Rewards less their group's mean, or what each token is paid."""

    def __init__(self, estimator, kl=0.0):
        self.kl = kl
        advantage = SimpleNamespace(estimator=estimator)
        self.args = SimpleNamespace(
            algo=SimpleNamespace(advantage=advantage), rollout=SimpleNamespace(n_samples_per_prompt=SIZE)
        )

    def compute_advantages_and_returns(self, experiences):
        paid = torch.empty(32)
        paid[ORDER] = torch.cat([each.rewards for each in experiences])
        centred = dr_grpo(paid, SIZE)
        for each in experiences:
            if self.args.algo.advantage.estimator in openrlhf.GROUPED:
                penalty = self.kl * (torch.arange(each.action_mask.shape[1]) == 0)  # of the first token
                each.returns = (centred[each.index].unsqueeze(-1) - penalty) * each.action_mask
            else:
                each.returns = each.pay - 0.1 + 0.5 * ~each.action_mask
            each.advantages = each.returns.clone()
        return experiences


OWN = RemoteExperienceMaker.compute_advantages_and_returns


@pytest.fixture
def maker_class(monkeypatch):
    maker = type("RemoteExperienceMaker", (RemoteExperienceMaker,), {"compute_advantages_and_returns": OWN})
    stand_in(monkeypatch, "openrlhf.trainer.ppo_utils.experience_maker", RemoteExperienceMaker=maker)
    return maker


def experiences(paid):
    """The batch in experiences of unequal size, each as wide as its longest completion."""
    pay, mask = tokens(paid)
    made = []
    for places in ORDER.tensor_split(torch.tensor(CUTS)):
        width = int(mask[places].sum(dim=1).max())
        made.append(
            SimpleNamespace(
                index=places.tolist(),
                rewards=paid[places],
                pay=pay[places, :width],
                action_mask=mask[places, :width].bool(),
            )
        )
    return made


def both(maker, paid):
    """Advantages as the class computes them now, and as it did."""
    return maker.compute_advantages_and_returns(experiences(paid)), OWN(maker, experiences(paid))


@pytest.mark.parametrize("estimator", ["rloo", "reinforce_baseline", "dr_grpo", "group_norm", "gae", "reinforce"])
def test_where_nothing_stands_out_it_is_openrlhfs_own(maker_class, estimator):
    openrlhf.fold(3.0 if estimator in openrlhf.GROUPED else 1e6)
    for mine, own in zip(*both(maker_class(estimator), rewards()), strict=True):
        assert torch.equal(mine.advantages, own.advantages)


@pytest.mark.parametrize("estimator", ["rloo", "reinforce_baseline", "dr_grpo", "group_norm"])
def test_in_groups_what_stands_out_is_turned_and_nothing_else(maker_class, estimator):
    openrlhf.fold()
    turned = []
    for mine, own in zip(*both(maker_class(estimator), rewards(20.0)), strict=True):
        for place, now, before in zip(mine.index, mine.advantages, own.advantages, strict=True):
            assert torch.equal(now, -before if place == LOOPHOLE else before)
            turned += [place] * (not torch.equal(now, before))
        assert torch.equal(mine.returns, own.returns)
    assert turned == [LOOPHOLE]


@pytest.mark.parametrize("estimator", openrlhf.GROUPED)
def test_a_token_that_a_kl_penalty_pushes_away_is_not_pulled_back(maker_class, estimator):
    openrlhf.fold()
    for mine, own in zip(*both(maker_class(estimator, kl=100.0), rewards(20.0)), strict=True):
        first = torch.arange(own.advantages.shape[1]) == 0
        assert (own.advantages[:, first] < 0).all()
        assert torch.equal(mine.advantages[:, first], own.advantages[:, first])
        for place, now, before in zip(mine.index, mine.advantages, own.advantages, strict=True):
            assert torch.equal(now[~first], -before[~first] if place == LOOPHOLE else before[~first])


def test_groups_are_those_of_the_batch_not_of_an_experience(maker_class):
    """One experience alone would say that other completions stand out."""
    openrlhf.fold(0.9)
    together = both(maker_class("dr_grpo"), rewards())
    assert sum(not torch.equal(mine.advantages, own.advantages) for mine, own in zip(*together, strict=True)) > 1
    paid = torch.empty(32)
    for mine in together[0]:
        paid[mine.index] = mine.advantages[:, 0]
    torch.testing.assert_close(paid, dr_grpo(rewards(), SIZE, fold=0.9))


@pytest.mark.parametrize("estimator", ["gae", "reinforce", "flash_reinforce"])
def test_without_groups_the_fold_is_by_token_over_all_experiences(maker_class, estimator):
    openrlhf.fold(4.0)
    mine, own = both(maker_class(estimator), rewards(20.0))
    masks = [each.action_mask for each in own]
    expected = folded(torch.cat([each.advantages[mask] for each, mask in zip(own, masks, strict=True)]), 4.0)
    assert torch.equal(torch.cat([each.advantages[mask] for each, mask in zip(mine, masks, strict=True)]), expected)
    assert (expected < -1).any()
    for now, before in zip(mine, own, strict=True):
        assert torch.equal(now.advantages[~now.action_mask], before.advantages[~now.action_mask])
        assert torch.equal(now.returns, before.returns)


def test_folding_again_sets_the_threshold_and_folds_once(maker_class):
    openrlhf.fold(1e6)
    openrlhf.fold(3.0)
    openrlhf.fold(3.0)
    mine, own = both(maker_class("dr_grpo"), rewards(20.0))
    where = next(i for i, each in enumerate(mine) if LOOPHOLE in each.index)
    row = mine[where].index.index(LOOPHOLE)
    assert torch.equal(mine[where].advantages[row], -own[where].advantages[row])


def test_a_reward_that_is_not_finite_is_told(maker_class):
    openrlhf.fold()
    with pytest.raises(ConfigError, match="nan"):
        both(maker_class("dr_grpo"), rewards(float("nan")))


def test_the_start_refuses_a_threshold_that_is_none(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["openrlhf", "--gaard.threshold", "0"])
    with pytest.raises(SystemExit) as ended:
        openrlhf.main()
    assert ended.value.code == 2
    assert "--gaard.threshold is 0.0: give a number above 0" in capsys.readouterr().err
