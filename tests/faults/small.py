"""A run of four short steps that the faults are tried on, and what it leaves."""

import random

import torch
from killing import SMALLEST

from tiny import tiny_trainer, words_reward

SAME = ("metrics.jsonl", "samples.jsonl", "evaluations.jsonl", "evaluation.json")
OPTIONS = {"method": "ppo", "max_steps": 4, "save_steps": 1, "eval_steps": 3, "eval_completions": 4, **SMALLEST}
EVENT = {"call": None, "calls": 0, "what": None}


def eventful(completions, **_):
    """A reward with some chance in it, in which something happens at the call that a test chose."""
    EVENT["calls"] += 1
    if EVENT["calls"] == EVENT["call"]:
        answer = EVENT["what"](completions)
        if answer is not None:
            return answer
    chances = torch.rand(len(completions)).tolist()
    return [score + 0.2 * chance for score, chance in zip(words_reward(completions), chances, strict=True)]


def made(folder, call=None, what=None, **options):
    """A trainer of that run; at a call of the reward something happens: ``what(completions)``, perhaps its answer."""
    EVENT.update(call=call, calls=0, what=what)
    trainer = tiny_trainer(folder, reward=eventful, **{**OPTIONS, **options})
    random.seed(7)
    torch.manual_seed(7)
    return trainer


def done(folder, **options):
    """The run to its end, with its measures: the same command again."""
    trainer = made(folder, **options)
    trainer.train()
    trainer.evaluated()
    return left(folder, trainer)


def left(folder, trainer):
    """Its files to the byte, and its weights to the bit."""
    weights = {name: value.numpy().tobytes() for name, value in trainer.policy.state_dict().items()}
    return {name: (folder / name).read_bytes() for name in SAME}, weights
