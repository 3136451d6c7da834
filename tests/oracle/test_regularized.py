"""What each regulariser changes in an update, against hand-derived numbers, autograd and runs that were cut."""

import math

import pytest
import torch

from definitions import exact_kl, log_softmax, selected
from gaard.errors import ConfigError
from gaard.method import projection
from gaard.regularizers import SAM, GradientNorm, KLBudget
from gaard.training import update
from gaard.training.collect import Clock, shaped
from gaard.training.config import GAAConfig
from gaard.training.estimate import estimate
from tiny import TEXT, tiny_trainer

RESETS = {"name": "reference-resets"}


def rolled_out(trainer):
    batch = trainer.prompts.draw(trainer.args.batch_size, trainer.generator)
    return shaped(collected(trainer, batch), trainer.args.regularizers, trainer.generator)


def collected(trainer, batch):
    return trainer.collector.collect(batch, trainer.generator, Clock(), trainer.args.observes)


def test_par_is_the_mean_sigmoid_of_the_reward_less_those_of_the_untrained_model(tmp_path):
    trainer = tiny_trainer(tmp_path, method="ppo", regularizers={"name": "par", "completions": 3})
    batch = trainer.prompts.draw(trainer.args.batch_size, trainer.generator)
    seen = shaped(collected(trainer, batch), trainer.args.regularizers, trainer.generator)
    baseline = trainer.collector.baseline_scores
    assert sorted(prompt for (prompt,) in baseline) == sorted(set(batch.texts))
    for row, prompt in enumerate(batch.texts):
        theirs = baseline[(prompt,)].tolist()
        assert len(theirs) == 3
        assert seen.baseline_scores[row].tolist() == theirs
        expected = sum(1 / (1 + math.exp(other - float(seen.scores[row]))) for other in theirs) / 3
        assert float(seen.trained_scores[row]) == pytest.approx(expected, rel=1e-5)
    experience = estimate(seen, trainer.args)
    plain = estimate(seen, GAAConfig(str(tmp_path), method="ppo"))
    assert torch.equal(experience.advantages, plain.advantages)  # what trains is in the rollout


def test_par_shapes_the_greedy_ended_text_too(tmp_path):
    trainer = tiny_trainer(tmp_path, method=TEXT, regularizers={"name": "par", "completions": 3})
    batch = trainer.prompts.draw(trainer.args.batch_size, trainer.generator)
    raw = collected(trainer, batch)
    found = shaped(raw, trainer.args.regularizers, trainer.generator)
    for row in range(len(raw.scores)):
        theirs = raw.baseline_scores[row].tolist()
        expected = sum(1 / (1 + math.exp(other - float(raw.greedy_scores[row]))) for other in theirs) / 3
        assert float(found.greedy_scores[row]) == pytest.approx(expected, rel=1e-5)
    assert not torch.equal(raw.greedy_scores, raw.trained_scores)


def test_the_untrained_models_rewards_do_not_change_with_training(tmp_path):
    """A resumed run asks for them again, in another order, of a policy that has changed."""
    regularizers = ["par", {"name": "reference-resets", "steps": 1}]
    trainer = tiny_trainer(tmp_path / "one", method="ppo", regularizers=regularizers)
    trainer.train()
    first = dict(trainer.collector.baseline_scores)
    assert {len(scores) for scores in first.values()} == {8}
    trainer.collector.baseline_scores.clear()
    batch = trainer.prompts.draw(16, trainer.generator)
    for row in reversed(range(16)):
        trainer.collector._baseline(batch.rows(row, row + 1), 8)
    assert all(torch.equal(trainer.collector.baseline_scores[key], first[key]) for key in first)


def test_the_reference_follows_and_measures_stay_with_the_untrained_model(tmp_path):
    trainer = tiny_trainer(tmp_path, method="ppo", max_steps=4, learning_rate=1e-2, regularizers=RESETS | {"steps": 3})
    start = {key: value.clone() for key, value in trainer.policy.state_dict().items()}
    rows = []
    for _ in range(3):
        rows.append(trainer.training_step())
        moved = any(not torch.equal(trainer.reference.state_dict()[key], start[key]) for key in start)
        assert moved == (len(rows) == 3)
    assert rows[2]["kl_ref"] > 1e-4
    assert trainer.training_step()["kl_ref"] == pytest.approx(0.0, abs=1e-6)  # of a rollout of the reference itself
    assert all(torch.equal(trainer.untrained.state_dict()[key], start[key]) for key in start)
    far = trainer.evaluate(64)["kl_untrained"]
    trainer.reference.load_state_dict(trainer.policy.state_dict())
    assert trainer.evaluate(64)["kl_untrained"] == far > 1e-3


def test_a_run_whose_reference_moves_goes_on_where_it_was(tmp_path):
    options = {"method": "ppo", "regularizers": RESETS | {"steps": 2}, "learning_rate": 1e-2, "save_steps": 1}
    whole = tiny_trainer(tmp_path / "whole", max_steps=5, **options)
    whole.train()
    cut = tiny_trainer(tmp_path / "cut", max_steps=5, **options)
    step = cut.training_step
    cut.training_step = lambda: step() if cut.state.step < 3 else (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        cut.train()
    tiny_trainer(tmp_path / "cut", max_steps=5, **options).train()
    metrics = [(tmp_path / name / "metrics.jsonl").read_bytes() for name in ("whole", "cut")]
    assert metrics[0] == metrics[1]


def test_a_spent_budget_of_kl_ends_training_for_good(tmp_path):
    options = {"method": "ppo", "max_steps": 30, "learning_rate": 1e-2, "kl_coef": 0.0, "save_steps": 1000}
    free = tiny_trainer(tmp_path / "free", **options)
    free.train()
    kls = [row["kl_ref"] for row in free.run.log.read("metrics.jsonl")]
    budget = sorted(kls)[len(kls) // 2]
    bound = tiny_trainer(tmp_path / "bound", regularizers=KLBudget(limit=budget), **options)
    last = bound.train()
    first = next(step for step, kl in enumerate(kls, 1) if kl >= budget)
    assert last["step"] == bound.state.step == first < 30
    again = tiny_trainer(tmp_path / "bound", regularizers=KLBudget(limit=budget), **options)
    assert again.train() == last
    assert again.state.step == first


def quadratic() -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]:
    """L = ½(x² + 4y²) at (3, 1), and another parameter: gradient (3, 4), of length 5; Hessian diag(1, 4)."""
    place, other = torch.tensor([3.0, 1.0], dtype=torch.float64), torch.tensor(7.0, dtype=torch.float64)
    place.requires_grad_(), other.requires_grad_()
    seen = []

    def again():
        seen.append(place.detach().clone())
        (0.5 * (place[0] ** 2 + 4 * place[1] ** 2) + 2 * other).backward()

    return place, other, seen, again


def test_gradient_norm_regularisation_adds_the_hessian_times_the_gradient():
    """∇(L + γ/2 ‖∇L‖²) = g + γHg = (3, 4) + 0.5·(3, 16); of a quadratic the finite difference is exact."""
    place, other, seen, again = quadratic()
    again()
    GradientNorm(coef=0.5, radius=0.1).change_gradient([place], [other], again)
    assert place.grad.tolist() == pytest.approx([4.5, 12.0])
    assert other.grad.item() == 2.0
    assert seen[1].tolist() == pytest.approx([3.0 + 0.1 * 0.6, 1.0 + 0.1 * 0.8])
    assert place.tolist() == [3.0, 1.0]


def test_sam_takes_the_gradient_where_the_loss_is_worse():
    """At (3, 1) + 0.5·(0.6, 0.8) = (3.3, 1.4) it is (3.3, 5.6)."""
    place, other, _, again = quadratic()
    again()
    SAM(radius=0.5).change_gradient([place], [other], again)
    assert place.grad.tolist() == pytest.approx([3.3, 5.6])
    assert other.grad.item() == 2.0
    assert place.tolist() == [3.0, 1.0]


@pytest.mark.parametrize("flat", [SAM(), GradientNorm()], ids=lambda flat: flat.name)
@pytest.mark.parametrize("gradient", [0.0, math.nan, math.inf])
def test_where_there_is_no_gradient_there_is_no_direction(flat, gradient):
    place = torch.zeros(2, requires_grad=True)
    place.grad = torch.full((2,), gradient)
    flat.change_gradient([place], [], pytest.fail)
    assert place.grad.tolist() == pytest.approx([gradient] * 2, nan_ok=True)


def test_a_flat_step_of_the_trainer_is_that_of_the_loss_by_autograd(tmp_path, monkeypatch):
    """The gradient that the optimizer gets against ∇(L + γ/2 ‖∇L‖²) by double differentiation, in float64."""
    options = {"method": "ppo", "max_grad_norm": 1e9, "num_mini_batches": 1}
    flat = GradientNorm(coef=0.3, radius=1e-7)
    trainer = tiny_trainer(tmp_path, dtype=torch.float64, regularizers=flat, **options)
    trainer.policy.lm.set_attn_implementation("eager")  # the fused kernel has no second derivative, nor
    experience = estimate(rolled_out(trainer), trainer.args)
    monkeypatch.setattr(projection, "token_figures", plain_figures)  # have gradients in closed form
    policy, critic = list(trainer.policy.lm.parameters()), list(trainer.policy.value_head.parameters())
    count, weight = experience.rollout.completion_mask.sum(), update.weights(experience, trainer.args.method)
    statistics = update._forward(trainer.model, experience, trainer.reference, trainer.args)
    loss, _ = update.loss_and_figures(statistics, experience, weight, count, trainer.args)
    gradient = torch.autograd.grad(loss, policy + critic, create_graph=True)
    norm = sum((g**2).sum() for g in gradient[: len(policy)]) / 2
    curvature = torch.autograd.grad(norm, policy)
    caught = []
    monkeypatch.setattr(trainer.optimizer, "step", lambda: caught.extend(p.grad.clone() for p in policy + critic))
    trainer.update(experience)
    for found, g, hg in zip(caught, gradient, curvature, strict=False):
        torch.testing.assert_close(found, g + 0.3 * hg, atol=1e-5, rtol=1e-4)
    for found, g in zip(caught[len(policy) :], gradient[len(policy) :], strict=True):
        torch.testing.assert_close(found, g, atol=1e-10, rtol=1e-10)  # the critic learns as ever
    assert max(float(hg.abs().max()) for hg in curvature) > 1e-2


def plain_figures(hidden, policy, tokens, greedy, reference, with_entropy):
    """By the definitions, so that autograd can differentiate twice."""
    logprobs = log_softmax(hidden @ policy.weight.t() / policy.temperature)
    ref_hidden, by = reference
    kl = exact_kl(logprobs, log_softmax(ref_hidden @ by.weight.t() / by.temperature))
    return projection.TokenFigures(selected(logprobs, tokens), selected(logprobs, greedy), 0 * kl, kl)


def test_an_interrupt_in_the_second_pass_leaves_the_weights_where_they_were(tmp_path):
    trainer = tiny_trainer(tmp_path, method="ppo", regularizers=SAM(radius=1.0))
    trainer.training_step()
    before = {key: value.clone() for key, value in trainer.policy.state_dict().items()}
    passes, plain = [], trainer._gradients

    def interrupted(minibatch):
        passes.append(1)
        if len(passes) == 2:
            raise KeyboardInterrupt
        return plain(minibatch)

    trainer._gradients = interrupted
    with pytest.raises(KeyboardInterrupt):
        trainer.training_step()
    assert all(torch.equal(value, before[key]) for key, value in trainer.policy.state_dict().items())


@pytest.mark.parametrize("name", ["sam", "gradient-norm"])
def test_flat_steps_and_bfloat16_do_not_go_together(name, tmp_path):
    with pytest.raises(ConfigError, match=f"regularizers holds '{name}' with bf16=True"):
        GAAConfig(str(tmp_path), regularizers=name, bf16=True)


def test_a_reward_of_chance_is_asked_for_the_baseline_once_even_across_a_resume(tmp_path):
    """They stand in the checkpoint: asked again they would be others, and shift the chances of all that follows."""
    options = {"method": "ppo", "regularizers": "par", "save_steps": 1, "max_steps": 5}

    def noisy(completions, **_):
        return torch.rand(len(completions)).tolist()

    torch.manual_seed(0)
    tiny_trainer(tmp_path / "whole", reward=noisy, **options).train()
    cut = tiny_trainer(tmp_path / "cut", reward=noisy, **options)
    step = cut.training_step
    cut.training_step = lambda: step() if cut.state.step < 3 else (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        cut.train()
    tiny_trainer(tmp_path / "cut", reward=noisy, **options).train()
    whole, resumed = ((tmp_path / name / "metrics.jsonl").read_bytes() for name in ("whole", "cut"))
    assert whole == resumed
