"""A reward that fails in the middle of a run: who did it, what is kept, and how the run goes on."""

import json
import math

import pytest
import torch

from gaard.errors import CheckpointError, ConfigError, GaardError, ModelError, RewardError
from gaard.rewards import honeypot
from gaard.training.checkpoint import checkpoints
from gaard.training.scoring import Scorer
from tiny import tiny_trainer, words_reward

STEPS, FAILING = 5, 4


class Faulty:
    """The plain reward until some step; then whatever `fault` makes of its answer."""

    name = "words_reward"  # so that the mended one is the same run's

    def __init__(self, fault, step=FAILING):
        self.fault, self.step = fault, step

    def __call__(self, prompts, completions, **kwargs):
        answer = words_reward(completions)
        return self.fault(prompts, answer) if self.trainer.state.step + 1 == self.step else answer


def raising(prompts, answer):
    return [1 / 0 if prompt == "w3" else value for prompt, value in zip(prompts, answer, strict=True)]


FAULTS = {
    "wrong length": (lambda prompts, answer: answer[:-1], "returned 15 values for 16 completions, first prompt 'w"),
    "NaN": (
        lambda prompts, answer: [math.nan if p == "w3" else x for p, x in zip(prompts, answer, strict=True)],
        "returned nan for completion",
    ),
    "infinite": (lambda prompts, answer: [math.inf] * len(prompts), "not finite in float32"),
    "None for all": (lambda prompts, answer: [None] * len(prompts), "no reward function (words_reward) judges"),
    "raises": (raising, "raised ZeroDivisionError"),
    "no list": (lambda prompts, answer: None, "returned None (NoneType) for 16 completions, first prompt 'w"),
    "a text": (lambda prompts, answer: ["good"] * len(prompts), "this is a str, not a number"),
}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    trainer = tiny_trainer(folder, max_steps=STEPS)
    trainer.train()
    return folder, trainer.policy.state_dict()


def failed(folder, fault, **options) -> str:
    """The message of a run whose reward fails."""
    reward = Faulty(fault, **options)
    trainer = reward.trainer = tiny_trainer(folder, reward=reward, max_steps=STEPS)
    with pytest.raises(RewardError) as caught:
        trainer.train()
    return str(caught.value)


@pytest.mark.parametrize("name", FAULTS)
def test_a_failing_reward_is_named_and_a_mended_one_goes_on(name, undisturbed, tmp_path):
    fault, words = FAULTS[name]
    message = failed(tmp_path, fault)
    assert words in message
    assert "words_reward" in message
    assert "prompt 'w" in message
    if name in ("NaN", "raises"):
        assert "prompt 'w3'" in message
    assert [path.name for path in checkpoints(tmp_path / "checkpoints")] == ["step-000003"]  # save_steps is 25
    with pytest.raises(CheckpointError, match="if a fix of the reward is all, accept_changed_rewards=True goes on"):
        tiny_trainer(tmp_path, max_steps=STEPS).train()
    again = tiny_trainer(tmp_path, max_steps=STEPS, accept_changed_rewards=True)
    steps = []
    again.training_step = lambda original=again.training_step: steps.append(again.state.step + 1) or original()
    again.train()
    assert steps == [4, 5]
    assert (tmp_path / "metrics.jsonl").read_bytes() == (undisturbed[0] / "metrics.jsonl").read_bytes()
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["rewards"] == again.scorer.identity()
    assert len(record["earlier_rewards"]) == 1
    assert all(torch.equal(x, again.policy.state_dict()[key]) for key, x in undisturbed[1].items())


def test_a_reward_that_fails_twice_at_one_step_keeps_the_checkpoint(tmp_path):
    for _ in range(2):
        failed(tmp_path, raising)
        assert [path.name for path in checkpoints(tmp_path / "checkpoints")] == ["step-000003"]


def test_a_reward_that_fails_at_once_leaves_a_run_that_can_begin(tmp_path, undisturbed):
    failed(tmp_path, raising, step=1)
    assert checkpoints(tmp_path / "checkpoints") == []
    tiny_trainer(tmp_path, max_steps=STEPS, accept_changed_rewards=True).train()
    assert (tmp_path / "metrics.jsonl").read_bytes() == (undisturbed[0] / "metrics.jsonl").read_bytes()


def test_a_truth_that_fails_is_named_too(tmp_path):
    def truth(prompts, **kwargs):
        return [math.nan] * len(prompts)

    trainer = tiny_trainer(tmp_path)
    trainer.collector.scorer = Scorer(words_reward, true_reward_funcs=truth)
    with pytest.raises(RewardError, match="'truth' returned nan for completion 0"):
        trainer.train()


def test_the_base_of_a_honeypot_is_named(tmp_path):
    def base(prompts, **kwargs):
        return [math.nan] * len(prompts)

    with pytest.raises(RewardError, match="'base' returned nan for completion 0"):
        tiny_trainer(tmp_path, reward=honeypot(base, word="bait")).train()


def test_a_missing_column_is_named(tmp_path):
    def reward(completions, target):
        return [0.0] * len(completions)

    with pytest.raises(RewardError, match="needs 'target', which is not there"):
        tiny_trainer(tmp_path, reward=reward).train()


def test_an_interrupt_keeps_the_steps_that_were_done(tmp_path, undisturbed):
    def interrupt(prompts, answer):
        raise KeyboardInterrupt

    reward = Faulty(interrupt)
    trainer = reward.trainer = tiny_trainer(tmp_path, reward=reward, max_steps=STEPS)
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    assert [path.name for path in checkpoints(tmp_path / "checkpoints")] == ["step-000003"]
    tiny_trainer(tmp_path, max_steps=STEPS, accept_changed_rewards=True).train()
    assert (tmp_path / "metrics.jsonl").read_bytes() == (undisturbed[0] / "metrics.jsonl").read_bytes()


def test_a_gradient_that_is_no_number_stops_before_the_weights(tmp_path):
    trainer = tiny_trainer(tmp_path, max_steps=2)
    before = {key: x.clone() for key, x in trainer.policy.state_dict().items()}
    trainer.policy.value_head.register_forward_hook(lambda module, args, output: output * float("nan"))
    with pytest.raises(GaardError, match=r"gradient of step 1 is not finite .* lower learning_rate=0\.001"):
        trainer.train()
    assert all(torch.equal(x, trainer.policy.state_dict()[key]) for key, x in before.items())


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [(ConfigError, ValueError), (RewardError, ValueError), (ModelError, ValueError), (CheckpointError, RuntimeError)],
)
def test_errors_are_caught_by_their_own_name_and_by_pythons(kind, builtin):
    assert issubclass(kind, GaardError)
    assert issubclass(kind, builtin)
