"""A run that is done goes on to a larger max_steps, as if that had been asked for at first, to the byte."""

import json

import pytest
import torch

from gaard import cli
from gaard.errors import CheckpointError, GaardError
from gaard.training.checkpoint import checkpoints
from tiny import tiny_trainer, words_reward

FILES = ("metrics.jsonl", "samples.jsonl")
METHODS = {"ppo": {"method": "ppo"}, "gaa-expected": {"method": {"name": "gaa", "reading": "expected"}}}


def chance(completions, **kwargs):
    """A reward that draws from a global generator, as a user's may."""
    drawn = torch.rand(len(completions)).tolist()
    return [score + 0.2 * extra for score, extra in zip(words_reward(completions), drawn, strict=True)]


def made(folder, max_steps, **options):
    """A trainer of the run that all tests here are about; its rate warms up beyond the first 4 steps, and stays."""
    torch.manual_seed(7)
    settings = {"method": "ppo", "learning_rate": 1e-2, "warmup_steps": 6, "save_steps": 3, "max_steps": max_steps}
    trainer = tiny_trainer(folder, reward=chance, **(settings | options))
    torch.manual_seed(7)
    return trainer


def left(folder) -> list[bytes]:
    return [(folder / name).read_bytes() for name in FILES]


def kept(folder) -> dict:
    return json.loads((folder / "run.json").read_text())


@pytest.mark.parametrize("options", METHODS.values(), ids=METHODS)
def test_an_extended_run_is_the_straight_one(options, tmp_path):
    """Weights, files, measures and id; also of what remembers texts, and of a run that is extended twice."""
    straight = made(tmp_path / "straight", 8, **options)
    straight.train()
    for steps in (4, 5, 8):
        extended = made(tmp_path / "extended", steps, **options)
        assert extended.train()["step"] == steps
        extended.evaluated()
    assert left(tmp_path / "extended") == left(tmp_path / "straight")
    pairs = zip(extended.policy.state_dict().values(), straight.policy.state_dict().values(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    torch.manual_seed(1)
    measured = straight.evaluate()
    torch.manual_seed(1)
    assert extended.evaluate() == measured
    one, other = kept(tmp_path / "extended"), kept(tmp_path / "straight")
    assert one["id"] == other["id"]
    assert one["config"] == other["config"] | {"output_dir": one["config"]["output_dir"]}
    assert len(one["code"]) == 3  # who asked for each


def test_the_measures_of_the_end_are_taken_anew(tmp_path):
    first = made(tmp_path, 4)
    first.train()
    before = first.evaluated()
    second = made(tmp_path, 6)
    second.training_step()
    assert not (tmp_path / "evaluation.json").exists()  # what was measured is of other weights
    second.train()
    assert second.evaluated() != before
    assert json.loads((tmp_path / "evaluation.json").read_text()) == second.evaluated()


def test_a_run_that_was_stopped_is_extended_too_and_may_end_earlier(tmp_path):
    made(tmp_path / "straight", 6).train()
    stopped = made(tmp_path / "stopped", 9)
    for _ in range(4):
        stopped.training_step()
    assert made(tmp_path / "stopped", 6).train()["step"] == 6
    assert left(tmp_path / "stopped") == left(tmp_path / "straight")


# What is refused ------------------------------------------------------------------------------------------------------


def refused(folder, max_steps, **options) -> str:
    """The message; the folder stays as it was."""
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(CheckpointError) as caught:
        made(folder, max_steps, **options).train()
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    return str(caught.value)


def test_fewer_steps_than_are_done_are_refused(tmp_path):
    made(tmp_path, 4).train()
    message = refused(tmp_path, 3)
    assert f"output_dir='{tmp_path}' holds this run with 4 steps done, and max_steps=3 is less" in message
    assert "give max_steps=4 as before, another output_dir, or --overwrite" in message


@pytest.mark.parametrize("shape", ["linear", "cosine"])
def test_a_rate_that_falls_to_the_end_is_refused(shape, tmp_path):
    made(tmp_path, 4, lr_scheduler_type=shape).train()
    message = refused(tmp_path, 8, lr_scheduler_type=shape)
    assert "max_steps: 4 there, 8 now" in message
    assert f"lr_scheduler_type='{shape}' makes the learning rate of every step depend on max_steps" in message
    assert "another output_dir, or --overwrite" in message
    assert "lr_scheduler_type=constant can be extended" in message


def test_before_the_first_checkpoint_any_max_steps_is_the_same_run(tmp_path):
    made(tmp_path / "a", 8, lr_scheduler_type="linear").training_step()
    made(tmp_path / "a", 4, lr_scheduler_type="linear").train()
    made(tmp_path / "b", 4, lr_scheduler_type="linear").train()
    assert left(tmp_path / "a") == left(tmp_path / "b")


def test_without_the_optimizer_it_is_refused(tmp_path):
    made(tmp_path, 4, save_only_model=True).train()
    assert made(tmp_path, 4).train()["step"] == 4  # there is nothing to train
    message = refused(tmp_path, 8)
    assert f"{checkpoints(tmp_path / 'checkpoints')[0]} was saved without the optimizer (save_only_model)" in message
    assert "max_steps=8 cannot go on from it" in message
    assert "another output_dir, or --overwrite" in message


def test_what_else_differs_is_told_without_max_steps(tmp_path):
    made(tmp_path, 4).train()
    message = refused(tmp_path, 8, seed=3)
    assert "seed: 0 there, 3 now" in message
    assert "max_steps" not in message


def test_a_trainer_that_is_done_says_how_to_go_on(tmp_path):
    trainer = made(tmp_path, 2)
    trainer.train()
    with pytest.raises(GaardError, match="the run is done after step 2: for more, give a larger max_steps"):
        trainer.training_step()


# The command line -----------------------------------------------------------------------------------------------------

TRAIN = ["train", "--batch_size", "4", "--num_mini_batches", "2", "--eval_completions", "8", "--use_cpu", "true"]


def test_the_command_line_extends_a_run(tmp_path, capsys):
    """By the same command with more steps, and from the run's own record."""
    straight, extended = tmp_path / "straight", tmp_path / "extended"
    words = [*TRAIN, "--scenario", "capped"]
    assert cli.main([*words, "--max_steps", "4", "--output_dir", str(straight)]) == 0
    for steps in ("2", "3"):
        assert cli.main([*words, "--max_steps", steps, "--output_dir", str(extended)]) == 0
    config = ["--config", str(extended / "run.json"), "--max_steps", "4", "--output_dir", str(extended)]
    assert cli.main(["train", *config]) == 0
    for name in (*FILES, "evaluation.json", "model/model.safetensors"):
        assert (extended / name).read_bytes() == (straight / name).read_bytes(), name
    assert cli.main([*words, "--max_steps", "3", "--output_dir", str(extended)]) == 2
    assert "4 steps done, and max_steps=3 is less" in capsys.readouterr().err
