"""transformers' callbacks in gaard's loop: when they are called, what they see, and what they can say."""

import json

import pytest
import torch
from transformers import EarlyStoppingCallback, TrainerCallback

from gaard.errors import ConfigError, GaardError
from tiny import bait_reward, tiny_trainer


class Seen(TrainerCallback):
    """Notes each event and the step that it is told."""

    def __init__(self):
        self.events, self.shown = [], []

    def _note(self, name, state, shown):
        self.events.append((name, state.global_step))
        self.shown.append(shown)

    def on_init_end(self, args, state, control, **shown):
        self._note("init_end", state, shown)

    def on_train_begin(self, args, state, control, **shown):
        self._note("train_begin", state, shown)
        self.history = [row["step"] for row in state.log_history]

    def on_step_begin(self, args, state, control, **shown):
        self._note("step_begin", state, shown)

    def on_step_end(self, args, state, control, **shown):
        self._note("step_end", state, shown)

    def on_log(self, args, state, control, logs=None, **shown):
        self._note("log", state, logs)
        logs.clear()  # a callback's own copy

    def on_save(self, args, state, control, **shown):
        self._note("save", state, shown)

    def on_train_end(self, args, state, control, **shown):
        self._note("train_end", state, shown)
        self.end = state


class Saves(TrainerCallback):
    """Asks for a checkpoint at the end of step 2."""

    def on_step_end(self, args, state, control, **shown):
        control.should_save = control.should_save or state.global_step == 2


class StopsEarly(TrainerCallback):
    """Early stopping as one writes it: no better mean reward than the best for so many steps."""

    def __init__(self, patience: int = 1):
        self.patience, self.best, self.since = patience, float("-inf"), 0

    def on_log(self, args, state, control, logs=None, **shown):
        better = logs["reward"] > self.best
        self.best, self.since = (logs["reward"], 0) if better else (self.best, self.since + 1)
        control.should_training_stop = self.since > self.patience


class Fails(TrainerCallback):
    """Raises at one event of one step."""

    def __init__(self, event, step):
        setattr(self, event, self._raise)
        self.step = step

    def _raise(self, args, state, control, **shown):
        if state.global_step == self.step:
            raise ZeroDivisionError("the callback's own mistake")


def checkpoints(folder):
    return sorted(path.name for path in (folder / "checkpoints").iterdir())


def rows(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


STEP = ["step_begin", "step_end", "log"]


def test_events_come_in_transformers_order(tmp_path):
    seen = Seen()
    trainer = tiny_trainer(tmp_path, max_steps=3, save_steps=2, callbacks=[seen])
    trainer.train()
    names = [name for name, _ in seen.events]
    assert names == ["init_end", "train_begin", *STEP, *STEP, "save", *STEP, "save", "train_end"]
    steps = [step for _, step in seen.events]
    assert steps == [0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3]
    assert (seen.end.max_steps, seen.end.is_world_process_zero, seen.end.save_steps) == (3, True, 2)
    assert seen.end.log_history == rows(tmp_path)
    begun = seen.shown[1]
    assert begun["model"] is trainer.policy.lm
    assert begun["processing_class"] is trainer.tokenizer
    assert begun["optimizer"] is trainer.optimizer


def test_logs_are_the_metrics_of_the_step(tmp_path):
    """Each a copy: one that clears them changes neither the file nor what others see."""
    logs = []

    class Keeps(TrainerCallback):
        def on_log(self, args, state, control, logs=None, **shown):
            kept.append(dict(logs))

    kept = logs
    tiny_trainer(tmp_path, max_steps=2, callbacks=[Keeps(), Seen()]).train()
    assert logs == rows(tmp_path)


def test_the_end_of_a_step_shows_the_samples_of_the_whole_batch(tmp_path):
    seen = Seen()
    tiny_trainer(tmp_path, max_steps=1, log_completions=16, callbacks=[seen], reward=bait_reward).train()
    samples = next(
        shown["samples"] for (name, _), shown in zip(seen.events, seen.shown, strict=True) if name == "step_end"
    )
    kept = [json.loads(line) for line in (tmp_path / "samples.jsonl").read_text().splitlines()]
    assert samples.completions == [row["completion"] for row in kept]
    assert samples.prompts == [row["prompt"] for row in kept]
    assert samples.rewards == [row["reward"] for row in kept]
    assert [len(ids) for ids in samples.completion_ids] == [len(row["tokens"]["text"]) for row in kept]
    assert samples.true_rewards is samples.hacked is None


def test_callbacks_change_no_byte_and_are_not_what_a_run_is_told_by(tmp_path):
    tiny_trainer(tmp_path / "plain", save_steps=2).train()
    tiny_trainer(tmp_path / "seen", save_steps=2, callbacks=[Seen()]).train()
    for name in ("metrics.jsonl", "samples.jsonl"):
        assert (tmp_path / "plain" / name).read_bytes() == (tmp_path / "seen" / name).read_bytes()
    ids = [json.loads((tmp_path / name / "run.json").read_text())["id"] for name in ("plain", "seen")]
    assert ids[0] == ids[1]


def test_a_callback_asks_for_a_checkpoint(tmp_path):
    tiny_trainer(tmp_path, max_steps=3, save_total_limit=9, callbacks=[Saves()]).train()
    assert checkpoints(tmp_path) == ["step-000002", "step-000003"]


def test_a_callback_stops_the_run_which_goes_on_without_it(tmp_path):
    """Stopped is not done: the same run without the callback ends as if nothing had stopped it."""
    plain = tiny_trainer(tmp_path / "plain", max_steps=6, callbacks=[])
    plain.train()
    stopped = tiny_trainer(tmp_path / "run", max_steps=6, callbacks=[StopsEarly(patience=0)])
    last = stopped.train()
    rewards = [row["reward"] for row in rows(tmp_path / "plain")]
    expected = next(step for step in range(1, 6) if rewards[step] <= max(rewards[:step])) + 1
    assert last["step"] == stopped.state.step == expected < 6
    assert checkpoints(tmp_path / "run") == [f"step-{expected:06d}"]
    again = tiny_trainer(tmp_path / "run", max_steps=6)
    assert again.train()["step"] == 6
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == (tmp_path / "plain" / "metrics.jsonl").read_bytes()
    for name, weight in plain.policy.state_dict().items():
        assert torch.equal(weight, again.policy.state_dict()[name]), name


def test_a_resumed_run_shows_what_was_logged_before(tmp_path):
    first = tiny_trainer(tmp_path, max_steps=4)
    first.training_step()
    first.training_step()
    first.run.save()
    first.run.close()
    seen = Seen()
    tiny_trainer(tmp_path, max_steps=4, callbacks=[seen]).train()
    assert seen.events[1] == ("train_begin", 2)
    assert seen.history == [1, 2]
    assert seen.end.log_history == rows(tmp_path)


@pytest.mark.parametrize(
    ("event", "step", "kept"),
    [
        ("on_train_begin", 0, 0),
        ("on_step_begin", 2, 2),
        ("on_step_end", 3, 3),
        ("on_log", 3, 3),
        ("on_save", 3, 3),
        ("on_train_end", 4, 4),
    ],
)
def test_a_callback_that_raises_stops_the_run_and_nothing_is_lost(event, step, kept, tmp_path):
    plain = tiny_trainer(tmp_path / "plain")
    plain.train()
    trainer = tiny_trainer(tmp_path / "run", save_steps=3, callbacks=[Fails(event, step)])
    with pytest.raises(ZeroDivisionError, match="own mistake"):
        trainer.train()
    assert trainer.state.step == kept
    assert not kept or checkpoints(tmp_path / "run")[-1] == f"step-{kept:06d}"
    again = tiny_trainer(tmp_path / "run", save_steps=3)
    again.train()
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == (tmp_path / "plain" / "metrics.jsonl").read_bytes()
    for name, weight in plain.policy.state_dict().items():
        assert torch.equal(weight, again.policy.state_dict()[name]), name


def test_the_same_object_goes_on_after_a_callback_raised(tmp_path):
    tiny_trainer(tmp_path / "plain").train()
    fails = Fails("on_step_end", 2)
    trainer = tiny_trainer(tmp_path / "run", callbacks=[fails])
    with pytest.raises(ZeroDivisionError):
        trainer.train()
    fails.step = None
    trainer.train()
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == (tmp_path / "plain" / "metrics.jsonl").read_bytes()


def test_single_steps_call_them_too(tmp_path):
    seen = Seen()
    trainer = tiny_trainer(tmp_path, max_steps=2, callbacks=[seen])
    trainer.training_step()
    assert [name for name, _ in seen.events] == ["init_end", *STEP]
    trainer.training_step()
    with pytest.raises(GaardError, match="the run is done"):
        trainer.training_step()


def test_a_class_is_made_an_object(tmp_path):
    trainer = tiny_trainer(tmp_path, max_steps=1, callbacks=[Saves])
    trainer.train()
    assert any(isinstance(one, Saves) for one in trainer.callbacks.given)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([print], r"callbacks\[0\]=.*print.* is no callback: give an object of a subclass of transformers'"),
        (Seen(), r"callbacks=.*Seen.* must be a list"),
        ([Seen(), EarlyStoppingCallback()], r"callbacks\[1\] is transformers' EarlyStoppingCallback, which goes by"),
    ],
)
def test_what_is_no_callback_is_refused(given, words, tmp_path):
    with pytest.raises(ConfigError, match=words):
        tiny_trainer(tmp_path, callbacks=given)
