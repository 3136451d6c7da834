"""`reading: expected` of gaa: what a token is worth by the batch's samples, and x* and its gap made from it (G12)."""

import itertools
import math
from dataclasses import fields, replace
from statistics import fmean, pstdev

import pytest
import torch

from gaard.method.advantages import advantage_gap
from gaard.method.token_worth import token_worth
from gaard.methods import GAA, Estimates, Rollout
from tiny import tiny_trainer

POISON = 1e6


def tensor(x, **kwargs):
    return torch.tensor(x, dtype=torch.float64, **kwargs)


# Three estimators of G12 in a world whose values are all known --------------------------------------------------------

PROBS, VALUES = (0.5, 0.3, 0.2), (2.0, 1.0, -1.0)  # x* is token 0
MEAN = sum(p * v for p, v in zip(PROBS, VALUES, strict=True))
ADVANTAGES = [v - MEAN for v in VALUES]
GAP = sum((VALUES[0] - v) * p for p, v in zip(PROBS, VALUES, strict=True))  # G12


def moments(estimate, draws):
    """Mean and variance of an estimate over all batches of so many tokens."""
    batches = list(itertools.product(range(3), repeat=draws))
    chances = [math.prod(PROBS[x] for x in batch) for batch in batches]
    numbers = [estimate(batch) for batch in batches]
    mean = sum(p * x for p, x in zip(chances, numbers, strict=True))
    return mean, sum(p * (x - mean) ** 2 for p, x in zip(chances, numbers, strict=True))


def one_sample(batch):
    """G6: the gap to the token that was drawn."""
    drawn, greedy = tensor([[ADVANTAGES[batch[0]]]]), tensor([[ADVANTAGES[0]]])
    return advantage_gap(drawn, greedy, torch.tensor(1.0), eps=0.0).item()


def test_the_gap_of_g12_is_the_advantage_of_x_star():
    assert pytest.approx(GAP) == ADVANTAGES[0] == pytest.approx(0.9)
    assert sum(p * a for p, a in zip(PROBS, ADVANTAGES, strict=True)) == pytest.approx(0.0)


def test_one_sample_is_unbiased_and_has_the_variance_of_an_advantage():
    mean, variance = moments(one_sample, 1)
    assert mean == pytest.approx(GAP)
    assert variance == pytest.approx(sum(p * a**2 for p, a in zip(PROBS, ADVANTAGES, strict=True)))
    assert one_sample((0,)) == 0.0  # where x* itself was drawn, half of the time here, it sees no gap


def test_the_expectation_has_no_variance_and_less_the_batchs_mean_it_has_an_nth():
    spread = sum(p * a**2 for p, a in zip(PROBS, ADVANTAGES, strict=True))
    assert moments(lambda batch: ADVANTAGES[0], 3) == (pytest.approx(GAP), pytest.approx(0.0))
    mean, variance = moments(lambda batch: ADVANTAGES[0] - fmean(ADVANTAGES[x] for x in batch), 3)
    assert (mean, variance) == (pytest.approx(GAP), pytest.approx(spread / 3))


@pytest.mark.parametrize("confidence", [(0.1, 0.9), (0.5, 0.5), (0.01, 0.99)])
def test_samples_give_the_gap_exactly_whatever_the_policy_is_sure_of(confidence):
    """Two texts in which a token is 3 better than all others, drawn with other probabilities.

    A = (1 − π)·3 in each, which is G12; the plain mean of both would be right in neither.
    """
    pi = tensor(confidence)[:, None]
    advantages = (1 - pi) * 3.0
    ids, mask = torch.tensor([[7], [7]]), torch.ones(2, 1, dtype=torch.bool)
    known = token_worth(advantages, pi.log(), ids, mask)
    assert known.ids.tolist() == [7]
    assert known.worth.item() == pytest.approx(3.0)
    torch.testing.assert_close((1 - pi) * known.worth, advantages)
    assert known.weight.item() == pytest.approx(sum((1 - p) ** 2 for p in confidence))


def test_the_error_that_is_taken_off_is_that_of_least_squares():
    """Noise of spread s in every advantage: Δ has the deviation s / √n; over many batches, as measured."""
    generator = torch.Generator().manual_seed(0)
    pi = tensor([[0.2], [0.6], [0.9]])
    ids, mask = torch.tensor([[4], [4], [4]]), torch.ones(3, 1, dtype=torch.bool)
    noise = 2.0 * torch.randn(20_000, 3, 1, generator=generator, dtype=torch.float64)
    found = torch.tensor([token_worth((1 - pi) * 3.0 + x, pi.log(), ids, mask).worth.item() for x in noise])
    error = 2.0 / math.sqrt(0.8**2 + 0.4**2 + 0.1**2)
    assert found.mean().item() == pytest.approx(3.0, abs=4 * error / math.sqrt(20_000))
    assert found.std().item() == pytest.approx(error, rel=0.02)
    known = token_worth((1 - pi) * 9.0, pi.log(), ids, mask)
    assert known.at_least(torch.tensor([4]), torch.tensor(2.0)).item() == pytest.approx(9.0 - error)


def test_a_token_counts_once_a_text_with_its_means():
    """Thrice in one text and once in another is two equations, not four: 0.6 · Δ = 3 and 0.9 · Δ = 1."""
    advantages, pi = tensor([[2.0, 3.0, 4.0], [1.0, 9.0, 9.0]]), tensor([[0.2, 0.4, 0.6], [0.1, 0.5, 0.5]])
    ids, mask = torch.tensor([[5, 5, 5], [5, 6, 6]]), torch.ones(2, 3, dtype=torch.bool)
    known = token_worth(advantages, pi.log(), ids, mask)
    assert known.texts.tolist() == [2, 1]
    assert known.weight[0].item() == pytest.approx(0.6**2 + 0.9**2)
    assert known.worth[0].item() == pytest.approx((0.6 * 3.0 + 0.9 * 1.0) / (0.6**2 + 0.9**2))


def test_what_was_not_drawn_or_in_one_text_or_where_it_was_certain_is_worth_nothing():
    advantages = tensor([[50.0, 40.0, 30.0], [50.0, -30.0, 30.0]])
    logprobs = tensor([[0.0, -3.0, -3.0], [0.0, -3.0, -3.0]])
    ids, mask = torch.tensor([[1, 5, 9], [1, 7, 9]]), torch.ones(2, 3, dtype=torch.bool)
    found = token_worth(advantages, logprobs, ids, mask).at_least(torch.tensor([0, 1, 2, 5, 7, 9, 10]), tensor(1.0))
    assert [x > 0 for x in found.tolist()] == [False, False, False, False, False, True, False]


def test_a_token_has_to_be_better_by_more_than_the_error():
    """Two texts, hardly likely: the error is 1/√2 of a deviation."""
    ids, mask = torch.tensor([[3], [3]]), torch.ones(2, 1, dtype=torch.bool)
    known = token_worth(tensor([[0.7], [0.7]]), tensor([[-50.0], [-50.0]]), ids, mask)
    assert known.at_least(torch.tensor([3]), tensor(1.0)).item() == 0.0
    assert known.at_least(torch.tensor([3]), tensor(0.5)).item() == pytest.approx(0.7 - 0.5 / math.sqrt(2))


# x* and its gap -------------------------------------------------------------------------------------------------------

LENGTHS = (4, 2, 3, 4)


def batch():
    """Four completions of few words, with two candidates a place, and poison in the padding."""
    generator = torch.Generator().manual_seed(4)
    mask = torch.arange(4) < torch.tensor(LENGTHS)[:, None]

    def drawn(*shape):
        numbers = torch.randn(*shape, generator=generator, dtype=torch.float64)
        return torch.where(mask if len(shape) == 2 else mask[..., None], numbers, POISON)

    everything = {field.name: torch.zeros(4, 4, dtype=torch.float64) for field in fields(Rollout)}
    rollout = replace(
        Rollout(**everything),
        completion_mask=mask,
        completion_ids=torch.randint(0, 5, (4, 4), generator=generator),
        logprobs=-drawn(4, 4).abs(),
        candidate_ids=torch.randint(0, 12, (4, 4, 2), generator=generator),
        candidate_logprobs=-drawn(4, 4, 2).abs(),
    )
    advantages = 3.0 * drawn(4, 4).where(mask, 0.0)
    return rollout, Estimates(advantages, advantages, advantages, advantages)


def naive(rollout, advantages):
    """x*, A(x*) and σ of every valid place, one number at a time."""
    places = [(i, t) for i, n in enumerate(LENGTHS) for t in range(n)]
    spread = pstdev([advantages[i, t].item() for i, t in places])

    def worth(token):
        own = [[t for t in range(n) if rollout.completion_ids[i, t] == token] for i, n in enumerate(LENGTHS)]
        texts = [(i, where) for i, where in enumerate(own) if where]
        if len(texts) < 2:
            return 0.0
        others = [fmean(1 - math.exp(rollout.logprobs[i, t]) for t in where) for i, where in texts]
        mean = [fmean(advantages[i, t].item() for t in where) for i, where in texts]
        n = sum(w * w for w in others)
        return max(sum(w * x for w, x in zip(others, mean, strict=True)) / n - spread / math.sqrt(n), 0.0)

    rows = []
    for i, t in places:
        options = [*rollout.candidate_ids[i, t].tolist(), rollout.completion_ids[i, t].item()]
        logprobs = [*rollout.candidate_logprobs[i, t].tolist(), rollout.logprobs[i, t].item()]
        best = max(range(3), key=lambda j: worth(options[j]))
        advantage = (1 - math.exp(logprobs[best])) * worth(options[best])
        rows.append((options[best], logprobs[best], advantage, advantage / spread))
    return rows


@pytest.mark.parametrize("dead_zone", [0.0, 0.2])
def test_x_star_and_its_gap_equal_a_loop_over_plain_numbers(dead_zone):
    rollout, estimates = batch()
    mask, expected = rollout.completion_mask, naive(rollout, estimates.advantages)
    found = GAA(reading="expected", dead_zone=dead_zone).greedy(estimates, rollout)
    ids, logprobs, advantages, sigma = (list(column) for column in zip(*expected, strict=True))
    assert found.ids[mask].tolist() == ids
    assert found.logprobs[mask].tolist() == pytest.approx(logprobs)
    assert found.advantages[mask].tolist() == pytest.approx(advantages)
    assert found.sigma[mask].tolist() == pytest.approx([max(x - dead_zone, 0.0) for x in sigma], abs=1e-7)
    assert (found.sigma[~mask] == 0).all()
    assert len({x > 0 for x in found.sigma[mask].tolist()}) == 2
    sampled, likeliest = rollout.completion_ids[mask], rollout.candidate_ids[..., 0][mask]
    assert {"sampled", "other"} <= {"sampled" if a == b else "other" for a, b in zip(ids, sampled, strict=True)}
    assert any(a not in (b, c) for a, b, c in zip(ids, sampled, likeliest, strict=True))


def test_where_nothing_is_known_to_be_better_x_star_is_the_likeliest_and_the_step_is_ppos():
    rollout, _ = batch()
    bad = torch.where(rollout.completion_mask, -1.0, 0.0)
    found = GAA(reading="expected").greedy(Estimates(bad, bad, bad, bad), rollout)
    mask = rollout.completion_mask
    assert torch.equal(found.ids[mask], rollout.candidate_ids[..., 0][mask])
    assert (found.sigma == 0).all()


def test_no_critic_and_no_second_look_at_the_reward_are_needed(tmp_path):
    """The greedy branch is not run, the reward sees each text once, and values that are noise change no gap."""
    calls = []

    def counted(completions, **_):
        calls.append(len(completions))
        return [float(len(text)) for text in completions]

    trainer = tiny_trainer(tmp_path, reward=counted, method={"name": "gaa", "reading": "expected"}, max_steps=1)
    trainer.train()
    assert calls == [trainer.args.batch_size]
    rollout, estimates = batch()
    noisy = replace(estimates, one_step=torch.full_like(estimates.one_step, POISON), greedy_one_step=rollout.logprobs)
    method = GAA(reading="expected")
    for field in ("ids", "advantages", "sigma"):
        plain, other = (getattr(method.greedy(x, rollout), field) for x in (estimates, noisy))
        assert torch.equal(plain, other)


def test_a_word_that_pays_far_too_much_is_pushed_down_before_it_is_greedy(tmp_path):
    """The tiny model, 30 steps: PPO ends in the bait, gaa in expectation below where it began."""

    def baited(completions, **_):
        return [float("bait" in text.split()) + 0.1 * (len(set(text.split())) / 8) for text in completions]

    rates = {}
    for name, method in {"ppo": "ppo", "gaa": {"name": "gaa", "reading": "expected"}}.items():
        settings = {"max_steps": 30, "batch_size": 32, "learning_rate": 3e-3, "kl_coef": 0.0}
        trainer = tiny_trainer(tmp_path / name, reward=baited, method=method, **settings)
        trainer.train()
        rewards = [row["reward"] for row in trainer.run.log.read("metrics.jsonl")]
        rates[name] = rewards[0], rewards[-1]
    assert rates["ppo"][1] > 0.8
    assert rates["gaa"][1] < rates["ppo"][0] + 0.05
