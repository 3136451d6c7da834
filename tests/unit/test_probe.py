"""The look at sharpness while training: what it finds, and that training does not notice."""

import json

import pytest
import torch

from gaard.training.generators import generator_states
from gaard.training.probe import Probe, losses_around
from tiny import tiny_trainer

KEYS = {"sharpness", "curvature", "policy_curvature"}


def parabola(x, y):
    """A saddle, 3x² − y², as ``loss`` and, with 1 added, as ``policy_loss``."""
    f = 3 * x.detach() ** 2 - y.detach() ** 2
    return {"loss": f.squeeze(), "policy_loss": f.squeeze() + 1}


def at(x, y):
    places = [torch.tensor([float(x)], dtype=torch.float64, requires_grad=True) for x in (x, y)]
    (3 * places[0] ** 2 - places[1] ** 2).sum().backward()
    return places


def test_along_the_gradient_of_a_parabola():
    """From (1, 2) the gradient is (6, −4): the curvature along it is (6·36 − 2·16) / 52."""
    x, y = at(1, 2)
    probe = Probe([x, y], 3)
    probe.begin(3)
    probe.look(parabola(x, y), lambda: parabola(x, y))
    found = probe.found()
    bent = (6 * 36 - 2 * 16) / 52
    assert found["curvature"] == pytest.approx(bent, rel=1e-6)
    assert found["policy_curvature"] == pytest.approx(bent, rel=1e-6)
    assert found["sharpness"] == pytest.approx(0.05 * 52**0.5 + bent * 0.05**2 / 2)
    assert (x.item(), y.item()) == (1.0, 2.0)


def test_it_looks_once_a_step_and_only_when_it_is_time():
    x, y = at(1, 2)
    calls = []

    def again():
        calls.append(1)
        return parabola(x, y)

    probe = Probe([x, y], 3)
    for step in range(1, 7):
        probe.begin(step)
        for _ in range(4):
            probe.look(parabola(x, y), again)
        assert bool(probe.found()) == (step in (3, 6))
    assert len(calls) == 4
    never = Probe([x, y], None)
    never.begin(1)
    never.look({}, again)
    assert never.found() == {}
    assert len(calls) == 4


def test_where_there_is_no_gradient_nothing_is_found_and_a_failure_leaves_the_weights():
    x, y = at(0, 0)
    assert losses_around([x, y], lambda: parabola(x, y), 0.1) is None
    x, y = at(float("inf"), 1)
    assert losses_around([x, y], lambda: parabola(x, y), 0.1) is None
    x, y = at(1, 2)
    with pytest.raises(ZeroDivisionError):
        losses_around([x, y], lambda: 1 / 0, 0.1)
    assert (x.item(), y.item()) == (1.0, 2.0)


@pytest.mark.parametrize(
    "options", [{}, {"method": "ppo"}, {"regularizers": ["sam"], "per_device_train_batch_size": 3}]
)
def test_training_does_not_notice(tmp_path, options):
    """The same weights, random states and metrics, byte for byte, but for the probe's own keys."""
    rows, weights, random = [], [], []
    for every in (None, 1):
        trainer = tiny_trainer(tmp_path / str(every), max_steps=3, sharpness_steps=every, **options)
        trainer.train()
        rows.append([json.loads(line) for line in (tmp_path / str(every) / "metrics.jsonl").open()])
        weights.append({key: x.clone() for key, x in trainer.policy.state_dict().items()})
        random.append(generator_states(trainer.generator))
    assert all(row.keys() >= KEYS for row in rows[1])
    assert rows[0] == [{key: x for key, x in row.items() if key not in KEYS} for row in rows[1]]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    assert random[0] == random[1]


def test_what_is_logged_is_the_loss_at_the_moved_weights(tmp_path):
    """Against the loss with gradients, made by the trainer's own forward at weights that are moved by hand."""
    trainer = tiny_trainer(tmp_path, max_steps=1, sharpness_steps=1, num_mini_batches=1, num_ppo_epochs=1)
    seen, own = [], trainer.update

    def update(minibatch):
        figures = {key: float(x) for key, x in trainer._gradients(minibatch).items()}
        moving = [(p, p.grad.clone(), p.detach().clone()) for p in trainer.policy.lm.parameters()]
        norm = torch.cat([g.flatten() for _, g, _ in moving]).norm()
        around = []
        for side in (1, -1):
            with torch.no_grad():
                for p, g, place in moving:
                    p.copy_(place + side * 0.05 * g / norm)
            around.append({key: float(x) for key, x in trainer._gradients(minibatch).items()})
        with torch.no_grad():
            for p, _, place in moving:
                p.copy_(place)
        trainer.optimizer.zero_grad()
        seen.append([figures, *around])
        return own(minibatch)

    trainer.update = update
    metrics = trainer.training_step()
    (here, ahead, behind), *_ = seen
    assert metrics["sharpness"] == pytest.approx(ahead["loss"] - here["loss"], rel=1e-3, abs=1e-5)
    bent = (ahead["policy_loss"] - 2 * here["policy_loss"] + behind["policy_loss"]) / 0.05**2
    assert metrics["policy_curvature"] == pytest.approx(bent, rel=1e-2, abs=5e-3)
