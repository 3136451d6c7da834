"""`reading: expected` of gaa: what a token is worth by the batch's samples, and x* and its gap made from it (G12)."""

import itertools
import math
from dataclasses import fields, replace
from statistics import fmean, pstdev

import pytest
import torch

from gaard.method.advantages import advantage_gap
from gaard.method.coefficients import gaa_coefficients
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
def test_samples_give_the_gap_of_g12_whatever_the_policy_is_sure_of(confidence):
    """A thousand texts in which a token is 3 better than the others, drawn with one of two probabilities.

    A = (1 − π)·3 in each, which is G12; the plain mean of A would be right with neither. One text more, the ridge,
    says 0.
    """
    pi = tensor(confidence * 500)[:, None]
    advantages = (1 - pi) * 3.0
    known = token_worth(advantages, pi.log(), torch.full((1000, 1), 7), torch.ones(1000, 1, dtype=torch.bool))
    n = 500 * sum((1 - p) ** 2 for p in confidence)
    assert (known.ids.tolist(), known.texts.tolist()) == ([7], [1000])
    assert known.worth.item() == pytest.approx(3.0 * n / (n + 1))
    assert known.weight.item() == pytest.approx(n + 1)


def test_the_error_is_that_of_ridge_regression():
    """Noise of spread 2, and a Δ that is itself drawn with a spread of 2: what is left of it has the spread 2 / √n."""
    generator = torch.Generator().manual_seed(0)
    pi = tensor([[0.2], [0.6], [0.9]])
    ids, mask = torch.tensor([[4], [4], [4]]), torch.ones(3, 1, dtype=torch.bool)
    deltas, noise = (2.0 * torch.randn(20_000, *s, generator=generator, dtype=torch.float64) for s in ((1, 1), (3, 1)))
    known = [token_worth((1 - pi) * d + x, pi.log(), ids, mask) for d, x in zip(deltas, noise, strict=True)]
    missed = torch.tensor([one.worth.item() for one in known], dtype=torch.float64) - deltas.flatten()
    error = 2.0 / math.sqrt(1 + 0.8**2 + 0.4**2 + 0.1**2)
    assert missed.mean().item() == pytest.approx(0.0, abs=4 * error / math.sqrt(20_000))
    assert missed.std().item() == pytest.approx(error, rel=0.02)
    one = token_worth((1 - pi) * 9.0, pi.log(), ids, mask)
    assert one.at_least(torch.tensor([4]), tensor(2.0)).item() == pytest.approx(one.worth.item() - error)


def test_a_token_counts_once_a_text_with_its_means():
    """Thrice in one text and once in another is two equations, not four: 0.6 · Δ = 3 and 0.9 · Δ = 1."""
    advantages, pi = tensor([[2.0, 3.0, 4.0], [1.0, 9.0, 9.0]]), tensor([[0.2, 0.4, 0.6], [0.1, 0.5, 0.5]])
    ids, mask = torch.tensor([[5, 5, 5], [5, 6, 6]]), torch.ones(2, 3, dtype=torch.bool)
    known = token_worth(advantages, pi.log(), ids, mask)
    assert known.texts.tolist() == [2, 1]
    assert known.weight[0].item() == pytest.approx(1 + 0.6**2 + 0.9**2)
    assert known.worth[0].item() == pytest.approx((0.6 * 3.0 + 0.9 * 1.0) / (1 + 0.6**2 + 0.9**2))


def test_what_was_not_drawn_or_in_one_text_or_where_it_was_certain_is_worth_nothing():
    advantages = tensor([[50.0, 40.0, 30.0], [50.0, -30.0, 30.0]])
    logprobs = tensor([[0.0, -3.0, -3.0], [0.0, -3.0, -3.0]])
    ids, mask = torch.tensor([[1, 5, 9], [1, 7, 9]]), torch.ones(2, 3, dtype=torch.bool)
    found = token_worth(advantages, logprobs, ids, mask).at_least(torch.tensor([0, 1, 2, 5, 7, 9, 10]), tensor(1.0))
    assert [x > 0 for x in found.tolist()] == [False, False, False, False, False, True, False]


def test_a_token_has_to_be_better_by_more_than_the_error():
    """Two texts, hardly likely: Δ is two thirds of the mean, and the error 1/√3 of a deviation."""
    ids, mask = torch.tensor([[3], [3]]), torch.ones(2, 1, dtype=torch.bool)
    known = token_worth(tensor([[0.8], [0.8]]), tensor([[-50.0], [-50.0]]), ids, mask)
    assert known.at_least(torch.tensor([3]), tensor(1.0)).item() == 0.0
    assert known.at_least(torch.tensor([3]), tensor(0.5)).item() == pytest.approx(1.6 / 3 - 0.5 / math.sqrt(3))


@pytest.mark.parametrize("eta", [0.1, 0.3, 0.5, 0.7, 0.95])
@pytest.mark.parametrize("sigma", [0.3, 1.0, 2.0])
def test_the_expected_step_of_x_star_is_as_the_docs_have_it(eta, sigma):
    """The gradient of G9 to the logit of x*, summed over both tokens of a world of two.

    With A(x*) in J_x* it is A(x*)·(a·η + b·(1 − η)), and up beyond η = 1/2. With Δ it is A(x*)·(a·η + b): for σ = 2
    never up.
    """
    a, b = gaa_coefficients(tensor(eta), tensor(sigma))
    best = 1.5
    advantages, probs = (best, -best * eta / (1 - eta)), (eta, 1 - eta)  # their mean is 0

    def gradient(greedy_advantage):
        logits = tensor([math.log(eta), math.log(1 - eta)], requires_grad=True)
        logprobs = logits.log_softmax(0)
        terms = [
            p * (a * x * logprobs[i] + b * greedy_advantage * logprobs[0])
            for i, (p, x) in enumerate(zip(probs, advantages, strict=True))
        ]
        sum(terms).backward()
        return logits.grad[0].item()

    mean, other = gradient(best), gradient(best / (1 - eta))
    assert mean == pytest.approx(best * (a * eta + b * (1 - eta)).item())
    assert other == pytest.approx(best * (a * eta + b).item())
    if sigma == 2.0:
        assert mean == pytest.approx(best * (1 - eta) * (2 * eta - 1), abs=1e-9)
        assert other == pytest.approx(-best * (eta**2 + (1 - eta) ** 2))


# x* and its gap -------------------------------------------------------------------------------------------------------

LENGTHS = (4, 2, 3, 4)


def batch():
    """Four completions of few words, with two candidates a place, and poison in the padding."""
    generator = torch.Generator().manual_seed(16)
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
    """x*, Δ(x*) and σ of every valid place, one number at a time."""
    places = [(i, t) for i, n in enumerate(LENGTHS) for t in range(n)]
    spread = pstdev([advantages[i, t].item() for i, t in places])

    def worth(token):
        own = [[t for t in range(n) if rollout.completion_ids[i, t] == token] for i, n in enumerate(LENGTHS)]
        texts = [(i, where) for i, where in enumerate(own) if where]
        if len(texts) < 2:
            return 0.0
        others = [fmean(1 - math.exp(rollout.logprobs[i, t]) for t in where) for i, where in texts]
        mean = [fmean(advantages[i, t].item() for t in where) for i, where in texts]
        n = 1 + sum(w * w for w in others)
        return max(sum(w * x for w, x in zip(others, mean, strict=True)) / n - spread / math.sqrt(n), 0.0)

    rows = []
    for i, t in places:
        options = [*rollout.candidate_ids[i, t].tolist(), rollout.completion_ids[i, t].item()]
        logprobs = [*rollout.candidate_logprobs[i, t].tolist(), rollout.logprobs[i, t].item()]
        best = max(range(3), key=lambda j: worth(options[j]))
        delta = worth(options[best])
        rows.append((options[best], logprobs[best], delta, (1 - math.exp(logprobs[best])) * delta / spread))
    return rows


def test_x_star_and_its_gap_equal_a_loop_over_plain_numbers():
    rollout, estimates = batch()
    mask, expected = rollout.completion_mask, naive(rollout, estimates.advantages)
    found = GAA(reading="expected").greedy(estimates, rollout)
    ids, logprobs, advantages, sigma = (list(column) for column in zip(*expected, strict=True))
    assert found.ids[mask].tolist() == ids
    assert found.logprobs[mask].tolist() == pytest.approx(logprobs)
    assert found.advantages[mask].tolist() == pytest.approx(advantages)
    assert found.sigma[mask].tolist() == pytest.approx(sigma)
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
