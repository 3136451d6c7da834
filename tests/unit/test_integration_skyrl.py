"""gaard in SkyRL, against stand-ins that are called as SkyRL 0.3.0 calls them; test_integrations_real.py has itself.

``compute_advantages_and_returns`` of skyrl/backends/skyrl_train/utils/ppo_utils.py passes an estimator by name
``token_level_rewards``, ``response_mask``, ``index``, ``values``, ``grpo_norm_by_std``, ``gamma``, ``lambd`` and
``config``.
"""

import pytest
import torch

from gaard.advantages import dr_grpo, folded, grpo, rloo
from gaard.errors import ConfigError
from gaard.integrations import skyrl
from stand_ins import LOOPHOLE, rewards, stand_in, tokens

INDEX = [f"prompt {i // 8}" for i in range(32)]


def compute_grpo(token_level_rewards, response_mask, index, epsilon=1e-6, grpo_norm_by_std=True, **kwargs):
    scores = token_level_rewards.sum(dim=-1)
    by_group = grpo(scores, index, eps=epsilon) if grpo_norm_by_std else dr_grpo(scores, index)
    advantages = by_group.unsqueeze(-1) * response_mask
    return advantages, advantages


def compute_rloo(token_level_rewards, response_mask, index, **kwargs):
    advantages = rloo(token_level_rewards.sum(dim=-1), index).unsqueeze(-1) * response_mask
    return advantages, advantages


def compute_gae(token_level_rewards, values, response_mask, gamma, lambd, **kwargs):
    advantages = token_level_rewards - values + 0.5 * (1 - response_mask)
    return advantages, advantages + values


OWN = {"gaard_grpo": compute_grpo, "gaard_rloo": compute_rloo, "gaard_gae": compute_gae}


@pytest.fixture
def registered(monkeypatch):
    registry = {}
    stand_in(
        monkeypatch,
        "skyrl.backends.skyrl_train.utils.ppo_utils",
        register_advantage_estimator=lambda name: lambda function: registry.update({name: function}),
        compute_grpo_outcome_advantage=compute_grpo,
        compute_rloo_outcome_advantage=compute_rloo,
        compute_gae_advantage_return=compute_gae,
    )
    return registry


def arguments(paid, **changed):
    pay, mask = tokens(paid)
    given = {"token_level_rewards": pay, "response_mask": mask, "index": INDEX, "values": torch.full_like(pay, 0.2)}
    return given | {"grpo_norm_by_std": True, "gamma": 1.0, "lambd": 0.9, "config": None} | changed


def test_three_names_are_registered(registered):
    skyrl.register()
    assert set(registered) == set(OWN)


@pytest.mark.parametrize("threshold", [0, -1.0, float("nan"), float("inf")])
def test_a_threshold_that_is_none_is_refused(registered, threshold):
    with pytest.raises(ConfigError, match="threshold is"):
        skyrl.register(threshold)
    assert not registered


@pytest.mark.parametrize("name", ["gaard_grpo", "gaard_rloo"])
@pytest.mark.parametrize("by_deviation", [True, False])
def test_where_nothing_stands_out_it_is_skyrls_own(registered, name, by_deviation):
    skyrl.register()
    given = arguments(rewards(), grpo_norm_by_std=by_deviation)
    for mine, skyrls in zip(registered[name](**given), OWN[name](**given), strict=True):
        assert torch.equal(mine, skyrls)


@pytest.mark.parametrize("name", ["gaard_grpo", "gaard_rloo"])
def test_what_stands_out_is_turned_and_nothing_else(registered, name):
    skyrl.register()
    given = arguments(rewards(20.0))
    (mine, returns), (skyrls, _) = registered[name](**given), OWN[name](**given)
    others = torch.arange(32) != LOOPHOLE
    assert torch.equal(mine[LOOPHOLE], -skyrls[LOOPHOLE])
    assert skyrls[LOOPHOLE, 0] > 1
    assert torch.equal(mine[others], skyrls[others])
    assert torch.equal(returns, skyrls)


@pytest.mark.parametrize("name", ["gaard_grpo", "gaard_rloo"])
def test_what_a_completion_earned_is_the_sum_of_its_tokens(registered, name):
    skyrl.register()
    given = arguments(rewards())
    given["token_level_rewards"][LOOPHOLE, :2] += torch.tensor([20.0, -20.0])
    assert torch.equal(registered[name](**given)[0], OWN[name](**given)[0])


def test_with_a_critic_the_fold_is_by_token(registered):
    skyrl.register(4.0)
    given = arguments(rewards(20.0))
    (mine, returns), (skyrls, own_returns) = registered["gaard_gae"](**given), compute_gae(**given)
    mask = given["response_mask"].bool()
    assert torch.equal(mine[mask], folded(skyrls, 4.0, mask=mask)[mask])
    last = LOOPHOLE, mask[LOOPHOLE].sum() - 1
    assert mine[last] == -skyrls[last] < -1
    assert torch.equal(mine[~mask], skyrls[~mask])
    assert torch.equal(returns, own_returns)


def test_without_a_critic_the_setting_is_named(registered):
    skyrl.register()
    with pytest.raises(ConfigError, match=r"trainer\.critic\.model\.path"):
        registered["gaard_gae"](**arguments(rewards(), values=None))


def test_the_threshold_is_what_was_registered(registered):
    skyrl.register(1e6)
    given = arguments(rewards(20.0))
    assert torch.equal(registered["gaard_grpo"](**given)[0], compute_grpo(**given)[0])
