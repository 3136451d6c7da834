"""Whatever stops a run, and whichever object goes on with it, it leaves what an undisturbed run leaves, to the byte."""

import json
import warnings

import pytest
import torch
from transformers import AutoModelForCausalLM

from gaard import GAAConfig
from gaard.errors import ConfigError, GaardError
from gaard.training import outcome as outcome_module
from gaard.training import trainer as trainer_module
from marks import slow_but
from tiny import tiny_trainer, words_reward

FILES = ("metrics.jsonl", "samples.jsonl")
STEPS = 6
FAILURE = {"at": None, "calls": 0}  # of the global reward, whose identity has to stay


def fragile(completions, **kwargs):
    """A reward that fails when it is told to, with some chance in it."""
    FAILURE["calls"] += 1
    if FAILURE["at"] == FAILURE["calls"]:
        raise ConnectionError("the reward's server is away")
    chances = torch.rand(len(completions)).tolist()
    return [score + 0.2 * chance for score, chance in zip(words_reward(completions), chances, strict=True)]


def made(folder, **options):
    """A trainer of the run that all tests here are about; the method looks at the greedy branch, the rate decays."""
    torch.manual_seed(7)  # the reward draws from the global generator
    FAILURE.update(at=None, calls=0)
    settings = {"method": "ppo", "max_steps": STEPS, "save_steps": 2, "learning_rate": 1e-2, "warmup_steps": 3}
    trainer = tiny_trainer(folder, reward=fragile, **(settings | {"lr_scheduler_type": "linear"} | options))
    torch.manual_seed(7)
    return trainer


def left(folder) -> list[bytes]:
    return [(folder / name).read_bytes() for name in FILES]


def weights(trainer) -> list[torch.Tensor]:
    return [value.clone() for value in trainer.policy.state_dict().values()]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """What the run leaves if nothing stops it, and its weights."""
    folder = tmp_path_factory.mktemp("undisturbed")
    trainer = made(folder)
    trainer.train()
    return left(folder), weights(trainer)


def check(folder, trainer, undisturbed):
    """The same files, every step once, and the same weights."""
    files, final = undisturbed
    steps = [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert steps == list(range(1, STEPS + 1))
    assert left(folder) == files
    assert all(torch.equal(one, other) for one, other in zip(weights(trainer), final, strict=True))


# One object, asked more than once -------------------------------------------------------------------------------------


def test_a_second_train_does_nothing_more_and_keeps_the_log(tmp_path, undisturbed):
    trainer = made(tmp_path)
    last = trainer.train()
    timings = (tmp_path / "timings.jsonl").read_bytes()
    assert trainer.train() == last
    check(tmp_path, trainer, undisturbed)
    assert (tmp_path / "timings.jsonl").read_bytes() == timings
    assert trainer.state.step == STEPS


def test_training_steps_before_train_are_gone_on_from(tmp_path, undisturbed):
    trainer = made(tmp_path)
    rows = [trainer.training_step() for _ in range(3)]
    trainer.train()
    check(tmp_path, trainer, undisturbed)
    assert [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()][:3] == rows


def test_single_steps_are_a_whole_run(tmp_path, undisturbed):
    trainer = made(tmp_path)
    for _ in range(STEPS):
        trainer.training_step()
    check(tmp_path, trainer, undisturbed)
    assert made(tmp_path).train()["step"] == STEPS
    check(tmp_path, trainer, undisturbed)


def test_a_new_object_goes_on_with_single_steps_too(tmp_path, undisturbed):
    first = made(tmp_path)
    for _ in range(4):
        first.training_step()
    second = made(tmp_path)
    assert second.training_step()["step"] == 5
    assert second.training_step()["step"] == 6
    check(tmp_path, second, undisturbed)


def test_measures_taken_on_the_way_change_nothing(tmp_path, undisturbed):
    state = torch.get_rng_state
    trainer = made(tmp_path)
    for _ in range(3):
        trainer.training_step()
        before = state()
        trainer.evaluate(16)
        torch.set_rng_state(before)  # the reward's own chances
    trainer.train()
    check(tmp_path, trainer, undisturbed)


def test_the_record_is_made_once_a_run(tmp_path, monkeypatch):
    """It hashes every weight and asks git, which no step should wait for."""
    calls, plain = [], outcome_module.model_fingerprint
    monkeypatch.setattr(outcome_module, "model_fingerprint", lambda *a, **k: calls.append(1) or plain(*a, **k))
    trainer = made(tmp_path)
    trainer.train()
    assert len(calls) == 1


# Stopped in the middle of a step --------------------------------------------------------------------------------------


@pytest.mark.parametrize("again", ["the same object", "a new object"])
@pytest.mark.parametrize("call", [1, 2, 3, 4])
def test_a_reward_that_fails_costs_nothing(call, again, tmp_path, undisturbed):
    """At step 1, at step 2 with no checkpoint yet, at step 3 right behind one, and at step 4."""
    trainer = made(tmp_path)
    FAILURE["at"] = call
    with pytest.raises(GaardError, match="the reward's server is away"):
        trainer.train()
    assert trainer.state.step == call - 1
    trainer = made(tmp_path) if again == "a new object" else trainer
    FAILURE["at"] = None
    trainer.train()
    check(tmp_path, trainer, undisturbed)


STOPS = {f"{step}-{update}": (step, update) for step in (1, 3, 4) for update in (1, 2, 4)}


def stop_in(trainer, monkeypatch, step, update, where):
    """Interrupt one update: before its gradient is clipped, or after its weights have moved."""
    calls, plain = [], getattr(*where)

    def interrupted(*given, **keywords):
        if trainer.state.step + 1 == step:
            calls.append(1)
            if len(calls) == update:
                raise KeyboardInterrupt
        return plain(*given, **keywords)

    monkeypatch.setattr(*where, interrupted)
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    monkeypatch.setattr(*where, plain)


@pytest.mark.parametrize("again", ["the same object", "a new object"])
@pytest.mark.parametrize(("step", "update"), slow_but(["1-1", "4-4"], STOPS))
@pytest.mark.parametrize("where", ["clip", "zero_grad"])
def test_an_interrupt_in_an_update_costs_nothing(where, step, update, again, tmp_path, monkeypatch, undisturbed):
    """The gradient that it leaves behind must not reach the next update, nor half a step the next step."""
    trainer = made(tmp_path)
    places = {"clip": (trainer.accelerator, "clip_grad_norm_"), "zero_grad": (trainer.optimizer, "zero_grad")}
    stop_in(trainer, monkeypatch, step, update, places[where])
    moved = trainer.state.torn
    assert moved == (update > 1 or where == "zero_grad")
    if again == "a new object":
        trainer = made(tmp_path)
    elif moved and step == 1:
        with pytest.raises(GaardError, match=r"stopped in the middle of a step.*make a new trainer"):
            trainer.train()
        return
    trainer.train()
    check(tmp_path, trainer, undisturbed)


@pytest.mark.parametrize("update", [1, 2])
def test_a_gradient_that_was_not_finite_is_told_once(update, tmp_path, monkeypatch, undisturbed):
    """At the first update of a step nothing has moved; at a later one the step is cut short and counts."""
    trainer, calls, plain = made(tmp_path), [], trainer_module.check_finite

    def infinite(norm, step, config):
        calls.append(step)
        plain(norm * float("inf") if calls.count(3) == update and step == 3 else norm, step, config)

    monkeypatch.setattr(trainer_module, "check_finite", infinite)
    with pytest.raises(GaardError, match="the gradient of step 3 is not finite"):
        trainer.train()
    assert trainer.state.step == 2 + (update > 1)
    monkeypatch.setattr(trainer_module, "check_finite", plain)
    assert trainer.train()["step"] == STEPS
    if update == 1:
        check(tmp_path, trainer, undisturbed)


def test_an_interrupt_between_two_steps_costs_nothing(tmp_path, monkeypatch, undisturbed):
    trainer = made(tmp_path)
    stop_in(trainer, monkeypatch, 4, 1, (trainer.run, "write_step"))
    trainer.train()
    check(tmp_path, trainer, undisturbed)


# What lies in the folder ----------------------------------------------------------------------------------------------


def test_a_model_saved_into_the_runs_own_folder_leaves_the_run_as_it_was(tmp_path, undisturbed):
    first = made(tmp_path)
    for _ in range(4):
        first.training_step()
    first.save_model(first.args.output_dir)
    again = made(tmp_path)
    again.train()
    check(tmp_path, again, undisturbed)
    again.save_model(again.args.output_dir)
    assert made(tmp_path).train()["step"] == STEPS
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    for name, value in again.policy.lm.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name
    assert json.loads((tmp_path / "run.json").read_text())["config"]["max_steps"] == STEPS


@pytest.mark.parametrize(
    ("lost", "words"),
    [
        ([2], r"lacks 1 of the 4 steps.*from step 2 on"),
        ([3, 4], r"lacks 2 of the 4 steps.*from step 3 on"),
        ([1, 2, 3, 4], r"lacks 4 of the 4 steps.*from step 1 on"),
    ],
)
def test_rows_that_the_log_has_lost_are_warned_of(lost, words, tmp_path):
    first = made(tmp_path)
    for _ in range(4):
        first.training_step()
    path = tmp_path / "metrics.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for step, line in enumerate(lines, 1) if step not in lost))
    with pytest.warns(UserWarning, match=words):
        made(tmp_path).train()


def test_a_whole_log_is_not_warned_of(tmp_path):
    first = made(tmp_path)
    for _ in range(4):
        first.training_step()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made(tmp_path).train()


def test_a_batch_of_one_is_refused():
    """It would never move a weight: the spread of one score is 0."""
    with pytest.raises(ConfigError, match=r"batch_size=1 would never move a weight.*2 or more"):
        GAAConfig("x", batch_size=1, num_mini_batches=1)
    assert GAAConfig("x", batch_size=2, num_mini_batches=1).batch_size == 2
