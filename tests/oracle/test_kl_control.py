"""Controllers of the KL coefficient: by hand, against the published loops, in limits, and across a resume."""

import dataclasses
import itertools
import json
from collections import deque

import pytest

from gaard.method.control import PIDMemory, adapted, pid
from gaard.regularizers import PIDKL, AdaptiveKL, Regularizer
from tiny import tiny_trainer

COSTS = (0.0, 0.5, 0.9, 0.4, 0.1, 0.0, 0.0, 0.7)


def test_a_pid_step_by_hand():
    """Error 0.6; I = 0.1 + 0.5·0.6 = 0.4; smoothed e ½·0.2 + ½·0.6 = 0.4, c ½·0.4 + ½·0.8 = 0.6, a rise of 0.2."""
    found, memory = pid(PIDMemory(0.1, 0.2, 0.4), 0.8, 0.2, kp=2.0, ki=0.5, kd=3.0, smoothing=0.5)
    assert memory == pytest.approx((0.4, 0.4, 0.6))
    assert found == pytest.approx(2 * 0.4 + 0.4 + 3 * 0.2)


def test_a_coefficient_stays_between_its_ends():
    assert pid(PIDMemory(0.1), 0.0, 1.0, 5.0, 1.0, 0.0, 0.0) == (0.0, (0.0, -1.0, 0.0))  # nor does the integral fall
    assert pid(PIDMemory(99.0), 9.0, 1.0, 5.0, 1.0, 0.0, 0.0)[0] == 100.0


def test_a_fall_does_not_loosen():
    assert pid(PIDMemory(0.5, 0.0, 1.0), 0.0, 0.0, 0.0, 0.0, 7.0, 0.0)[0] == 0.5


def test_the_published_loop_gives_the_same():
    """rlpyt, projects/safe/cppo_pid.py, 119 to 179, with pid_d_delay 1 and neither of the two normalisations."""
    limit, kp, ki, kd, smoothing = 0.3, 1.5, 0.4, 2.0, 0.9
    integral, error, cost, before = 0.05, 0.0, 0.0, deque([0.0], maxlen=1)
    expected = []
    for measured in COSTS:
        integral = max(0.0, integral + (measured - limit) * ki)
        error = smoothing * error + (1 - smoothing) * (measured - limit)
        cost = smoothing * cost + (1 - smoothing) * measured
        expected.append(min(100.0, max(0.0, kp * error + integral + kd * max(0.0, cost - before[0]))))
        before.append(cost)
    regularizer, memory, found = PIDKL(target=limit, kp=kp, ki=ki, kd=kd, smoothing=smoothing), [0.05], []
    for measured in COSTS:
        coefficient, memory = regularizer.control(memory, measured)
        found.append(coefficient)
    assert found == pytest.approx(expected)
    assert len(set(found)) == len(COSTS) - 1  # 0 twice


def test_the_integral_alone_is_dual_ascent():
    memory, found = [1.0], []
    for measured in COSTS:
        coefficient, memory = PIDKL(target=0.25, kp=0.0, ki=2.0).control(memory, measured)
        found.append(coefficient)
    ascent = itertools.accumulate(COSTS, lambda value, cost: max(0.0, value + 2.0 * (cost - 0.25)), initial=1.0)
    assert found == pytest.approx(list(ascent)[1:])


@pytest.mark.parametrize(("kl", "factor"), [(0.25, 1.0), (0.275, 1.01), (9.0, 1.02), (0.225, 0.99), (0.0, 0.98)])
def test_the_adaptive_coefficient_by_hand(kl, factor):
    """lm-human-preferences, train_policy.py, 120 to 124: ×(1 + 0.1·e), the relative error cut to ±0.2."""
    assert adapted(0.15, kl, 0.25, 0.1) == pytest.approx(0.15 * factor)
    assert AdaptiveKL().control([0.15], kl) == (0.15, [pytest.approx(0.15 * factor)])  # from the next step on


def test_near_its_target_the_adaptive_coefficient_is_an_integral():
    """β·K/target is the integral gain that it amounts to; Ziegler et al. call it proportional, in log space."""
    kls = [0.25 * (1 + error) for error in (1e-3, -2e-3, 5e-4, 1e-3)]
    memory, coefficient, adaptive = [0.2], 0.0, 0.2
    for kl in kls:
        coefficient, memory = PIDKL(kp=0.0, ki=0.2 * 0.1 / 0.25).control(memory, kl)
        adaptive = adapted(adaptive, kl, 0.25, 0.1)
    assert coefficient - 0.2 == pytest.approx(adaptive - 0.2, rel=1e-3)
    assert abs(coefficient - 0.2) > 5e-6


# In a run -------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Constant(Regularizer):
    """Always the same coefficient, whatever the run's."""

    name = "constant"
    controls_kl = True

    def control(self, memory, kl):
        return 0.7, [memory[0] + kl]


def rows(folder, **options):
    trainer = tiny_trainer(folder, **({"method": "ppo", "max_steps": 4, "learning_rate": 1e-2} | options))
    trainer.train()
    return trainer, trainer.run.log.read("metrics.jsonl")


@pytest.mark.parametrize("estimator", ["exact", "k1", "k3"])
def test_the_coefficient_that_is_set_is_the_one_that_trains(estimator, tmp_path):
    """Also where the run's own is 0, with which nothing of the reference would be kept."""
    _, plain = rows(tmp_path / "plain", kl_coef=0.7, kl_estimator=estimator)
    trainer, held = rows(tmp_path / "held", kl_coef=0.0, kl_estimator=estimator, regularizers=Constant())
    assert [row.pop("kl_coef") for row in held] == [0.7] * 4
    assert held == plain
    assert trainer.state.kl_control == [pytest.approx(sum(row["kl_ref"] for row in plain))]


@pytest.mark.parametrize("one", [PIDKL(target=0.01, kd=1.0), AdaptiveKL(target=0.01)], ids=lambda one: one.name)
def test_the_logged_coefficients_follow_the_logged_kl(one, tmp_path):
    _, log = rows(tmp_path, regularizers=one, kl_coef=0.3)
    memory = [0.3]
    for row in log:
        coefficient, memory = one.control(memory, row["kl_ref"])
        assert row["kl_coef"] == coefficient
    assert len({row["kl_coef"] for row in log}) > 2


@pytest.mark.parametrize("one", [PIDKL(target=0.01, kd=1.0), AdaptiveKL(target=0.01)], ids=lambda one: one.name)
def test_a_controlled_run_goes_on_where_it_was(one, tmp_path):
    options = {"regularizers": one, "save_steps": 1, "max_steps": 5}
    rows(tmp_path / "whole", **options)
    cut = tiny_trainer(tmp_path / "cut", method="ppo", learning_rate=1e-2, **options)
    step = cut.training_step
    cut.training_step = lambda: step() if cut.state.step < 3 else (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        cut.train()
    state = json.loads((sorted((tmp_path / "cut" / "checkpoints").iterdir())[-1] / "state.json").read_text())
    assert state["kl_control"] == cut.state.kl_control != []
    rows(tmp_path / "cut", **options)
    metrics = [(tmp_path / name / "metrics.jsonl").read_bytes() for name in ("whole", "cut")]
    assert metrics[0] == metrics[1]


def test_the_controllers_memory_is_part_of_the_state(tmp_path):
    trainer, _ = rows(tmp_path, regularizers=PIDKL(target=0.01), max_steps=6, save_steps=100, eval_completions=0)
    before = list(trainer.state.kl_control)
    plain = trainer.state.plain()
    trainer.state.kl_control = [9.0]
    trainer.state.restore(plain)
    assert trainer.state.kl_control == before
    del plain["kl_control"]  # a checkpoint of before there were controllers
    trainer.state.restore(plain)
    assert trainer.state.kl_control == []
