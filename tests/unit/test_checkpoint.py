"""A checkpoint gives back exactly what was saved, or says that it cannot."""

import json
import random
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from gaard.errors import CheckpointError
from gaard.training import checkpoint, generators
from gaard.training.checkpoint import checkpoints, load_checkpoint, save_checkpoint
from tiny import tiny_trainer


def network(seed: int, steps: int = 0):
    """A small network with a tied weight and an optimizer that has a state, after some steps."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    net[1].weight = net[0].weight
    optimizer = torch.optim.AdamW([{"params": net[0].parameters(), "lr": 0.1}, {"params": [net[1].bias], "lr": 0.2}])
    for _ in range(steps):
        net(torch.randn(4, 3)).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    return net, optimizer


def flat(state):
    """An optimizer's state as comparable pairs."""
    return {
        (i, name): torch.as_tensor(value).tolist() for i, entries in state.items() for name, value in entries.items()
    }


def test_weights_and_optimizer_come_back_exactly(tmp_path):
    net, optimizer = network(0, steps=3)
    state = {"step": 3, "more": {"a": [1, 2.5, 0.1]}}
    save_checkpoint(tmp_path, net, optimizer, state, keep=2)
    other, fresh = network(1)
    loaded = load_checkpoint(tmp_path, other, fresh)
    assert {key: loaded[key] for key in state} == state
    assert all(torch.equal(x, other.state_dict()[key]) for key, x in net.state_dict().items())
    assert other[1].weight is other[0].weight  # still tied
    assert flat(fresh.state_dict()["state"]) == flat(optimizer.state_dict()["state"])
    assert [group["lr"] for group in fresh.param_groups] == [0.1, 0.2]
    for n, o in ((net, optimizer), (other, fresh)):  # and both go on alike
        n(torch.ones(2, 3)).sum().backward()
        o.step()
    assert all(torch.equal(x, other.state_dict()[key]) for key, x in net.state_dict().items())


def test_without_the_optimizer_the_end_of_training_can_still_be_measured(tmp_path, monkeypatch):
    trainer = tiny_trainer(tmp_path, save_steps=1, save_only_model=True)
    trainer.train()
    earlier, last = sorted((tmp_path / "checkpoints").iterdir())
    assert (earlier / "optimizer.safetensors").exists()
    assert {path.name for path in last.iterdir()} == {"policy.safetensors", "state.json"}
    again = tiny_trainer(tmp_path, save_steps=1, save_only_model=True)
    monkeypatch.setattr(again, "training_step", None)  # it goes on from the end, and has nothing to do
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again.train()
    assert again.evaluate(8) == trainer.evaluate(8)


def draws(own):
    return (
        [random.random() for _ in range(3)] + [random.gauss(0, 1)],
        np.random.standard_normal(3).tolist(),
        torch.randn(3).tolist(),
        torch.rand(3, generator=own).tolist(),
    )


def test_every_generator_comes_back_exactly():
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    own = torch.Generator().manual_seed(7)
    draws(own)  # leaves a second gaussian waiting in python's and numpy's
    states = json.loads(json.dumps(generators.generator_states(own)))
    expected = draws(own)
    random.seed(2), np.random.seed(2), torch.manual_seed(2), own.manual_seed(2)
    assert all(a != b for a, b in zip(draws(own), expected, strict=True))
    generators.restore_generators(states, own)
    assert draws(own) == expected


def test_there_is_nothing_but_safetensors_and_json(tmp_path):
    tiny_trainer(tmp_path, save_steps=2).train()
    files = [path for path in (tmp_path / "checkpoints").rglob("*") if path.is_file()]
    assert len(files) == 6
    assert {path.suffix for path in files} == {".safetensors", ".json"}
    for path in files:
        if path.suffix == ".json":
            json.loads(path.read_text())
        else:  # a length of 8 bytes, then a JSON header
            content = path.read_bytes()
            assert isinstance(json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")]), dict)


def test_the_oldest_go_first_and_steps_are_numbers(tmp_path):
    net, optimizer = network(0, steps=1)
    for step in (999_998, 999_999, 1_000_000):
        save_checkpoint(tmp_path, net, optimizer, {"step": step}, keep=2)
    assert [path.name for path in checkpoints(tmp_path)] == ["step-1000000", "step-999999"]
    assert load_checkpoint(tmp_path, net, optimizer)["step"] == 1_000_000


def test_a_damaged_later_one_takes_no_place_of_a_good_one(tmp_path):
    net, optimizer = network(0, steps=1)
    for step in (2, 4):
        save_checkpoint(tmp_path, net, optimizer, {"step": step}, keep=2)
    (tmp_path / "step-000004" / "state.json").write_text("{")
    save_checkpoint(tmp_path, net, optimizer, {"step": 3}, keep=1)
    assert [path.name for path in checkpoints(tmp_path)] == ["step-000003"]


def test_saving_a_step_again_leaves_the_whole_one_alone(tmp_path, monkeypatch):
    net, optimizer = network(0, steps=1)
    save_checkpoint(tmp_path, net, optimizer, {"step": 2}, keep=1)

    def fail(*args, **kwargs):
        raise AssertionError("deleted or written again")

    monkeypatch.setattr(checkpoint.shutil, "rmtree", fail)
    monkeypatch.setattr(checkpoint, "save_weights", fail)
    assert save_checkpoint(tmp_path, net, optimizer, {"step": 2}, keep=1).name == "step-000002"


# Damage ---------------------------------------------------------------------------------------------------------------


def truncated(path: Path):
    (path / "policy.safetensors").write_bytes((path / "policy.safetensors").read_bytes()[:-100])


def tensors(path: Path) -> Path:
    """The optimizer's file."""
    return sorted(path.glob("*.safetensors"))[0]


def bit_flipped(path: Path):
    content = bytearray(tensors(path).read_bytes())
    content[-1] ^= 1
    tensors(path).write_bytes(content)


def without_a_file(path: Path):
    tensors(path).unlink()


def without_state(path: Path):
    (path / "state.json").unlink()


def of_bad_json(path: Path):
    (path / "state.json").write_text((path / "state.json").read_text()[:-5])


def of_other_json(path: Path):
    (path / "state.json").write_text("[]")


def with_a_digit_changed(path: Path):
    """Still good JSON, but another order of prompts."""
    state = json.loads((path / "state.json").read_text())
    state["generators"]["run"] = ("0" if state["generators"]["run"][0] != "0" else "1") + state["generators"]["run"][1:]
    (path / "state.json").write_text(json.dumps(state))


def emptied(path: Path):
    shutil.rmtree(path)
    path.mkdir()


DAMAGES = [truncated, bit_flipped, without_a_file, without_state, of_bad_json, of_other_json]
DAMAGES += [with_a_digit_changed, emptied]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A finished run of six steps, with checkpoints at steps 2, 4 and 6."""
    folder = tmp_path_factory.mktemp("undisturbed")
    trainer = tiny_trainer(folder, max_steps=6, save_steps=2, save_total_limit=3)
    trainer.train()
    return folder, trainer.policy.state_dict()


def continued(folder):
    """The same command again."""
    trainer = tiny_trainer(folder, max_steps=6, save_steps=2, save_total_limit=3)
    trainer.train()
    return trainer


def same_run(folder, trainer, undisturbed):
    """Metrics to the byte, weights to the bit."""
    assert (folder / "metrics.jsonl").read_bytes() == (undisturbed[0] / "metrics.jsonl").read_bytes()
    assert (folder / "samples.jsonl").read_bytes() == (undisturbed[0] / "samples.jsonl").read_bytes()
    assert all(torch.equal(x, trainer.policy.state_dict()[key]) for key, x in undisturbed[1].items())


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_passed_over_for_the_last_good_one(damage, undisturbed, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(undisturbed[0], folder)
    damage(folder / "checkpoints" / "step-000006")
    damage(folder / "checkpoints" / "step-000004")
    with pytest.warns(UserWarning, match="is damaged") as warned:
        trainer = continued(folder)
    names = [f"step-{step:06d}" for step in (6, 4)]
    assert [name for warning in warned for name in names if name in str(warning.message)] == names
    same_run(folder, trainer, undisturbed)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert tiny_trainer(folder, max_steps=6).train()["step"] == 6  # mended


@pytest.mark.parametrize("damage", DAMAGES)
def test_when_all_are_damaged_the_remedy_is_named(damage, undisturbed, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(undisturbed[0], folder)
    for path in (folder / "checkpoints").iterdir():
        damage(path)
    with pytest.warns(UserWarning, match="is damaged"), pytest.raises(CheckpointError) as caught:
        continued(folder)
    assert str(folder / "checkpoints") in str(caught.value)
    assert f"put back a copy, or delete {folder} and start that run again" in str(caught.value)
    trainer = tiny_trainer(folder, max_steps=6, save_steps=2, overwrite=True)
    trainer.train()
    same_run(folder, trainer, undisturbed)
