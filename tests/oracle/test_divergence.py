"""χ² from samples and the worst correlated reward, against sums over distributions and rewards drawn at random."""

import math
from dataclasses import replace

import pytest
import torch

from gaard import GAAConfig
from gaard.errors import ConfigError
from gaard.method.divergence import FLOOR, chi2_costs, ratio_less_one, worst_case_rewards
from gaard.regularizers import PAR, Chi2, MaxMin
from gaard.training import update
from gaard.training.collect import Clock, shaped
from gaard.training.estimate import estimate
from tiny import tiny_trainer

POLICY = (0.5, 0.25, 0.125, 0.125)
REFERENCE = (0.25, 0.25, 0.375, 0.125)


def test_the_mean_cost_under_the_policy_is_chi2():
    """Σ p²/q − 1 = 1 + 1/4 + 1/24 + 1/8 − 1 = 5/12."""
    p, q = (torch.tensor(x, dtype=torch.float64) for x in (POLICY, REFERENCE))
    costs = chi2_costs(p.log() - q.log())
    assert float((p * costs).sum()) == pytest.approx(5 / 12)
    assert float(sum(a * a / b for a, b in zip(POLICY, REFERENCE, strict=True)) - 1) == pytest.approx(5 / 12)
    assert costs.tolist() == pytest.approx([2 + 0.5 - 2, 0.0, 1 / 3 + 3 - 2, 0.0])  # r + 1/r − 2


def test_far_away_a_cost_grows_as_its_tangent():
    """As cassidylaidlaw/llm_optimization, src/ppo/custom_trlx_trainers/modeling.py, 40 to 54: e¹⁰·(1 + x − 10) − 1."""
    x = torch.tensor([12.0, 10.0, -12.0], dtype=torch.float64, requires_grad=True)
    found = ratio_less_one(x)
    assert found.tolist() == pytest.approx([3 * math.exp(10) - 1, math.exp(10) - 1, math.exp(-12) - 1])
    (slope,) = torch.autograd.grad(found.sum(), x)
    assert slope.tolist() == pytest.approx([math.exp(10), math.exp(10), math.exp(-12)])
    either = [3 * math.exp(10) - 1 + math.exp(-12) - 1] * 2
    assert chi2_costs(torch.tensor([12.0, -12.0], dtype=torch.float64)).tolist() == pytest.approx(either)
    assert bool(chi2_costs(torch.tensor([-500.0])).isfinite())


def test_the_gradient_over_samples_is_half_of_chi2_and_the_reverse_kl():
    logits = torch.tensor(POLICY, dtype=torch.float64).log().requires_grad_()
    q = torch.tensor(REFERENCE, dtype=torch.float64)
    logprobs = logits.log_softmax(0)
    over_samples = (logprobs.detach().exp() * chi2_costs(logprobs - q.log())).sum()
    (found,) = torch.autograd.grad(over_samples, logits, retain_graph=True)
    p = logprobs.exp()
    whole = 0.5 * ((p * p / q).sum() - 1) + (q * (q.log() - logprobs)).sum()
    (expected,) = torch.autograd.grad(whole, logits)
    torch.testing.assert_close(found, expected)


LOGPROBS = torch.tensor([[-1.0, -2.0], [-0.5, -9.0]]) * math.log(2)
REF_LOGPROBS = torch.tensor([[-2.0, -1.0], [-1.5, -1.0]]) * math.log(2)
MASK = torch.tensor([[True, True], [True, False]])


@pytest.mark.parametrize(
    ("level", "expected"),
    [("sequence", [0.0, 0.5]), ("token", [0.5, 0.5, 0.5])],  # ratios 2·½ and 2; 2, ½ and 2
)
def test_ratios_are_of_whole_completions_or_of_tokens(level, expected):
    assert Chi2(level=level).costs(LOGPROBS, REF_LOGPROBS, MASK).tolist() == pytest.approx(expected)


def test_the_penalty_is_the_root_and_stands_still_at_the_floor():
    cost = torch.tensor([0.25, FLOOR / 2], dtype=torch.float64, requires_grad=True)
    found = Chi2(coef=3.0).cost_penalty(cost)
    assert found.tolist() == pytest.approx([1.5, 0.03])
    (slope,) = torch.autograd.grad(found.sum(), cost)
    assert slope.tolist() == pytest.approx([3.0, 0.0])  # 3 / (2·½)


# In the loss ----------------------------------------------------------------------------------------------------------


def experienced(folder, **options):
    """A trainer whose policy has left the reference, and what a rollout of it says."""
    settings = {"method": "ppo", "kl_coef": 0.0, "num_mini_batches": 1, "max_grad_norm": 1e9}
    trainer = tiny_trainer(folder, dtype=torch.float64, **(settings | options))
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for weight in trainer.policy.lm.parameters():
            weight.add_(0.05 * torch.randn(weight.shape, generator=generator, dtype=weight.dtype))
    batch = trainer.prompts.draw(trainer.args.batch_size, trainer.generator)
    rollout = trainer.collector.collect(batch, trainer.generator, Clock(), trainer.args.observes)
    return trainer, estimate(shaped(rollout, trainer.args.regularizers, trainer.generator), trainer.args)


def stepped(trainer, experience, monkeypatch):
    caught = []
    policy = list(trainer.policy.lm.parameters())
    monkeypatch.setattr(trainer.optimizer, "step", lambda: caught.extend(p.grad.clone() for p in policy))
    return caught, trainer.update(experience)


@pytest.mark.parametrize("level", ["sequence", "token"])
@pytest.mark.parametrize("size", [None, 5])
def test_an_update_goes_down_the_plain_loss_and_the_root(size, level, tmp_path, monkeypatch):
    """However the minibatch is cut: the root of a mean is no sum over rows."""
    penalty = Chi2(coef=0.7, level=level)
    trainer, seen = experienced(tmp_path, regularizers=penalty, per_device_train_batch_size=size)
    rollout, policy = seen.rollout, list(trainer.policy.lm.parameters())
    weight, count = update.weights(seen, trainer.args.method), rollout.completion_mask.sum()
    statistics = update._forward(trainer.model, seen, trainer.reference, trainer.args)
    plain, figures = update.loss_and_figures(statistics, seen, weight, count, trainer.args)
    ratios, mask = statistics.logprobs - rollout.ref_logprobs, rollout.completion_mask
    logs = [sum(row[valid]) for row, valid in zip(ratios, mask, strict=True)] if level == "sequence" else ratios[mask]
    root = 0.7 * (sum(x.exp() + (-x).exp() - 2 for x in logs) / len(logs)).sqrt()
    expected = torch.autograd.grad(plain + root, policy)
    root = root.detach()
    found, logged = stepped(trainer, seen, monkeypatch)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-10, rtol=1e-8)
    assert float(logged["penalty"]) == pytest.approx(float(root), rel=1e-9)
    assert float(logged["loss"]) == pytest.approx(float(figures["loss"] + root), rel=1e-9)
    assert float(root) > 0.1


# The worst reward that goes with the proxy ----------------------------------------------------------------------------


def test_the_worst_reward_by_hand():
    """π_ref ¼ each, π ½ ⅙ ⅙ ⅙, proxy 1 1 −1 −1: w = 1 −⅓ −⅓ −⅓, χ² = ⅓, E_π[R] = ⅓, χ² − ⅑ = 2/9, weight 4/3 at 0.6."""
    log_ratio = torch.tensor([2.0] * 3 + [2 / 3] * 3, dtype=torch.float64).log()
    scores = torch.tensor([7.0, 7.0, 7.0, 7.0, 3.0, 3.0], dtype=torch.float64)  # 5 ± 2
    found = worst_case_rewards(scores, torch.tensor([7.0, 3.0, 3.0, 7.0]), log_ratio, 0.6)
    turn = 4 / 3 * math.sqrt(2)
    assert found.tolist() == pytest.approx([1 - turn] * 3 + [1 + turn, -1, -1])
    assert float(found.mean()) == pytest.approx(1 / 3 - 4 / 3 * math.sqrt(2 / 9))


def test_no_reward_of_that_correlation_pays_the_policy_less():
    """Rewards of mean 0, variance 1 and correlation 0.6 with the proxy under π_ref, drawn at random: none is worse."""
    p = torch.tensor([3, 1, 1, 1], dtype=torch.float64) / 6
    log_ratio = torch.tensor([2.0] * 3 + [2 / 3] * 3, dtype=torch.float64).log()
    proxy = torch.tensor([1.0, 1, -1, -1], dtype=torch.float64)
    scores = proxy[[0, 0, 0, 1, 2, 3]]
    least = 0.6 * float(worst_case_rewards(scores, proxy, log_ratio, 0.6).mean())
    drawn = torch.randn(20_000, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    drawn -= drawn.mean(1, keepdim=True)
    drawn -= (drawn * proxy).mean(1, keepdim=True) * proxy
    drawn /= (drawn**2).mean(1, keepdim=True).sqrt()
    rewards = 0.6 * proxy + 0.8 * drawn
    assert torch.allclose((rewards * proxy).mean(1), torch.tensor(0.6, dtype=torch.float64))
    pays = rewards @ p
    assert float(pays.min()) >= least - 1e-12
    assert float(pays.min()) == pytest.approx(least, abs=1e-3)


def test_full_trust_leaves_the_proxy_in_the_references_units():
    scores, reference = torch.tensor([1.0, 4.0]), torch.tensor([2.0, 6.0])
    found = worst_case_rewards(scores, reference, torch.tensor([3.0, -1.0]), 1.0)
    assert found.tolist() == pytest.approx([-1.5, 0.0])


def test_a_proxy_that_says_nothing_of_the_untrained_model_is_left_in_its_own_units():
    found = worst_case_rewards(torch.tensor([0.0, 1.0]), torch.zeros(4), torch.zeros(2), 0.5)
    assert found.isfinite().all()
    assert found[1] > found[0]


def test_what_trains_is_the_worst_reward(tmp_path):
    trainer, seen = experienced(tmp_path, regularizers=MaxMin(correlation=0.5, completions=3))
    rollout = seen.rollout
    ratios = (rollout.logprobs - rollout.ref_logprobs).masked_fill(~rollout.completion_mask, 0.0).sum(1).double()
    baseline = rollout.baseline_scores.double().flatten()
    proxy = (rollout.scores.double() - baseline.mean()) / baseline.std(correction=0)
    chi2, mean = (ratios.exp() + (-ratios).exp() - 2).mean(), proxy.mean()
    left = chi2 - mean**2 if chi2 > mean**2 else chi2
    expected = proxy - math.sqrt(3) * (ratios.exp() - 1 - mean * proxy) / left.sqrt()
    torch.testing.assert_close(rollout.trained_scores.double(), expected, atol=1e-4, rtol=1e-4)
    assert rollout.baseline_scores.shape == (trainer.args.batch_size, 3)


def test_texts_that_end_on_the_greedy_token_are_paid_by_the_same_rule(tmp_path):
    """Where both are paid the same before, they are after."""
    rollout = experienced(tmp_path, regularizers=MaxMin(correlation=0.5, completions=3))[1].rollout
    same = replace(rollout, trained_scores=rollout.scores, greedy_scores=rollout.scores)
    generator = torch.Generator().manual_seed(0)
    found = MaxMin(correlation=0.5, completions=3).shape(same, generator)
    assert not torch.equal(found.trained_scores, rollout.scores)
    torch.testing.assert_close(found.greedy_scores, found.trained_scores)


def test_it_uses_the_completions_that_it_asked_for_when_another_wants_more(tmp_path):
    rollout = experienced(tmp_path, regularizers=MaxMin(correlation=0.5, completions=3))[1].rollout
    plain, generator = replace(rollout, trained_scores=rollout.scores), torch.Generator().manual_seed(0)
    more = replace(plain, baseline_scores=torch.cat([rollout.baseline_scores, rollout.baseline_scores + 9], dim=1))
    for one in (MaxMin(correlation=0.5, completions=3), PAR(completions=3)):
        assert torch.equal(*(one.shape(given, generator).trained_scores for given in (plain, more)))


@pytest.mark.parametrize(
    ("regularizers", "message"),
    [
        (
            ["par", "max-min"],
            "'max-min' compares rewards with .* 'par' before it leaves .*: put 'max-min' first",
        ),
        (["length-residual", "par"], "'par' compares rewards with .* put 'par' first"),
        (["max-min", "reference-resets"], "'max-min' compares the policy .* leave one of the two out"),
    ],
)
def test_what_would_compare_unlike_rewards_is_refused(regularizers, message):
    with pytest.raises(ConfigError, match=message):
        GAAConfig("x", regularizers=regularizers)
    GAAConfig("x", regularizers=["policy-filtration", "par"])  # which completions are learned from changes no reward
    GAAConfig("x", regularizers=["par", "length-residual"])
