"""What one path for PPO and GAA has to mean, step by step, on a tiny model."""

import json
from dataclasses import replace

import pytest
import torch

from gaard.methods import Experience, Observation
from gaard.policy.sampling import sample
from gaard.training import collect
from gaard.training.collect import Clock
from gaard.training.estimate import estimate
from gaard.training.update import loss_and_figures, weights
from marks import slow_but
from tiny import tiny_trainer

TEXT, CODE = ({"name": "gaa", "reading": reading} for reading in ("text", "code"))
METHODS = {"ppo": "ppo", "fold": "fold", "gaa-text": TEXT, "gaa-code": CODE}


def rolled_out(trainer, observation=None):
    """The trainer's first rollout."""
    batch = trainer.prompts.draw(trainer.args.batch_size, trainer.generator)
    return trainer.collector.collect(batch, trainer.generator, Clock(), observation or trainer.args.observes)


def test_observing_the_greedy_branch_does_not_change_the_rollout(tmp_path):
    ppo, gaa = (rolled_out(tiny_trainer(tmp_path / name, method=METHODS[name])) for name in ("ppo", "gaa-text"))
    assert torch.equal(ppo.completion_ids, gaa.completion_ids)
    assert torch.equal(ppo.logprobs, gaa.logprobs)
    assert torch.equal(ppo.scores, gaa.scores)
    assert not torch.equal(ppo.greedy_values, gaa.greedy_values)  # gaa did look


@pytest.mark.parametrize("reading", ["text", "code"])
def test_gaa_without_a_gap_is_ppo_bit_for_bit(tmp_path, reading):
    runs = {"ppo": tiny_trainer(tmp_path / "ppo", method="ppo", max_steps=5)}
    runs["gaa"] = tiny_trainer(
        tmp_path / "gaa", method={"name": "gaa", "reading": reading, "sigma_scale": 0.0}, max_steps=5
    )
    for trainer in runs.values():
        trainer.train()
    logs = {name: trainer.run.log.read("metrics.jsonl") for name, trainer in runs.items()}
    for ppo, gaa in zip(logs["ppo"], logs["gaa"], strict=True):
        assert ppo == {key: gaa[key] for key in ppo} | {"b": 0.0}
        assert gaa["b"] == 0.0
    states = [trainer.policy.state_dict() for trainer in runs.values()]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_gaa_with_a_gap_is_not_ppo(tmp_path):
    losses = []
    for name in ("ppo", "gaa-text", "gaa-code"):
        trainer = tiny_trainer(tmp_path / name, method=METHODS[name], max_steps=1)
        losses.append(trainer.train()["loss"])
    assert len(set(losses)) == 3


def planted(trainer) -> Experience:
    """A rollout in which every greedy token is another than the sampled one, and better by two deviations."""
    experience = estimate(rolled_out(trainer), trainer.args)
    differs = experience.rollout.greedy_ids != experience.rollout.completion_ids
    rollout = experience.rollout
    object.__setattr__(rollout, "completion_mask", rollout.completion_mask & differs)
    ones = torch.ones_like(experience.sigma)
    planted = {"advantages": 0 * ones, "greedy_advantages": 1.5 * ones, "sigma": 2.0 * ones}
    return replace(experience, rollout=rollout, returns=rollout.values, **planted)


def greedy_logprob(trainer, experience) -> torch.Tensor:
    """Mean log-probability of the greedy tokens under the policy as it is now."""
    rollout = experience.rollout
    seen = trainer.policy(
        rollout.prompt_ids, rollout.prompt_mask, rollout.completion_ids, rollout.completion_mask, rollout.greedy_ids
    )
    return seen.greedy_logprobs[rollout.completion_mask].mean().detach()


def test_the_greedy_push_is_real(tmp_path):
    """With b < 0 and A(x*) > 0, one step makes the greedy tokens less likely. A(x) = 0, so nothing else moves them."""
    trainer = tiny_trainer(tmp_path, method="gaa", kl_coef=0.0, advantages={"vf_coef": 0.0})
    experience = planted(trainer)
    before = greedy_logprob(trainer, experience)
    figures = trainer.update(experience)
    assert figures["b"] < -0.5
    assert greedy_logprob(trainer, experience) < before - 1e-3


def test_in_johnsons_code_only_the_sampled_ratio_has_gradient(tmp_path):
    gradients = {}
    for name in ("gaa-text", "gaa-code"):
        trainer = tiny_trainer(tmp_path / name, method=METHODS[name], kl_coef=0.0, advantages={"vf_coef": 0.0})
        experience = planted(trainer)
        rollout = experience.rollout
        statistics = trainer.policy(
            rollout.prompt_ids, rollout.prompt_mask, rollout.completion_ids, rollout.completion_mask, rollout.greedy_ids
        )
        count = rollout.completion_mask.sum()
        weight = weights(experience, trainer.args.method)
        loss, _ = loss_and_figures(statistics, experience, weight, count, trainer.args)
        wanted = [statistics.logprobs, statistics.greedy_logprobs]
        gradients[name] = [
            0.0 if g is None else float(g.abs().sum()) for g in torch.autograd.grad(loss, wanted, allow_unused=True)
        ]
    assert gradients["gaa-text"][0] == 0.0  # A(x) = 0 here
    assert gradients["gaa-text"][1] > 0.1
    assert gradients["gaa-code"][0] > 0.1
    assert gradients["gaa-code"][1] == 0.0


@pytest.mark.parametrize("method", slow_but(["ppo", "fold"], METHODS))
def test_it_learns(tmp_path, method):
    """Reward rises from 0.39 by more than 0.25, some ten standard deviations of a rollout's mean."""
    trainer = tiny_trainer(
        tmp_path,
        method=method,
        max_steps=60,
        batch_size=32,
        learning_rate=2e-3,
        advantages={"value_learning_rate": 5e-3},
        kl_coef=0.0,
    )
    before = trainer.evaluate(256)["proxy_reward"]
    trainer.train()
    assert trainer.evaluate(256)["proxy_reward"] > before + 0.25


@pytest.mark.parametrize("method", [TEXT, CODE], ids=["gaa-text", "gaa-code"])
def test_losses_do_not_depend_on_how_a_minibatch_is_cut(tmp_path, method):
    whole = tiny_trainer(tmp_path / "whole", method=method, max_steps=3, num_mini_batches=1, dtype=torch.float64)
    cut = tiny_trainer(
        tmp_path / "cut",
        method=method,
        max_steps=3,
        num_mini_batches=1,
        per_device_train_batch_size=3,
        dtype=torch.float64,
    )
    assert whole.train() == pytest.approx(cut.train(), abs=1e-9)
    for key, weight in whole.policy.state_dict().items():
        torch.testing.assert_close(cut.policy.state_dict()[key], weight, atol=1e-9, rtol=0)


def test_the_content_of_padding_changes_no_number(tmp_path):
    """Another pad token in prompts and after the end of completions: the same metrics and weights."""
    runs = []
    for pad in ("<pad>", "w17"):
        trainer = tiny_trainer(tmp_path / pad.strip("<>"), max_steps=3)
        trainer.tokenizer.pad_token = pad
        trainer.prompts.pad_token_id = trainer.tokenizer.pad_token_id
        trainer.train()
        runs.append(trainer)
    assert runs[0].run.log.read("metrics.jsonl") == runs[1].run.log.read("metrics.jsonl")
    assert (runs[0].run.log.read("metrics.jsonl")[0]["completion_length"]) < 8  # there was padding to read
    states = [trainer.policy.state_dict() for trainer in runs]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_temperature_is_the_same_everywhere(tmp_path):
    """At the first update old and new log-probabilities agree, so no ratio is clipped and the old KL is nil."""
    trainer = tiny_trainer(
        tmp_path, temperature=0.6, num_ppo_epochs=1, num_mini_batches=1, max_steps=1, dtype=torch.float64
    )
    metrics = trainer.train()
    assert metrics["old_kl"] == pytest.approx(0.0, abs=1e-12)
    assert metrics["kl_ref"] == pytest.approx(0.0, abs=1e-12)


def test_evaluation_leaves_training_as_it_was(tmp_path):
    plain, watched = tiny_trainer(tmp_path / "plain"), tiny_trainer(tmp_path / "watched")
    watched.evaluate(64)
    assert plain.train() == watched.train()


def test_evaluated_kl_is_the_exact_one(tmp_path):
    trainer = tiny_trainer(tmp_path, max_steps=10, learning_rate=5e-3)
    assert trainer.evaluate(32)["kl_untrained"] == pytest.approx(0.0, abs=1e-6)
    trainer.train()
    rollout = rolled_out(trainer, Observation(reference_hidden=True))
    exact = []
    for row in range(len(rollout.completion_ids)):
        prompt = rollout.prompt_ids[row][rollout.prompt_mask[row]]
        length = int(rollout.completion_mask[row].sum())
        ids = torch.cat([prompt, rollout.completion_ids[row, :length]])[None]
        states = slice(len(prompt) - 1, len(prompt) - 1 + length)
        with torch.no_grad():
            new, old = (
                torch.log_softmax(lm(input_ids=ids).logits[0, states], -1)
                for lm in (trainer.policy.lm, trainer.reference.lm)
            )
        exact += (new.exp() * (new - old)).sum(-1).tolist()
    from gaard.training.evaluation import exact_kl

    assert exact_kl(trainer.collector, rollout) == pytest.approx(sum(exact) / len(exact), rel=1e-4)


def test_metrics_are_numbers_in_json(tmp_path):
    trainer = tiny_trainer(tmp_path)
    trainer.train()
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3, 4]
    assert all(isinstance(x, (int, float)) for line in lines for x in json.loads(line).values())


def test_in_bfloat16_sampling_sees_the_weights_as_they_are_now_cast_once(tmp_path, monkeypatch):
    trainer = tiny_trainer(tmp_path, bf16=True, learning_rate=1e-1, max_steps=3)
    used = []

    def watched(policy, *rest):
        for half, now in zip(policy.lm.parameters(), trainer.policy.lm.parameters(), strict=True):
            assert torch.equal(half, now.bfloat16())
        used.append(policy)
        return sample(policy, *rest)

    monkeypatch.setattr(collect, "sample", watched)
    trainer.train()
    assert len(used) == 3
    assert len({id(policy) for policy in used}) == 1
    assert {weight.dtype for weight in used[0].lm.parameters()} == {torch.bfloat16}


def test_in_bfloat16_a_rollout_says_what_float32_says_within_its_rounding(tmp_path):
    """The same weights and tokens, scored by either path."""
    rollouts = [rolled_out(tiny_trainer(tmp_path / str(bf16), bf16=bf16)) for bf16 in (False, True)]
    same = (rollouts[0].completion_ids == rollouts[1].completion_ids).cumprod(-1).bool() & rollouts[0].completion_mask
    assert same.float().mean() > 0.5
    for name in ("logprobs", "entropy", "ref_logprobs", "values", "greedy_values"):
        wide_numbers, half_numbers = (getattr(rollout, name)[same] for rollout in rollouts)
        torch.testing.assert_close(half_numbers, wide_numbers, atol=0.03, rtol=0.02)


def test_in_bfloat16_the_old_log_probabilities_are_those_that_learning_computes(tmp_path):
    """Else the first ratio of each rollout would differ from 1 by the rounding of another kernel.

    Processors without bfloat16 round by the shape of a batch as well, which makes 1e-9; the sampler's own numbers
    make 2e-7 and more.
    """
    trainer = tiny_trainer(tmp_path, bf16=True, num_ppo_epochs=1, num_mini_batches=1, max_steps=3, learning_rate=1e-2)
    trainer.train()
    rows = trainer.run.log.read("metrics.jsonl")
    assert [row["old_kl"] for row in rows] == pytest.approx([0.0] * 3, abs=2e-8)
    assert rows[-1]["kl_ref"] > 1e-3  # it did learn
    assert all(weight.dtype == torch.float32 for weight in trainer.policy.state_dict().values())


def test_in_bfloat16_candidates_have_the_old_log_probabilities_that_learning_computes(tmp_path):
    """Else the first ratio of x* would differ from 1, where the method takes it from the candidates.

    Processors without bfloat16 round by the shape of a batch as well: an eighth of the tokens. With the sampler's own
    numbers nine of ten tokens differ.
    """
    trainer = tiny_trainer(tmp_path, bf16=True, method={"name": "gaa", "reading": "expected"})
    rollout = rolled_out(trainer)
    mask = rollout.completion_mask
    with trainer.accelerator.autocast():
        for k in range(rollout.candidate_ids.shape[-1]):
            shown = rollout.prompt_ids, rollout.prompt_mask, rollout.completion_ids, mask, rollout.candidate_ids[..., k]
            learned = trainer.policy(*shown).greedy_logprobs[mask]
            error = (rollout.candidate_logprobs[..., k][mask] - learned).abs()
            assert (error > 1e-5).float().mean() < 0.3
            assert error.max() < 0.01
