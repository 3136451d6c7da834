"""`reading: expected` of gaa: what a token is worth by the batch's samples, and x* and its gap made from it (G12)."""

import itertools
import math
from dataclasses import fields, replace
from statistics import fmean, pstdev

import pytest
import torch

from gaard.errors import ConfigError
from gaard.method.advantages import advantage_gap
from gaard.method.coefficients import gaa_coefficients
from gaard.method.token_worth import Evidence, TokenMemory, evidence
from gaard.methods import GAA, Estimates, Rollout
from tiny import bait_reward, tiny_trainer

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
    """By hand, and by the samples of a thousand texts of which each token has its share."""
    assert pytest.approx(GAP) == ADVANTAGES[0] == pytest.approx(0.9)
    assert sum(p * a for p, a in zip(PROBS, ADVANTAGES, strict=True)) == pytest.approx(0.0)
    tokens = [x for x, p in enumerate(PROBS) for _ in range(round(1000 * p))]
    drawn, advantages = torch.tensor(tokens)[:, None], tensor([ADVANTAGES[x] for x in tokens])[:, None]
    known = evidence(advantages, tensor(PROBS)[drawn].log(), drawn, torch.ones(1000, 1, dtype=torch.bool))
    n = 500 * (1 - PROBS[0]) ** 2
    assert (1 - PROBS[0]) * known.worth()[0].item() == pytest.approx(GAP * n / (n + 1))


def test_one_sample_is_unbiased_and_has_the_variance_of_an_advantage():
    mean, variance = moments(one_sample, 1)
    assert mean == pytest.approx(GAP)
    assert variance == pytest.approx(sum(p * a**2 for p, a in zip(PROBS, ADVANTAGES, strict=True)))
    assert one_sample((0,)) == 0.0  # where x* itself was drawn, half of the time here, it sees no gap


def test_the_expectation_has_no_variance_and_less_the_batchs_mean_it_has_an_nth():
    """The derivation in docs/method.md, where A(x*) is known; no code of gaard's is asked."""
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
    known = evidence(advantages, pi.log(), torch.full((1000, 1), 7), torch.ones(1000, 1, dtype=torch.bool))
    n = 500 * sum((1 - p) ** 2 for p in confidence)
    assert known.ids.tolist() == [7]
    assert known.worth().item() == pytest.approx(3.0 * n / (n + 1))
    assert known.weight.item() == pytest.approx(n)


@pytest.mark.slow
def test_the_error_is_that_of_ridge_regression():
    """Noise of spread 1, and a Δ that is itself drawn with a spread of 1: what is left of it has the spread 1 / √n."""
    generator = torch.Generator().manual_seed(0)
    pi = tensor([[0.2], [0.6], [0.9]])
    ids, mask = torch.tensor([[4], [4], [4]]), torch.ones(3, 1, dtype=torch.bool)
    deltas, noise = (torch.randn(20_000, *s, generator=generator, dtype=torch.float64) for s in ((1, 1), (3, 1)))
    known = [evidence((1 - pi) * d + x, pi.log(), ids, mask) for d, x in zip(deltas, noise, strict=True)]
    missed = torch.tensor([one.worth().item() for one in known], dtype=torch.float64) - deltas.flatten()
    error = 1.0 / math.sqrt(1 + 0.8**2 + 0.4**2 + 0.1**2)
    assert missed.mean().item() == pytest.approx(0.0, abs=4 * error / math.sqrt(20_000))
    assert missed.std().item() == pytest.approx(error, rel=0.02)
    one = evidence((1 - pi) * 9.0, pi.log(), ids, mask)
    assert one.at_least(torch.tensor([4])).item() == pytest.approx(one.worth().item() - 2 * error)


def test_a_token_counts_once_a_text_with_its_means():
    """Thrice in one text and once in another is two equations, not four: 0.6 · Δ = 3 and 0.9 · Δ = 1."""
    advantages, pi = tensor([[2.0, 3.0, 4.0], [1.0, 9.0, 9.0]]), tensor([[0.2, 0.4, 0.6], [0.1, 0.5, 0.5]])
    ids, mask = torch.tensor([[5, 5, 5], [5, 6, 6]]), torch.ones(2, 3, dtype=torch.bool)
    known = evidence(advantages, pi.log(), ids, mask)
    assert known.weight[0].item() == pytest.approx(0.6**2 + 0.9**2)
    assert known.worth()[0].item() == pytest.approx((0.6 * 3.0 + 0.9 * 1.0) / (1 + 0.6**2 + 0.9**2))


def test_what_was_not_drawn_or_where_it_was_certain_or_no_better_is_worth_nothing():
    advantages, logprobs = tensor([[50.0, -30.0, 30.0], [50.0, 1.0, 30.0]]), tensor([[0.0, -3.0, -3.0]] * 2)
    ids, mask = torch.tensor([[1, 5, 9], [1, 7, 9]]), torch.ones(2, 3, dtype=torch.bool)
    found = evidence(advantages, logprobs, ids, mask).at_least(torch.tensor([0, 1, 2, 5, 7, 9, 10]))
    assert [x > 0 for x in found.tolist()] == [False, False, False, False, False, True, False]


def test_a_token_has_to_be_better_by_two_standard_errors():
    """Two texts, hardly likely: Δ is two thirds of the mean, and an error 1/√3."""
    ids, mask = torch.tensor([[3], [3]]), torch.ones(2, 1, dtype=torch.bool)
    for mean, left in ((1.7, 0.0), (1.8, 1.2 - 2 / math.sqrt(3))):
        known = evidence(tensor([[mean], [mean]]), tensor([[-50.0], [-50.0]]), ids, mask)
        assert known.at_least(torch.tensor([3])).item() == pytest.approx(left)


# What rollouts before have said ---------------------------------------------------------------------------------------


def said(**tokens):
    """Evidence of tokens by their ids, t3=(total, weight), without a judge."""
    rows = sorted((int(name[1:]), *numbers, 0.0) for name, numbers in tokens.items())
    ids, *numbers = zip(*rows, strict=True)
    return Evidence(torch.tensor(ids), *map(tensor, numbers))


def test_a_text_counts_four_fifths_a_rollout_later():
    memory = TokenMemory()
    for batch in (said(t3=(5.0, 2.0), t8=(1.0, 1.0)), said(t1=(4.0, 1.0)), said(t3=(-1.0, 3.0))):
        known = memory.add(batch)
    assert known.ids.tolist() == [1, 3, 8]
    assert known.total.tolist() == pytest.approx([3.2, 0.64 * 5.0 - 1.0, 0.64])
    assert known.weight.tolist() == pytest.approx([0.8, 0.64 * 2.0 + 3.0, 0.64])
    assert memory.known is known


def test_what_says_nothing_any_more_is_forgotten():
    memory = TokenMemory()
    for batch in (said(t3=(5.0, 2.0)), *[said(t1=(1.0, 1.0))] * 34, said(t2=(0.0, 0.0))):
        known = memory.add(batch)
    assert 2.0 * 0.8**35 < 1e-3 < 2.0 * 0.8**34
    assert known.ids.tolist() == [1]
    assert TokenMemory().add(said(t2=(0.0, 0.0))).at_least(torch.tensor([[2, 3]])).tolist() == [[0.0, 0.0]]


def test_a_word_that_one_text_in_a_rollout_has_is_known_after_a_few():
    """Two deviations better than the other texts, π near 0: Δ = 2n / (n + 1) after n texts, counted with what is left.

    One text a rollout never says so by itself.
    """
    ids, mask, memory = torch.tensor([[3]]), torch.ones(1, 1, dtype=torch.bool), TokenMemory()
    batch = evidence(tensor([[2.0]]), tensor([[-50.0]]), ids, mask)
    bounds = [memory.add(batch).at_least(ids).item() for _ in range(6)]
    left = [sum(0.8**k for k in range(n)) for n in range(1, 7)]
    assert bounds == pytest.approx([max(2 * n / (n + 1) - 2 / math.sqrt(n + 1), 0.0) for n in left])
    assert bounds[0] == 0.0 < bounds[1]


def test_it_goes_on_from_a_checkpoint_as_if_never_stopped(tmp_path):
    """Six steps, and two that are stopped and go on to six, both byte for byte the same."""
    settings = {"method": {"name": "gaa", "reading": "expected"}, "max_steps": 6, "save_steps": 2}
    for name in ("whole", "halves"):
        trainer = tiny_trainer(tmp_path / name, **settings)
        if name == "halves":
            for _ in range(2):
                trainer.training_step()
            assert len(trainer.state.memory.known.ids)
            trainer = tiny_trainer(tmp_path / name, **settings)
        trainer.train()
    whole, halves = ((tmp_path / name / "metrics.jsonl").read_bytes() for name in ("whole", "halves"))
    assert whole == halves


@pytest.mark.parametrize("same", [True, False])
def test_a_rollout_whose_texts_all_pay_the_same_is_not_remembered(tmp_path, same):
    def reward(completions, **_):
        return [1.0 if same else float(len(text)) for text in completions]

    trainer = tiny_trainer(tmp_path, reward=reward, method={"name": "gaa", "reading": "expected"})
    trainer.training_step()
    assert bool(len(trainer.state.memory.known.ids)) is not same


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


@pytest.mark.parametrize(("delta", "up"), [(2.0, 0.93), (1.5, 0.90), (1.0, 0.85), (0.5, 0.65), (0.25, 0.25)])
def test_for_a_fixed_difference_the_step_is_down_until_the_policy_is_fairly_sure(delta, up):
    """A(x*)·(a·η + b) with A(x*) = σ = (1 − η)·Δ, as docs/method.md has it."""
    eta = torch.linspace(0.001, 0.999, 999, dtype=torch.float64)
    sigma = (1 - eta) * delta
    a, b = gaa_coefficients(eta, sigma, eta_scale=1.0, sigma_scale=0.5)
    step = sigma * (a * eta + b)
    assert eta[step > 0].min().item() == pytest.approx(up, abs=0.006)
    assert (step[eta < up - 0.006] < 0).all()


# x* and its gap -------------------------------------------------------------------------------------------------------

LENGTHS = (4, 2, 3, 4) * 3


def batch():
    """Twelve completions of few words, with two candidates a place, and poison in the padding; word 2 pays."""
    generator = torch.Generator().manual_seed(16)
    mask = torch.arange(4) < torch.tensor(LENGTHS)[:, None]

    def drawn(*shape):
        numbers = torch.randn(*shape, generator=generator, dtype=torch.float64)
        return torch.where(mask if len(shape) == 2 else mask[..., None], numbers, POISON)

    everything = {field.name: torch.zeros(12, 4, dtype=torch.float64) for field in fields(Rollout)}
    rollout = replace(
        Rollout(**everything),
        completion_mask=mask,
        kept=torch.ones(12, dtype=torch.bool),
        completion_ids=torch.randint(0, 5, (12, 4), generator=generator),
        logprobs=-drawn(12, 4).abs(),
        candidate_ids=torch.randint(0, 7, (12, 4, 2), generator=generator),
        candidate_logprobs=-drawn(12, 4, 2).abs(),
    )
    advantages = (drawn(12, 4) + 2.0 * (rollout.completion_ids == 2)).where(mask, 0.0)
    return rollout, Estimates(*[advantages] * 5)


def naive(rollout, advantages):
    """x*, Δ(x*) and σ of every valid place, one number at a time."""
    places = [(i, t) for i, n in enumerate(LENGTHS) for t in range(n)]
    every = [advantages[i, t].item() for i, t in places]
    middle, spread = fmean(every), pstdev(every)

    def worth(token):
        own = [[t for t in range(n) if rollout.completion_ids[i, t] == token] for i, n in enumerate(LENGTHS)]
        texts = [(i, where) for i, where in enumerate(own) if where]
        others = [fmean(1 - math.exp(rollout.logprobs[i, t]) for t in where) for i, where in texts]
        mean = [fmean((advantages[i, t].item() - middle) / spread for t in where) for i, where in texts]
        n = 1 + sum(w * w for w in others)
        return max(sum(w * x for w, x in zip(others, mean, strict=True)) / n - 2 / math.sqrt(n), 0.0)

    rows = []
    for i, t in places:
        options = [*rollout.candidate_ids[i, t].tolist(), rollout.completion_ids[i, t].item()]
        logprobs = [*rollout.candidate_logprobs[i, t].tolist(), rollout.logprobs[i, t].item()]
        best = max(range(3), key=lambda j: worth(options[j]))
        delta = worth(options[best])
        rows.append((options[best], logprobs[best], spread * delta, (1 - math.exp(logprobs[best])) * delta))
    return rows


def test_x_star_and_its_gap_equal_a_loop_over_plain_numbers():
    rollout, estimates = batch()
    mask, expected = rollout.completion_mask, naive(rollout, estimates.advantages)
    found = GAA(reading="expected").greedy(estimates, rollout, TokenMemory())
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


def test_advantages_that_are_all_good_make_no_gap():
    """As without whiten_advantages: what counts is how a text compares with the others."""
    rollout, estimates = batch()
    lifted = estimates.advantages + 5.0
    found, moved = (
        GAA(reading="expected").greedy(Estimates(*[x] * 5), rollout, TokenMemory())
        for x in (estimates.advantages, lifted)
    )
    torch.testing.assert_close(moved.sigma, found.sigma)
    torch.testing.assert_close(moved.advantages, found.advantages)


def test_a_token_that_the_judge_finds_clearly_better_too_has_no_gap():
    """Word 2 pays; the judge says the same of its texts, or nothing, or leaves out half of them."""
    rollout, estimates = batch()
    has = (rollout.completion_ids == 2).any(-1)

    def gaps(scores, trust=True):
        judged = replace(rollout, judge_scores=torch.as_tensor(scores, dtype=torch.float64))
        return GAA(trust_judge=trust).greedy(estimates, judged, TokenMemory())

    memory = TokenMemory()
    for _ in range(5):  # twelve texts alone are too few to be sure
        agreed = replace(rollout, judge_scores=has.double())
        found = GAA(trust_judge=True).greedy(estimates, agreed, memory)
    assert memory.known.judged_better(torch.tensor([2])).all()
    assert not ((found.ids == 2) & (found.sigma > 0)).any()
    plain = GAA().greedy(estimates, rollout, TokenMemory())
    assert ((plain.ids == 2) & (plain.sigma > 0)).any()
    for scores, trust in ((torch.ones(12), True), (has.double(), False)):
        torch.testing.assert_close(gaps(scores, trust).sigma, plain.sigma)
    left_out = torch.where(torch.arange(12) % 2 == 0, has.double(), torch.nan)
    assert gaps(left_out).sigma.isfinite().all()
    with pytest.raises(ConfigError, match="trust_judge=True needs a judge: give judge_reward_funcs"):
        gaps(torch.full((12,), torch.nan))
    with pytest.raises(ConfigError, match="set greedy_value: samples"):
        GAA(reading="text", trust_judge=True)


@pytest.mark.slow
def test_a_word_that_is_meant_is_learned_where_the_judge_says_so(tmp_path):
    """The bait of the tiny model again, with a judge that likes it."""
    ends = {}
    for trust in (False, True):
        settings = {"max_steps": 30, "batch_size": 32, "learning_rate": 3e-3, "kl_coef": 0.0}
        method = {"name": "gaa", "trust_judge": trust}
        trainer = tiny_trainer(tmp_path / str(trust), reward=bait_reward, judge=bait_reward, method=method, **settings)
        trainer.train()
        ends[trust] = fmean(row["reward"] for row in trainer.run.log.read("metrics.jsonl")[-10:])
    assert ends[False] < 0.45 < 0.9 < ends[True]


def test_what_a_checkpoint_says_of_the_judge_comes_back_and_may_be_missing():
    memory, again = TokenMemory(), TokenMemory()
    memory.known = Evidence(torch.tensor([3]), tensor([5.0]), tensor([2.0]), tensor([1.5]))
    again.restore(memory.plain())
    assert again.known == memory.known
    again.restore({name: x for name, x in memory.plain().items() if name != "judged"})
    assert again.known.judged.tolist() == [0.0]


def test_where_nothing_is_known_to_be_better_x_star_is_the_likeliest_and_the_step_is_ppos():
    rollout, _ = batch()
    bad = torch.where(rollout.completion_mask, -1.0, 0.0)
    found = GAA(reading="expected").greedy(Estimates(*[bad] * 5), rollout, TokenMemory())
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
        plain, other = (getattr(method.greedy(x, rollout, TokenMemory()), field) for x in (estimates, noisy))
        assert torch.equal(plain, other)


def test_a_word_that_pays_far_too_much_is_not_taken(tmp_path):
    """The tiny model, 30 steps: PPO ends in the bait, gaa in expectation about where it began."""
    ends = {}
    for name, method in {"ppo": "ppo", "gaa": {"name": "gaa", "reading": "expected"}}.items():
        settings = {"max_steps": 30, "batch_size": 32, "learning_rate": 3e-3, "kl_coef": 0.0}
        trainer = tiny_trainer(tmp_path / name, reward=bait_reward, method=method, **settings)
        trainer.train()
        rewards = [row["reward"] for row in trainer.run.log.read("metrics.jsonl")]
        ends[name] = fmean(rewards[-10:])
    assert ends["ppo"] > 0.9
    assert ends["gaa"] < 0.45  # 0.2 to 0.4 before training
