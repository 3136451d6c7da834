"""What others do to rewards against hacking, each against hand-derived numbers, a limit, or a naive loop."""

import math
from dataclasses import fields, replace

import pytest
import torch

from gaard.method.advantages import robust_deviation
from gaard.method.local_regression import lowess
from gaard.methods import Clip, Drop, Estimates, Fold, RobustScaling, Rollout
from gaard.regularizers import ImperfectDetector, LengthResidual, PolicyFiltration
from gaard.regularizers.imperfect_detector import chance
from gaard.training.collect import Clock, shaped
from gaard.training.estimate import estimate
from gaard.training.update import add_gradients
from tiny import tiny_trainer


def rollout(scores, lengths=None, hacked=None) -> Rollout:
    """Completions with these rewards; token ids tell them apart."""
    size = len(scores)
    lengths = torch.tensor([3] * size if lengths is None else lengths)
    zero = {field.name: torch.zeros(size) for field in fields(Rollout)}
    paid = torch.tensor(scores, dtype=torch.float64)
    return replace(
        Rollout(**zero),
        completion_ids=torch.arange(size)[:, None].expand(size, int(lengths.max())),
        completion_mask=torch.arange(int(lengths.max())) < lengths[:, None],
        trained_scores=paid,
        greedy_scores=paid + 1.0,
        hacked=torch.zeros(size) if hacked is None else torch.tensor(hacked),
        kept=torch.ones(size, dtype=torch.bool),
    )


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


# Policy filtration (arXiv 2409.06957, section 4) ----------------------------------------------------------------------


def test_the_best_and_the_worst_of_each_group_are_kept():
    seen = rollout([1.0, 4.0, 2.0, 3.0, 9.0, 7.0, 8.0, 6.0])
    kept = PolicyFiltration(keep="best-worst").shape(seen, generator()).kept
    assert kept.nonzero().flatten().tolist() == [0, 1, 4, 7]


def test_of_equal_rewards_two_are_kept_all_the_same():
    for keep in ("best-worst", "best-random"):
        assert int(PolicyFiltration(keep=keep).shape(rollout([1.0] * 8), generator()).kept.sum()) == 4


def test_the_shares_are_the_papers_weights_of_best_random():
    """(½, 1/(2(N−1)), …): of N = 4 the best has half of what is learned from, each other one sixth."""
    draws, seen = generator(3), rollout([1.0, 4.0, 2.0, 3.0])
    kept = torch.stack([PolicyFiltration().shape(seen, draws).kept for _ in range(3000)]).double()
    assert kept.sum(-1).unique().tolist() == [2.0]
    shares = kept.sum(0) / kept.sum()
    assert shares.tolist() == pytest.approx([1 / 6, 1 / 2, 1 / 6, 1 / 6], abs=0.015)


def test_what_is_left_out_already_is_not_ranked():
    seen = replace(rollout([9.0, 4.0, 2.0, 3.0]), kept=torch.tensor([False, True, True, True]))
    assert PolicyFiltration(keep="best-worst").shape(seen, generator()).kept.tolist() == [False, True, True, False]


# A detector that errs -------------------------------------------------------------------------------------------------


def test_rates_are_those_of_flipped_verdicts():
    """A monitor whose verdict is flipped with probability 1 − α flags α of the hacks and 1 − α of the rest."""
    size = 4000
    seen = rollout([1.0] * size, hacked=[1.0] * (size // 2) + [0.0] * (size // 2))
    flagged = ImperfectDetector(true_positive_rate=0.7, false_positive_rate=0.3).flagged(seen).double()
    assert float(flagged[: size // 2].mean()) == pytest.approx(0.7, abs=0.03)
    assert float(flagged[size // 2 :].mean()) == pytest.approx(0.3, abs=0.03)


@pytest.mark.parametrize(("hit", "false", "flagged"), [(1.0, 0.0, [1, 0]), (0.0, 1.0, [0, 1]), (0.0, 0.0, [0, 0])])
def test_rates_of_0_and_1_leave_nothing_to_chance(hit, false, flagged):
    seen = rollout([1.0] * 200, hacked=[1.0, 0.0] * 100)
    found = ImperfectDetector(true_positive_rate=hit, false_positive_rate=false).flagged(seen)
    assert found.tolist() == [bool(one) for one in flagged * 100]


def test_a_penalty_is_subtracted_from_what_is_flagged_and_nothing_is_left_out():
    detector = ImperfectDetector(true_positive_rate=1, false_positive_rate=0, penalty=0.75)
    shaped_one = detector.shape(rollout([1.0, 0.5], hacked=[1.0, 0.0]), generator())
    assert shaped_one.trained_scores.tolist() == [0.25, 0.5]
    assert shaped_one.greedy_scores.tolist() == [1.25, 1.5]
    assert shaped_one.kept.all()


def test_screening_leaves_out_what_is_flagged_at_its_reward():
    detector = ImperfectDetector(action="screening", true_positive_rate=1, false_positive_rate=0)
    screened = detector.shape(rollout([1.0, 0.5], hacked=[1.0, 0.0]), generator())
    assert screened.kept.tolist() == [False, True]
    assert screened.trained_scores.tolist() == [1.0, 0.5]


def test_a_verdict_is_of_the_tokens_and_of_the_seed_alone():
    assert chance([5, 7], 0) == chance([5, 7], 0)
    assert len({chance([5, 7], 0), chance([7, 5], 0), chance([5, 7], 1), chance([5], 0)}) == 4
    numbers = [chance([i], 0) for i in range(2000)]
    assert sum(numbers) / 2000 == pytest.approx(0.5, abs=0.02)
    assert 0 <= min(numbers) < max(numbers) < 1


# Length residuals (arXiv 2409.17407) ----------------------------------------------------------------------------------

LENGTHS = [3, 5, 6, 8, 9, 11, 12, 14, 15, 18, 20, 21]
PAID = [1.0, 1.4, 1.1, 2.2, 2.0, 2.1, 3.5, 2.8, 3.0, 9.0, 3.4, 3.9]
# statsmodels 0.15.0: lowess(PAID, LENGTHS, frac=0.5, return_sorted=False), three rounds of robust weights.
THEIRS = [
    *(0.9509017365409163, 1.3113770455473321, 1.4990796122129335, 1.8654510896279668, 2.0451933157742337),
    *(2.281323232737567, 2.4265037995463814, 2.8120164472708464, 2.99063502665723, 3.3278816310381387),
    *(3.6013162115288724, 3.7373004817250677),
]


def test_the_local_regression_is_the_authors():
    found = lowess(torch.tensor(LENGTHS), torch.tensor(PAID, dtype=torch.float64), 0.5)
    assert found.tolist() == pytest.approx(THEIRS, rel=1e-9)


def test_a_reward_that_length_tells_wholly_leaves_nothing():
    seen = rollout([0.25 * n - 1.0 for n in LENGTHS], LENGTHS)
    assert LengthResidual().shape(seen, generator()).trained_scores.tolist() == pytest.approx([0.0] * 12, abs=1e-12)
    half = LengthResidual(coef=0.5).shape(seen, generator())
    assert half.trained_scores.tolist() == pytest.approx([0.125 * n - 0.5 for n in LENGTHS])


def test_lengths_that_are_all_the_same_take_off_one_number():
    """Of 1, 2, 3 and 6 the mean is 3; distances 2, 1, 0, 3, so that nothing lies 6 median distances off."""
    found = lowess(torch.tensor([16] * 4), torch.tensor([1.0, 2.0, 3.0, 6.0]), 1.0)
    assert len(set(found.tolist())) == 1
    assert 2.0 < float(found[0]) < 3.0  # the farthest counts for less
    equal = lowess(torch.tensor([16] * 4), torch.tensor([2.0] * 4), 1.0)
    assert equal.tolist() == [2.0] * 4


def test_the_order_of_completions_does_not_matter():
    order = torch.randperm(12, generator=generator(1))
    x, y = torch.tensor(LENGTHS), torch.tensor(PAID)
    assert lowess(x[order], y[order], 0.5).tolist() == pytest.approx(lowess(x, y, 0.5)[order].tolist())


def test_texts_that_end_on_the_greedy_token_lose_the_same():
    found = LengthResidual(fraction=0.5).shape(rollout(PAID, LENGTHS), generator())
    assert (found.greedy_scores - found.trained_scores).tolist() == pytest.approx([1.0] * 12)


# Turn, drop, clip and scale -------------------------------------------------------------------------------------------

MASK = torch.ones(1, 5, dtype=torch.bool)


def estimates(advantages, heights):
    a, h = torch.tensor([advantages]), torch.tensor([heights])
    return Estimates(a, a, a, a, h)


def test_turn_drop_and_clip_part_at_one_threshold():
    """At heights 6 and 3 beyond a threshold of 3: −A and A, 0 and A, A/2 and A."""
    given = estimates([-1.0, 0.5, 1.5, 3.0, -2.0], [-2.0, 1.0, 3.0, 6.0, 4.0])
    assert Fold(threshold=3).shape(given, MASK)[0].tolist() == [-1.0, 0.5, 1.5, -3.0, -2.0]
    assert Drop(threshold=3).shape(given, MASK)[0].tolist() == [-1.0, 0.5, 1.5, 0.0, -2.0]
    assert Clip(threshold=3).shape(given, MASK)[0].tolist() == [-1.0, 0.5, 1.5, 1.5, -2.0]


def test_robust_scaling_divides_by_the_robust_deviation():
    """Of −2, −1, 0, 1 and 50 the median is 0, the distances 2, 1, 0, 1, 50, their median 1."""
    given = estimates([-2.0, -1.0, 0.0, 1.0, 50.0], [0.0] * 5)
    assert float(robust_deviation(given.advantages, MASK)) == pytest.approx(1.4826)
    assert RobustScaling().shape(given, MASK)[0].tolist() == pytest.approx([x / 1.4826 for x in (-2, -1, 0, 1, 50)])
    equal = estimates([0.0, 0.0, 0.0, 1.0, 2.0], [0.0] * 5)
    assert torch.equal(RobustScaling().shape(equal, MASK), equal.advantages)


# What is left out of an update ----------------------------------------------------------------------------------------


def experiences(tmp_path, name="gae", kept=None):
    """A trainer, and what its first rollout gives if the completions that are not kept are left out, or never were."""
    advantages = {"name": name} | ({} if name == "gae" else {"num_generations": 4})
    trainer = tiny_trainer(tmp_path, method="ppo", advantages=advantages, kl_coef=0.1, entropy_coef=0.01)
    batch = trainer.prompts.draw(16, trainer.generator, 4)
    whole = trainer.collector.collect(batch, trainer.generator, Clock(), trainer.args.observes)
    kept = torch.arange(16) % 4 < 2 if kept is None else kept
    return trainer, replace(whole, kept=kept), whole.rows(kept.nonzero().flatten())


def test_a_critic_learns_as_if_they_had_not_been_sampled(tmp_path):
    trainer, filtered, alone = experiences(tmp_path)
    with_others, without = estimate(filtered, trainer.args), estimate(alone, trainer.args)
    assert torch.allclose(with_others.advantages[filtered.kept], without.advantages, atol=1e-6)
    assert torch.equal(with_others.advantages[~filtered.kept], torch.zeros(8, with_others.advantages.shape[1]))
    gradients = []
    for experience, size in ((with_others, 16), (without, 8)):
        args = replace(trainer.args, batch_size=size, num_mini_batches=1)
        trainer.optimizer.zero_grad()
        add_gradients(trainer.model, trainer.reference, experience, trainer.accelerator, args)
        gradients.append(
            torch.cat([p.grad.flatten().clone() for p in trainer.policy.parameters() if p.grad is not None])
        )
    assert gradients[0].abs().max() > 1e-3
    assert torch.allclose(*gradients, atol=1e-5)


@pytest.mark.parametrize("name", ["grpo", "dr_grpo", "rloo"])
def test_a_group_is_compared_with_those_of_it_that_are_kept(name, tmp_path):
    trainer, filtered, _ = experiences(tmp_path, name)
    found = estimate(filtered, trainer.args).advantages[:, 0]
    for start in range(0, 16, 4):
        first, second = filtered.trained_scores[start : start + 2].double().tolist()
        half = (first - second) / 2
        deviation = abs(half) * math.sqrt(2) + 1e-4
        expected = {"grpo": half / deviation, "dr_grpo": half, "rloo": 2 * half}[name]
        assert found[start : start + 4].tolist() == pytest.approx([expected, -expected, 0.0, 0.0], abs=1e-5)


@pytest.mark.parametrize("name", ["gae", "grpo"])
@pytest.mark.parametrize("kept", [0, 1])
def test_of_none_or_one_that_is_kept_nothing_is_learned_of_rewards(kept, name, tmp_path):
    trainer, filtered, _ = experiences(tmp_path, name, kept=torch.arange(16) < kept)
    found = estimate(filtered, trainer.args)
    assert not found.advantages.any()
    assert found.returns.isfinite().all()
    figures = add_gradients(
        trainer.model, trainer.reference, found, trainer.accelerator, replace(trainer.args, num_mini_batches=1)
    )
    assert all(figure.isfinite() for figure in figures.values())


@pytest.mark.parametrize("method", ["fold", "drop", "robust-scaling", "gaa"])
def test_every_method_can_do_without_completions(method, tmp_path):
    trainer = tiny_trainer(tmp_path, method=method, regularizers="policy-filtration", max_steps=3, learning_rate=1e-2)
    trainer.train()
    rows = trainer.run.log.read("metrics.jsonl")
    assert [row["kept"] for row in rows] == [0.5] * 3
    assert all(math.isfinite(number) for row in rows for number in row.values())


def test_a_run_that_draws_who_is_kept_goes_on_where_it_was(tmp_path):
    options = {"method": "ppo", "regularizers": "policy-filtration", "save_steps": 1, "max_steps": 4}
    tiny_trainer(tmp_path / "whole", **options).train()
    cut = tiny_trainer(tmp_path / "cut", **options)
    cut.training_step(), cut.training_step()
    cut.run.close()
    tiny_trainer(tmp_path / "cut", **options).train()
    whole, resumed = ((tmp_path / name / "metrics.jsonl").read_bytes() for name in ("whole", "cut"))
    assert whole == resumed


def test_regularizers_shape_in_their_order(tmp_path):
    """Screened first, a hack cannot be the best of its group."""
    regularizers = (ImperfectDetector(action="screening", true_positive_rate=1, false_positive_rate=0),)
    regularizers += (PolicyFiltration(keep="best-worst"),)
    seen = rollout([9.0, 4.0, 2.0, 3.0], hacked=[1.0, 0.0, 0.0, 0.0])
    assert shaped(seen, regularizers, generator()).kept.tolist() == [False, True, True, False]
    assert shaped(seen, regularizers[::-1], generator()).kept.tolist() == [False, False, True, False]
