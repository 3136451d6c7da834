"""The methods beside the study of Johnson's text: each changes what it says, and is another method to a run's id."""

from dataclasses import fields
from pathlib import Path

import pytest
import torch

from gaard.methods import Estimates, Rollout, TokenMemory, find_method

FILE = Path(__file__).parents[2] / "studies" / "13-gaa-ablations" / "ablations.py"
CASES = [(0.0, 0.0, 1.0, 0.0), (0.0, 1.0, 1.0, 0.0), (2.0, 0.0, 2.0, -1.0), (2.0, 1.0, 0.0, -1.0)]  # Johnson's four
CHANGED = {"OnlyA": lambda a, b: (a, 0.0), "OnlyB": lambda a, b: (1.0, b), "Constant": lambda a, b: (1.0, -0.1)}


def method(name, **options):
    return find_method({"name": f"{FILE}:{name}", "reading": "text", **options})


@pytest.mark.parametrize(("sigma", "eta", "a", "b"), CASES)
@pytest.mark.parametrize("name", CHANGED)
def test_coefficients(name, sigma, eta, a, b):
    found = method(name).coefficients(
        torch.tensor([[eta]]), torch.tensor([[sigma]]), torch.ones(1, 1, dtype=torch.bool)
    )
    assert [float(x) for x in found] == pytest.approx(CHANGED[name](a, b))


def test_a_dead_zone_counts_gaps_from_one_deviation_on():
    """Gaps 3, 1, −1, −3 have the deviation √5 (population) or √(20/3); less one of them, only the first stays."""
    mask, zero = torch.ones(1, 4, dtype=torch.bool), torch.zeros(1, 4)
    one_step = torch.tensor([[1.0, -1.0, 1.0, -1.0]])
    estimates = Estimates(one_step, torch.tensor([[4.0, 0.0, 0.0, -4.0]]), zero, zero, zero)
    known = {"completion_mask": mask, "kept": torch.ones(1, dtype=torch.bool)}
    rollout = Rollout(**{field.name: zero for field in fields(Rollout)} | known)
    plain, dead = (method(name).greedy(estimates, rollout, TokenMemory()).sigma for name in ("Value", "DeadZone"))
    assert (plain[0, 0] > dead[0, 0] > 0).item()
    assert dead[0, 1:].tolist() == [0.0, 0.0, 0.0]
    centred = plain - plain.mean()
    deviations = [centred.square().sum() / n for n in (4, 3)]
    assert any(float(dead[0, 0]) == pytest.approx(float(plain[0, 0] - x.sqrt()), rel=1e-4) for x in deviations)


def test_what_they_look_at():
    assert method("Value").observes.candidates == 8
    assert method("RandomToken").observes.random_token
    assert all(method(name).observes.of_likely_tokens for name in (*CHANGED, "DeadZone", "Value", "RandomToken"))


def test_each_is_another_method_in_a_runs_record():
    records = [str(method(name).record()) for name in (*CHANGED, "DeadZone", "Value", "RandomToken")]
    assert len(set(records)) == len(records)
