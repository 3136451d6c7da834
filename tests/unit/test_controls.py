"""The controls of GAA in expectation: each changes the one thing that it says."""

from dataclasses import fields
from pathlib import Path

import pytest
import torch

from gaard.methods import Estimates, Rollout, TokenMemory, find_method
from gaard.training.collect import Clock
from tiny import tiny_trainer

FILE = Path(__file__).parents[2] / "studies" / "20-controls" / "controls.py"


def method(name, **options):
    return find_method({"name": f"{FILE}:{name}", "reading": "expected", **options})


def rollout_of_one_good_token():
    """Forty texts of one token: token 5 is paid, x* is token 5 where it is a candidate, the second draw is token 3."""
    paid = torch.arange(40) < 20
    columns = {field.name: torch.zeros(40, 1) for field in fields(Rollout)}
    columns |= {
        "completion_mask": torch.ones(40, 1, dtype=torch.bool),
        "kept": torch.ones(40, dtype=torch.bool),
        "completion_ids": torch.where(paid, 5, 7)[:, None],
        "logprobs": torch.full((40, 1), 0.25).log(),
        "candidate_ids": torch.tensor([5, 7]).expand(40, 1, 2),
        "candidate_logprobs": torch.full((40, 1, 2), 0.25).log(),
        "greedy_ids": torch.full((40, 1), 3),
        "greedy_logprobs": torch.full((40, 1), 0.125).log(),
    }
    known = {field.name: torch.zeros(40, 1) for field in fields(Estimates)}
    known["advantages"] = torch.where(paid, 3.0, -3.0)[:, None]
    return Estimates(**known), Rollout(**columns)


def test_a_random_token_has_the_gap_of_x_star_and_is_the_second_draw():
    estimates, rollout = rollout_of_one_good_token()
    memories = [TokenMemory(), TokenMemory()]
    plain = find_method({"name": "gaa", "reading": "expected"}).greedy(estimates, rollout, memories[0])
    found = method("RandomToken").greedy(estimates, rollout, memories[1])
    assert plain.ids.unique().tolist() == [5]
    assert found.ids.unique().tolist() == [3]
    assert found.logprobs.exp().unique().tolist() == [0.125]
    torch.testing.assert_close(found.sigma, plain.sigma)
    torch.testing.assert_close(found.advantages, plain.advantages)
    assert (plain.sigma > 0).all()


def test_the_second_draw_is_drawn_beside_the_candidates(tmp_path):
    """In a run: the tokens in x*'s place are not all the likeliest, and each has its own log-probability."""
    trainer = tiny_trainer(tmp_path, method={"name": f"{FILE}:RandomToken", "reading": "expected"})
    batch = trainer.prompts.draw(16, trainer.generator)
    rollout = trainer.collector.collect(batch, trainer.generator, Clock(), trainer.args.observes)
    likeliest = rollout.candidate_ids[..., 0]
    mask = rollout.completion_mask
    assert (rollout.greedy_ids != likeliest)[mask].any()
    at = rollout.candidate_ids == rollout.greedy_ids[..., None]
    both = (at.any(-1)) & mask
    assert both.any()
    own = torch.where(at, rollout.candidate_logprobs, 0.0).sum(-1)
    torch.testing.assert_close(own[both], rollout.greedy_logprobs[both])


@pytest.mark.parametrize("sigma", [0.0, 0.5, 2.0])
def test_sure_is_the_coefficients_where_the_policy_is_sure(sigma):
    eta, gap, mask = torch.tensor([[0.2]]), torch.tensor([[sigma]]), torch.ones(1, 1, dtype=torch.bool)
    plain = find_method({"name": "gaa", "reading": "expected"})
    found = method("Sure").coefficients(eta, gap, mask)
    assert [float(x) for x in found] == [float(x) for x in plain.coefficients(torch.ones_like(eta), gap, mask)]
    if sigma:
        assert [float(x) for x in found] != [float(x) for x in plain.coefficients(eta, gap, mask)]
