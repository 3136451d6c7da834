"""Numbers that are not finite, or explode: what stops a run, what takes it back, and that no checkpoint holds them."""

import json
import math
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from gaard.errors import DivergenceError, GaardError, RewardError
from gaard.method.distributions import draw
from gaard.training import divergence
from gaard.training.checkpoint import checkpoints, load_checkpoint
from tiny import tiny_trainer, words_reward

STEPS = 6
UPDATES = 4  # of a step: two epochs of two minibatches


def made(folder, **options):
    return tiny_trainer(folder, **{"max_steps": STEPS, "save_steps": 2, "save_total_limit": 9, **options})


def poison(trainer, monkeypatch, step, update, number, times=1):
    """Make one weight's gradient ``number``, in an update of a step, as often as is said."""
    plain, seen = trainer.accelerator.clip_grad_norm_, []

    def clip(parameters, norm):
        parameters, now = list(parameters), trainer.state.step + 1
        seen.append(now)
        if now == step and (seen.count(step) - 1) % UPDATES + 1 == update and poison.left:
            poison.left -= 1
            seen[:] = [one for one in seen if one != step]
            parameters[0].grad.view(-1)[0] = number
        return plain(parameters, norm)

    poison.left = times
    monkeypatch.setattr(trainer.accelerator, "clip_grad_norm_", clip)


def finite_checkpoints(folder):
    """Steps of the checkpoints, each of which holds finite numbers alone."""
    found = checkpoints(folder / "checkpoints")
    for path in found:
        for file in path.glob("*.safetensors"):
            for name, tensor in load_file(file).items():
                assert not tensor.is_floating_point() or tensor.isfinite().all(), (file, name)
    return sorted(int(path.name[5:]) for path in found)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("update", [1, 3])
def test_a_gradient_that_is_not_finite_stops_the_run_and_no_checkpoint_holds_it(number, update, tmp_path, monkeypatch):
    trainer = made(tmp_path)
    poison(trainer, monkeypatch, 4, update, number)
    with pytest.raises(DivergenceError, match="the gradient of step 4 is not finite") as caught:
        trainer.train()
    assert "lower learning_rate=0.001" in str(caught.value)
    assert "on_divergence='rollback'" in str(caught.value)
    assert finite_checkpoints(tmp_path) == [2, 3 + (update > 1)]  # a step that was cut short counts, as before
    assert all(weight.isfinite().all() for weight in trainer.policy.parameters())


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_a_reward_that_is_not_finite_stops_the_run_and_no_checkpoint_holds_it(number, tmp_path):
    def reward(completions, **kwargs):
        return [number if trainer.state.step == 3 else 1.0, *words_reward(completions)[1:]]

    trainer = made(tmp_path, reward=reward)
    with pytest.raises(RewardError, match=r"returned (nan|inf)"):
        trainer.train()
    assert finite_checkpoints(tmp_path) == [2, 3]


@pytest.mark.parametrize("update", [1, 3])
def test_a_run_goes_back_to_the_last_checkpoint_at_half_the_rates(update, tmp_path, monkeypatch):
    trainer = made(tmp_path, on_divergence="rollback")
    poison(trainer, monkeypatch, 4, update, math.nan)
    assert trainer.train()["step"] == STEPS
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert [row["learning_rate"] for row in rows] == [1e-3, 1e-3, 5e-4, 5e-4, 5e-4, 5e-4]
    assert [group["lr"] for group in trainer.state.optimizer.param_groups] == [5e-4, 5e-4]
    assert finite_checkpoints(tmp_path) == [0, 2, 4, 6]
    warnings = [json.loads(line) for line in (tmp_path / "warnings.jsonl").read_text().splitlines()]
    assert [(row["step"], row["warning"].split(":")[0]) for row in warnings if "Went back" in row["warning"]] == [
        (2, "the gradient of step 4 is not finite (norm nan)")
    ]
    assert "Went back to step 2, to 0.5 of the learning rates (1 of 5 times)" in warnings[-1]["warning"]


def test_what_was_lowered_stays_so_in_a_new_process_and_under_a_schedule(tmp_path, monkeypatch):
    first = made(tmp_path, on_divergence="rollback", lr_scheduler_type="linear")
    poison(first, monkeypatch, 3, 1, math.nan)
    for _ in range(4):
        first.training_step()
    again = made(tmp_path, on_divergence="rollback", lr_scheduler_type="linear")
    again.train()
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    by_hand = [1e-3 * (1 - done / STEPS) * (0.5 if done >= 2 else 1) for done in range(STEPS)]
    assert [row["learning_rate"] for row in rows] == pytest.approx(by_hand, rel=1e-12)
    assert again.state.lowered == 1


def test_a_run_that_was_stopped_goes_on_with_a_way_back(tmp_path, monkeypatch):
    """The option is no part of what tells runs apart; the way back itself comes out the same in every process."""
    last = []
    for name, stopped in (("whole", False), ("stopped", True)):
        folder = tmp_path / name
        if stopped:
            trainer = made(folder)
            poison(trainer, monkeypatch, 3, 2, math.nan)
            trainer.state.torn = False
            with pytest.raises(DivergenceError):
                trainer.train()
            (folder / "checkpoints" / "step-000003").rename(folder / "cut-short")
        trainer = made(folder, on_divergence="rollback")
        poison(trainer, monkeypatch, 3, 2, math.nan)
        trainer.train()
        last.append((folder / "metrics.jsonl").read_bytes())
    assert last[0] == last[1]


def test_each_way_back_is_told_also_of_those_to_one_checkpoint(tmp_path, monkeypatch):
    trainer = made(tmp_path, on_divergence="rollback")
    poison(trainer, monkeypatch, 4, 1, math.nan, times=3)
    trainer.train()
    told = [json.loads(line)["warning"] for line in (tmp_path / "warnings.jsonl").read_text().splitlines()]
    back = [warning.rpartition("Went back to ")[2] for warning in told if "Went back" in warning]
    assert back == [
        f"step 2, to {share} of the learning rates ({times} of 5 times)"
        for times, share in ((1, 0.5), (2, 0.25), (3, 0.125))
    ]


def test_a_run_that_diverges_again_and_again_stops(tmp_path, monkeypatch):
    trainer = made(tmp_path, on_divergence="rollback")
    poison(trainer, monkeypatch, 1, 1, math.inf, times=99)
    with pytest.raises(DivergenceError, match="the gradient of step 1 is not finite"):
        trainer.train()
    assert 99 - poison.left == 1 + divergence.MOST
    assert finite_checkpoints(tmp_path) == [0]


@pytest.mark.parametrize(("on_divergence", "saved"), [("stop", [2]), ("rollback", [0, 2, 4, 6])])
def test_figures_that_explode_are_neither_logged_nor_saved(on_divergence, saved, tmp_path, monkeypatch):
    trainer, plain, left = made(tmp_path, on_divergence=on_divergence), divergence.check_figures, [1]

    def check(metrics, run):
        explode = metrics["step"] == 4 and left and left.pop()
        plain({**metrics, "kl_ref": 2e9} if explode else metrics, run)

    monkeypatch.setattr("gaard.training.trainer.check_figures", check)
    if on_divergence == "stop":
        with pytest.raises(DivergenceError, match=r"kl_ref=2e\+09 of step 4 is beyond 1e\+09"):
            trainer.train()
        assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 3
    else:
        trainer.train()
    assert finite_checkpoints(tmp_path) == saved


def test_a_learning_rate_without_measure_is_told_as_such(tmp_path):
    """Nothing is injected: weights, logits and gradients overflow by themselves."""
    with pytest.raises(GaardError, match=r"of step [12]") as caught:
        made(tmp_path, learning_rate=1e30, advantages={"name": "gae", "value_learning_rate": 1e30}).train()
    assert isinstance(caught.value, DivergenceError)
    finite_checkpoints(tmp_path)


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    trainer = made(tmp_path)
    trainer.training_step()
    trainer.run.save()
    trainer.state.step = 2
    with torch.no_grad():
        next(trainer.policy.parameters()).view(-1)[0] = math.nan
    with pytest.raises(DivergenceError, match="not finite after step 2, and no checkpoint was written"):
        trainer.run.save()
    assert finite_checkpoints(tmp_path) == [1]
    assert load_checkpoint(tmp_path / "checkpoints", trainer.policy, trainer.state.optimizer)["step"] == 1
    next(iter(trainer.state.optimizer.state.values()))["exp_avg"].view(-1)[0] = math.inf
    with pytest.raises(DivergenceError, match="weights or optimizer"):
        trainer.run.save()


def test_a_limit_grows_with_the_rewards(tmp_path):
    run = made(tmp_path, max_steps=1).run
    healthy = {"step": 1, "reward": 0.0, "reward_std": 1.0, "trained_reward": 0.0, "grad_norm": 9e8, "kl_ref": 749.0}
    divergence.check_figures(healthy, run)
    with pytest.raises(DivergenceError, match=r"grad_norm=1\.1e\+09 of step 1"):
        divergence.check_figures({**healthy, "grad_norm": 1.1e9}, run)
    divergence.check_figures({**healthy, "grad_norm": 9e14, "reward": 1e3}, run)
    divergence.check_figures({**healthy, "hack_rate": math.nan}, run)  # nobody said what a hack is
    for name in divergence.FINITE:
        with pytest.raises(DivergenceError, match=f"{name}=(nan|inf) of step 1 is not finite"):
            divergence.check_figures({**healthy, "trained_reward": 0.0, name: math.inf}, run)


def test_since_when_figures_have_risen():
    rows = [{"step": i, "grad_norm": 1.0, "kl_ref": 0.5, "hacks": 2.0} for i in range(1, 10)]
    assert divergence.risen(rows) == ""
    rows += [{"step": 10 + i, "grad_norm": 11.0 * (i + 1), "kl_ref": 4.9} for i in range(3)]
    assert divergence.risen(rows) == "grad_norm above 10 times its median since step 10"
    assert divergence.risen([]) == ""
    run = SimpleNamespace(log=SimpleNamespace(read=lambda name: rows), args=SimpleNamespace(on_divergence="stop"))
    assert "Before: grad_norm above 10 times its median since step 10." in str(divergence.diverged("x", run))


def test_logits_that_are_not_numbers_give_a_token_that_there_is():
    logits = torch.tensor([[0.0, 1.0, 2.0], [math.nan, 0.0, 1.0], [math.inf, 0.0, 1.0]])
    drawn = draw(logits, torch.tensor([0.5, 0.5, 0.5], dtype=torch.float64))
    assert drawn.tokens.tolist()[0] == 2  # shares e^0 : e^1 : e^2, of which the first two have 0.335
    assert all(0 <= token < 3 for token in drawn.tokens.tolist())
