"""Readings beyond Johnson's: x* by value, a dead zone for the gap, advantages turned back."""

import shutil
import warnings
from dataclasses import dataclass, replace

import pytest
import torch
from test_estimate import rollout
from test_greedy_values import naive_greedy_values
from test_greedy_values import rollout as rolled_out

from definitions import log_softmax
from gaard.method.advantages import beyond, folded
from gaard.method.masking import last_token_mask, masked_std
from gaard.methods import GAA, Fold
from gaard.methods.fold import is_sparse
from gaard.policy import sampling
from gaard.policy.branch import best_by_value, greedy_values
from gaard.training.config import GAAConfig
from gaard.training.estimate import estimate
from gaard.training.runlog import read_jsonl
from tiny import TEXT, VOCABULARY, tiny_trainer, words_reward


@pytest.mark.parametrize(
    ("scores", "sparse"),
    [
        ([0, 0, 0, 1], True),
        ([0, 0, 1, 1], False),
        ([1, 1, 1, 0], False),
        ([2, 2, 2], False),
        ([0.1, 0.2, 0.4], False),
        ([0.1, 0.2, 0.3, 9], False),
    ],
)
def test_rewards_are_sparse_where_a_few_are_above_all_others(scores, sparse):
    assert is_sparse(torch.tensor(scores, dtype=torch.float32)) is sparse


def test_whoever_would_unlearn_rare_successes_is_told_once(tmp_path):
    def rare(*, completions, **_):
        return [float("w1" in text.split()) for text in completions]

    for method, told in (("fold", "'fold' with threshold=3 unlearns"), ("gaa", "'gaa' unlearns a token that marks")):
        with pytest.warns(UserWarning, match=rf"most rewards are one number.*{told}.*method='ppo'") as said:
            tiny_trainer(tmp_path / method, reward=rare, method=method).train()
        assert len([one for one in said if "one number" in str(one.message)]) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name, method in (("ppo", "ppo"), ("text", {"name": "gaa", "reading": "text"})):
            tiny_trainer(tmp_path / name, reward=rare, method=method).train()
        tiny_trainer(tmp_path / "dense", method="fold").train()


def test_rewards_that_become_one_number_are_no_rare_successes(tmp_path):
    """A policy that has learned writes one text again and again; nor is a run that goes on asked anew."""
    calls = []

    def settles(*, completions, **_):
        calls.append(len(completions))
        return [float(i % 5 if len(calls) == 1 else i == 0) for i in range(len(completions))]

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tiny_trainer(tmp_path, reward=settles, method="fold", max_steps=4, save_steps=1).train()
        assert calls
        newest = sorted((tmp_path / "checkpoints").iterdir())[-1]
        shutil.rmtree(newest)
        again = {"method": "fold", "max_steps": 4, "save_steps": 1, "accept_changed_rewards": True}
        tiny_trainer(tmp_path, reward=settles, **again).train()


@dataclass(frozen=True)
class Both(GAA):
    """Johnson's text whose sampled advantages are folded too, and whose gap counts from a dead zone on."""

    fold: float = 0.0
    spreads: float = 0.0

    def shape(self, estimates, mask):
        return folded(estimates.advantages, self.fold, mask) if self.fold else estimates.advantages

    def greedy(self, estimates, rollout, memory):
        found, mask = super().greedy(estimates, rollout, memory), rollout.completion_mask
        if not self.spreads:
            return found
        return replace(found, sigma=beyond(found.sigma, self.spreads * masked_std(found.sigma, mask)))


def with_candidates(monkeypatch, count):
    """A policy and its samples, the likeliest tokens kept."""
    plain = sampling.sample
    monkeypatch.setattr("test_greedy_values.sample", lambda *a, **k: plain(*a, **k, candidates=count))
    return rolled_out("llama", 9)


@torch.no_grad()
def test_the_candidates_are_the_likeliest_tokens(monkeypatch):
    policy, samples = with_candidates(monkeypatch, 4)
    mask = samples.completion_mask
    hidden = policy.completion_hidden(samples.prompt_ids, samples.prompt_mask, samples.completion_ids, mask)
    logprobs, ids = log_softmax(policy.logits(hidden[mask])).sort(-1, descending=True)
    assert torch.equal(samples.candidate_ids[mask], ids[:, :4])
    torch.testing.assert_close(samples.candidate_logprobs[mask], logprobs[:, :4], atol=1e-9, rtol=0)
    assert torch.equal(samples.candidate_ids[..., 0][mask], samples.greedy_ids[mask])
    assert rolled_out("llama", 9)[1].candidate_ids.shape[:2] == mask.shape


def test_no_candidates_are_kept_unless_asked_for():
    assert rolled_out("llama", 9)[1].candidate_ids.shape[-1] == 0


@pytest.mark.parametrize("count", [1, 5, VOCABULARY])
@torch.no_grad()
def test_x_star_is_the_candidate_of_best_value(monkeypatch, count):
    """Against a forward of its own for every candidate."""
    policy, samples = with_candidates(monkeypatch, count)
    best = best_by_value(policy, samples)
    mask, last = samples.completion_mask, last_token_mask(samples.completion_mask)
    tokens = samples.candidate_ids.unbind(-1)
    values = torch.stack([naive_greedy_values(policy, replace(samples, greedy_ids=ids)) for ids in tokens], -1)
    chosen = values.argmax(-1, keepdim=True)
    expected = samples.candidate_ids.gather(-1, chosen)[..., 0]
    assert torch.equal(best.greedy_ids[mask & ~last], expected[mask & ~last])
    expected = samples.candidate_logprobs.gather(-1, chosen)[..., 0]
    torch.testing.assert_close(best.greedy_logprobs[mask & ~last], expected[mask & ~last], atol=1e-9, rtol=0)
    assert torch.equal(best.greedy_ids[last], samples.greedy_ids[last])  # no value there
    torch.testing.assert_close(best.greedy_logprobs[last], samples.greedy_logprobs[last], atol=1e-9, rtol=0)
    differ = (best.greedy_ids != samples.greedy_ids)[mask].any()
    assert bool(differ) == (count > 1)
    branch, wanted = greedy_values(policy, best), mask & ~last & (best.greedy_ids != samples.completion_ids)
    expected = values.gather(-1, chosen)[..., 0]
    torch.testing.assert_close(branch[wanted], expected[wanted], atol=1e-9, rtol=0)


def test_the_gap_counts_from_the_dead_zone_on():
    assert beyond(torch.tensor([-1.0, 0.5, 1.5, 4.0]), 1.5).tolist() == [0.0, 0.0, 0.0, 2.5]


def test_advantages_that_stand_out_turn_into_their_negative():
    """Median 0 and median absolute deviation 1, so 2 lies 2/1.4826 = 1.349 out, 0.349 beyond a fold of 1.

    There (1 − 0.349/2)^10 = 0.14695 and a + b = −0.7061; 10 is far beyond, −1; what is below the mean stays.
    """
    advantages = torch.tensor([[-2.0, -1.0, 0.0, 99.0], [1.0, 2.0, 10.0, 99.0]], dtype=torch.float64)
    mask = advantages < 99.0
    found = folded(advantages, 1.0, mask)[mask].tolist()
    assert found == pytest.approx([-2.0, -1.0, 0.0, 1.0, 2 * (2 * (1 - (2 / 1.4826 - 1) / 2) ** 10 - 1), -10.0])
    assert found[4] == pytest.approx(-1.412, abs=1e-3)


def test_what_most_tokens_have_does_not_stand_out():
    """Nine successes of ten, whitened: 1/3 each, and the failure −3; the spread of most is 0."""
    advantages = torch.tensor([[1 / 3] * 9 + [-3.0]], dtype=torch.float64)
    assert torch.equal(folded(advantages, 3.0, torch.ones_like(advantages, dtype=torch.bool)), advantages)


@pytest.mark.parametrize(
    ("advantages", "turned"),
    [
        # Median 2, median absolute deviation 1: from 2 on the last is 2.02 scales out, from 0 it would be 3.37.
        ([1.0, 1.0, 2.0, 3.0, 5.0], []),
        # Median −1, median absolute deviation 1: from −1 on the last would be 3.03 scales out; from 0 on it is 2.36.
        ([-2.0, -2.0, -1.0, 0.0, 3.5], []),
        # Median −1, median absolute deviation 0.01: −0.5 is 34 scales above the median, and worse than the mean still.
        ([-1.02, -1.01, -1.0, -1.0, -0.99, -0.98, -0.5, 6.5], [7]),
    ],
)
def test_a_fold_is_measured_from_the_median_or_from_0_where_that_is_higher(advantages, turned):
    row = torch.tensor([advantages], dtype=torch.float64)
    found = folded(row, 3.0, torch.ones_like(row, dtype=torch.bool))
    assert (found != row)[0].nonzero()[:, 0].tolist() == turned
    assert (found[0, turned] < 0).all()


def test_a_rollouts_dead_zone_is_of_its_own_spread_of_gaps():
    plain = estimate(rollout(), GAAConfig("x", method=TEXT))
    mask = plain.rollout.completion_mask
    gaps = plain.sigma[mask].tolist()
    mean = sum(gaps) / len(gaps)
    spread = (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5
    found = estimate(rollout(), GAAConfig("x", method=Both(reading="text", spreads=0.7)))
    assert found.sigma[mask].tolist() == pytest.approx([max(gap - 0.7 * spread, 0.0) for gap in gaps])
    assert {gap > 0 for gap in found.sigma[mask].tolist()} == {True, False}
    assert torch.equal(found.advantages, plain.advantages)


@pytest.mark.parametrize("whiten", [True, False])
def test_a_rollouts_fold_leaves_the_critic_and_the_gap_alone(whiten):
    plain = estimate(rollout(), GAAConfig("x", method=TEXT, whiten_advantages=whiten))
    mask = plain.rollout.completion_mask
    found = estimate(rollout(), GAAConfig("x", method=Both(reading="text", fold=0.3), whiten_advantages=whiten))
    expected = folded(plain.advantages, 0.3, mask)
    torch.testing.assert_close(found.advantages[mask], expected[mask], rtol=0, atol=0)
    turned = (found.advantages * plain.advantages)[mask] < 0
    assert turned.any()
    assert (plain.advantages[mask][turned] > 0).all()
    assert torch.equal(found.returns, plain.returns)
    assert torch.equal(found.sigma, plain.sigma)


def test_fold_folds_at_three():
    """PPO's advantages; the one completion that is far better than the others is turned, and nothing else."""
    scores = (0.1, 50.0, 0.0, -0.1)
    settings = {"normalize_rewards": False}
    ppo, fold = (estimate(rollout(scores), GAAConfig("x", method=method, **settings)) for method in ("ppo", "fold"))
    mask = ppo.rollout.completion_mask
    torch.testing.assert_close(fold.advantages[mask], folded(ppo.advantages, 3.0, mask)[mask], rtol=0, atol=0)
    assert fold.turned.nonzero().tolist() == [[1, 0]]
    assert fold.advantages[1, 0].item() == -ppo.advantages[1, 0].item() < 0
    assert not ppo.turned.any()


def test_nothing_is_turned_where_no_reward_differs():
    found = estimate(rollout((1.0,) * 4, (1.0,) * 4), GAAConfig("x", method=Fold(threshold=0.1)))
    assert not found.turned.any()
    assert estimate(rollout(), GAAConfig("x", method=Fold(threshold=0.1))).turned.any()


def test_fold_trains_other_weights_than_ppo_where_a_few_texts_pay_far_more(tmp_path):
    """And says of how many tokens: the share that the samples have, too."""

    def spiked(completions, **kwargs):
        return [
            score + 20.0 * ("bait" in text) for score, text in zip(words_reward(completions), completions, strict=True)
        ]

    trained = {method: tiny_trainer(tmp_path / method, reward=spiked, method=method) for method in ("ppo", "fold")}
    for trainer in trained.values():
        trainer.train()
    ppo, fold = (read_jsonl(tmp_path / method / "metrics.jsonl") for method in ("ppo", "fold"))
    assert [row["turned"] for row in ppo] == [0.0] * 4
    assert fold[0]["reward"] == ppo[0]["reward"]
    assert fold[0]["turned"] > 0
    samples = [row["tokens"]["turned"] for row in read_jsonl(tmp_path / "fold" / "samples.jsonl") if row["step"] == 1]
    assert any(map(any, samples))
    assert fold[0]["loss"] != ppo[0]["loss"]
    weights = [trainer.policy.lm.lm_head.weight for trainer in trained.values()]
    assert not torch.equal(*weights)
