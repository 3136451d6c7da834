"""gaard in verl, against stand-ins that are called as verl 0.9.1 calls them; test_integrations_real.py has verl itself.

``compute_advantage`` of verl/trainer/ppo/ray_trainer.py passes an estimator ``token_level_rewards``,
``response_mask``, ``config``, and ``index`` and ``reward_baselines`` where it has them, by name.
"""

import importlib
import sys

import numpy as np
import pytest
import torch

from gaard.advantages import dr_grpo, folded, grpo, rloo
from gaard.errors import ConfigError
from pages import PROJECT
from stand_ins import LOOPHOLE, SIZE, rewards, stand_in, tokens

NAMES = np.array([f"prompt {i % 4}" for i in range(32)], dtype=object)  # completions of one prompt stand apart
GROUPS = [i % 4 for i in range(32)]


def compute_grpo(token_level_rewards, response_mask, index, epsilon=1e-6, norm_adv_by_std_in_grpo=True, config=None):
    """As compute_grpo_outcome_advantage of verl/trainer/ppo/core_algos.py does, by gaard's own functions."""
    scores = token_level_rewards.sum(dim=-1)
    by_group = grpo(scores, index, eps=epsilon) if norm_adv_by_std_in_grpo else dr_grpo(scores, index)
    advantages = by_group.unsqueeze(-1) * response_mask
    return advantages, advantages


def compute_rloo(token_level_rewards, response_mask, index, epsilon=1e-6, config=None, **kwargs):
    advantages = rloo(token_level_rewards.sum(dim=-1), index).unsqueeze(-1) * response_mask
    return advantages, advantages


def compute_gae(token_level_rewards, values, response_mask, gamma, lam):
    advantages = token_level_rewards - values + 0.5 * (1 - response_mask)  # verl leaves numbers in masked places too
    return advantages, advantages + values


@pytest.fixture
def core_algos(monkeypatch):
    """The stand-in of verl's module of algorithms."""
    registry = {}

    def register_adv_est(name):
        return lambda function: registry.setdefault(name, function)

    monkeypatch.delitem(sys.modules, "gaard.integrations.verl", raising=False)
    yield stand_in(
        monkeypatch,
        "verl.trainer.ppo.core_algos",
        ADV_ESTIMATOR_REGISTRY=registry,
        register_adv_est=register_adv_est,
        compute_grpo_outcome_advantage=compute_grpo,
        compute_rloo_outcome_advantage=compute_rloo,
        compute_gae_advantage_return=compute_gae,
    )
    sys.modules.pop("gaard.integrations.verl", None)


@pytest.fixture
def estimators(core_algos):
    importlib.import_module("gaard.integrations.verl")
    return core_algos.ADV_ESTIMATOR_REGISTRY


def estimated(estimator, paid, config):
    pay, mask = tokens(paid)
    return estimator(token_level_rewards=pay, response_mask=mask, config=config, index=NAMES)


def own(name, paid, by_deviation=True):
    pay, mask = tokens(paid)
    if name == "gaard_rloo":
        return compute_rloo(pay, mask, NAMES)
    return compute_grpo(pay, mask, NAMES, norm_adv_by_std_in_grpo=by_deviation and name == "gaard_grpo")


def test_verl_finds_the_plugin_by_its_entry_point():
    assert PROJECT["entry-points"] == {"verl.plugins": {"gaard": "gaard.integrations.verl"}}


def test_the_plugin_registers_names_of_its_own(estimators):
    assert set(estimators) == {"gaard_grpo", "gaard_dr_grpo", "gaard_rloo"}


@pytest.mark.parametrize("name", ["gaard_grpo", "gaard_dr_grpo", "gaard_rloo"])
def test_where_nothing_stands_out_it_is_verls_own(estimators, name):
    for mine, verls in zip(estimated(estimators[name], rewards(), {}), own(name, rewards()), strict=True):
        assert torch.equal(mine, verls)


@pytest.mark.parametrize("name", ["gaard_grpo", "gaard_dr_grpo", "gaard_rloo"])
def test_what_stands_out_is_turned_and_nothing_else(estimators, name):
    (mine, returns), (verls, _) = estimated(estimators[name], rewards(20.0), {}), own(name, rewards(20.0))
    others = torch.arange(32) != LOOPHOLE
    assert torch.equal(mine[LOOPHOLE], -verls[LOOPHOLE])
    assert verls[LOOPHOLE, 0] > 1
    assert torch.equal(mine[others], verls[others])
    assert torch.equal(returns, verls)


def test_the_threshold_is_a_setting_of_algorithm(estimators):
    paid = rewards(20.0)
    assert torch.equal(
        estimated(estimators["gaard_grpo"], paid, {"gaard_threshold": 1e6})[0], own("gaard_grpo", paid)[0]
    )
    with pytest.raises(ConfigError, match="threshold is 0"):
        estimated(estimators["gaard_grpo"], paid, {"gaard_threshold": 0})
    with pytest.raises(ConfigError, match=r"algorithm\.gaard_threshold is 'high'"):
        estimated(estimators["gaard_grpo"], paid, {"gaard_threshold": "high"})


@pytest.mark.parametrize("name", ["gaard_grpo", "gaard_dr_grpo", "gaard_rloo"])
def test_what_a_completion_earned_is_the_sum_of_its_tokens(estimators, name):
    pay, mask = tokens(rewards())
    pay[LOOPHOLE, :2] += torch.tensor([20.0, -20.0])
    mine, _ = estimators[name](token_level_rewards=pay, response_mask=mask, config={}, index=NAMES)
    torch.testing.assert_close(mine, own(name, rewards())[0], rtol=1e-4, atol=1e-4)


def test_settings_are_not_needed(estimators):
    assert torch.equal(
        estimated(estimators["gaard_grpo"], rewards(20.0), None)[0],
        estimated(estimators["gaard_grpo"], rewards(20.0), {})[0],
    )


def test_dr_grpo_is_a_setting_of_verls_too(estimators):
    mine, _ = estimated(estimators["gaard_grpo"], rewards(), {"norm_adv_by_std_in_grpo": False})
    assert torch.equal(mine, own("gaard_grpo", rewards(), by_deviation=False)[0])


def gae_of(core_algos):
    pay, mask = tokens(rewards(20.0))
    values = torch.full_like(pay, 0.2)
    arguments = {"token_level_rewards": pay, "values": values, "response_mask": mask, "gamma": 1.0, "lam": 0.9}
    return core_algos.compute_gae_advantage_return(**arguments), compute_gae(**arguments), mask.bool()


def test_gae_is_left_alone_unless_asked_for(core_algos, estimators):
    assert core_algos.compute_gae_advantage_return is compute_gae


def test_gae_is_folded_by_token(core_algos, monkeypatch, capsys):
    monkeypatch.setenv("GAARD_FOLD_GAE", "4")
    importlib.import_module("gaard.integrations.verl")
    assert not capsys.readouterr().out  # in the many processes that compute no advantages
    (mine, returns), (verls, verls_returns), mask = gae_of(core_algos)
    assert torch.equal(mine[mask], folded(verls, 4.0, mask=mask)[mask])
    last = LOOPHOLE, mask[LOOPHOLE].sum() - 1
    assert mine[last] == -verls[last] < -1
    assert (mine[mask] == verls[mask]).sum() > mask.sum() / 2
    assert torch.equal(mine[~mask], verls[~mask])
    assert torch.equal(returns, verls_returns)
    gae_of(core_algos)
    assert capsys.readouterr().out == "gaard: folds the advantages of verl's GAE, threshold 4\n"


def test_asking_for_gae_again_sets_the_threshold_and_folds_once(core_algos, estimators):
    plugin = sys.modules["gaard.integrations.verl"]
    plugin.fold_gae(4.0)
    plugin.fold_gae(1e6)
    assert torch.equal(*(given[0] for given in gae_of(core_algos)[:2]))
    plugin.fold_gae(4.0)
    (mine, _), (verls, _), mask = gae_of(core_algos)
    assert torch.equal(mine[mask], folded(verls, 4.0, mask=mask)[mask])


def test_a_threshold_that_is_none_is_told_at_the_first_step(core_algos, monkeypatch):
    """Not while verl is imported, which would hide it and train without a fold."""
    monkeypatch.setenv("GAARD_FOLD_GAE", "yes")
    importlib.import_module("gaard.integrations.verl")
    with pytest.raises(ConfigError, match="GAARD_FOLD_GAE is 'yes'"):
        gae_of(core_algos)


def test_the_batch_is_what_it_says():
    assert len(rewards()) == len(NAMES) == 4 * SIZE
    pay, mask = tokens(rewards())
    torch.testing.assert_close(pay.sum(dim=1), rewards())
    assert (pay[mask == 0] == 0).all()
