"""One tiny run as a process of its own, to be killed or spread: ``run_tiny.py FOLDER [OPTIONS AS JSON] [--draw]``.

With ``--draw`` the reward draws from the global generators; with the option ``bait`` a word pays far too much, with
``featured`` the reward tells its features; with ``poisoned`` a gradient of one process is not a number in that step.
"""

import atexit
import json
import os
import random
import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from transformers import TrainerCallback

from gaard.integrations.transformers import GaardMonitor
from tiny import bait_reward, tiny_trainer, words_reward


class Events(TrainerCallback):
    """Writes each event that it is told, in a file of its process."""

    def __init__(self, folder, rank):
        self.path, self.first = Path(f"{folder}-events-{rank}.jsonl"), rank == 0

    def note(self, event, state, **more):
        assert state.is_world_process_zero == self.first
        with self.path.open("a") as file:
            file.write(json.dumps({"event": event, "step": state.global_step, **more}) + "\n")

    def on_train_begin(self, args, state, control, **_):
        self.note("train_begin", state, history=[row["step"] for row in state.log_history])

    def on_step_end(self, args, state, control, samples=None, **_):
        self.note("step_end", state, texts=samples.completions, rewards=samples.rewards)

    def on_log(self, args, state, control, logs=None, **_):
        self.note("log", state, logs=logs)

    def on_save(self, args, state, control, **_):
        self.note("save", state)
        control.should_training_stop = state.global_step == 2


def drawing_reward(completions, log_metric, log_extra, **kwargs):
    """A reward that draws from each of the global generators, as a user's may, and logs what it sees."""
    log_metric("letters", sum(map(len, completions)) / len(completions))
    log_extra("letters", [len(text) for text in completions])
    drawn = float(torch.rand(()) + np.random.rand() + random.random()) if "--draw" in sys.argv else 0.0
    return [score + drawn * (len(text) % 3) for score, text in zip(words_reward(completions), completions, strict=True)]


class Featured:
    """A reward that is linear in what it tells of a text: its length, and how often two words stand in it."""

    __name__ = "featured"
    weights = np.array([0.02, 0.5, -0.3])

    def features(self, prompts, completions):
        return np.array([[len(text), text.count("w1"), text.count("w2")] for text in completions], dtype=float)

    def __call__(self, prompts, completions, **_):
        return (self.features(prompts, completions) @ self.weights).tolist()


def poison(trainer, step):
    """In that step, once, a gradient of the second process alone is not a number."""
    left = [1] * (trainer.accelerator.process_index == 1)
    weight = next(weight for weight in trainer.policy.parameters() if weight.requires_grad)
    weight.register_hook(
        lambda slope: slope * torch.nan if trainer.state.step + 1 == step and left and left.pop() else slope
    )


def check_process_group_is_left() -> None:
    """Registered before there is a trainer, so that it is called after what the trainer registers."""
    if torch.distributed.is_initialized():
        sys.stderr.write("the process group outlives the run\n")
        sys.stderr.flush()
        os._exit(3)


def main() -> None:
    """Train, save, measure, and begin a second run: all of it works on every rank."""
    folder, options = sys.argv[1], json.loads(sys.argv[2]) if len(sys.argv) > 2 else {}
    if "dtype" in options:
        options["dtype"] = getattr(torch, options["dtype"])
    random.seed(0)
    np.random.seed(0)
    processes = options.pop("processes", 1)
    options["reward"] = bait_reward if options.pop("bait", False) else drawing_reward
    if options.pop("featured", False):
        options["reward"] = Featured()
    poisoned = options.pop("poisoned", None)
    if options.pop("watched", False):
        rank = int(os.environ.get("RANK", 0))
        options["callbacks"] = [Events(folder, rank), GaardMonitor(rules=[])]
    trainer = tiny_trainer(folder, **options)
    assert trainer.accelerator.num_processes == processes, trainer.accelerator.num_processes
    if poisoned is not None:
        poison(trainer, poisoned)
    trainer.train()
    for monitor in trainer.callbacks.given[1:]:
        assert [figures["texts"] for figures in monitor.monitor.figures] == [16, 16]
    trainer.save_model(Path(folder) / "model")
    if processes > 1 and "callbacks" not in options:
        assert trainer.evaluated()["completion_length"] > 0
        tiny_trainer(f"{folder}-second", **options | {"max_steps": 1}).train()


if __name__ == "__main__":
    atexit.register(check_process_group_is_left)
    main()
