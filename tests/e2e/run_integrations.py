"""Run by test_integrations_real.py in the environment of another trainer: gaard inside the trainer's own code.

What is asserted is asserted here; ``passed`` is printed at the end. What a GPU or a fork of theirs would be needed for
is absent: modules that are imported and not called.
"""

import ast
import importlib.machinery
import importlib.util
import os
import sys
import types
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch

from gaard.advantages import folded
from stand_ins import LOOPHOLE, SIZE, rewards, tokens

OTHERS = torch.arange(32) != LOOPHOLE
NAMES = np.array([f"prompt {i // SIZE}" for i in range(32)], dtype=object)


class Absent(types.ModuleType):
    """A module of which any name can be imported."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


def absent(*names: str) -> None:
    for name in names:
        module = Absent(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
        module.__path__ = []
        sys.modules[name] = module


def without_init(package: str, *parts: str) -> None:
    """Parts of a package whose files can be imported, while what the parts themselves import is not."""
    root = Path(importlib.util.find_spec(package).submodule_search_locations[0])
    for part in parts:
        module = types.ModuleType(f"{package}.{part}")
        module.__path__ = [str(root.joinpath(*part.split(".")))]
        sys.modules[module.__name__] = module


def the_loophole_alone_is_turned(mine: torch.Tensor, own: torch.Tensor) -> None:
    assert torch.equal(mine[OTHERS], own[OTHERS])
    assert torch.equal(mine[LOOPHOLE], -own[LOOPHOLE])
    assert own[LOOPHOLE, 0] > 1


def verl() -> None:
    """By verl's own ``compute_advantage``, and by the entry point that verl finds itself."""
    from omegaconf import OmegaConf
    from verl import DataProto
    from verl.trainer.ppo import core_algos
    from verl.trainer.ppo.ray_trainer import compute_advantage

    assert "gaard.integrations.verl" in sys.modules
    usual = {"norm_adv_by_std_in_grpo": True, "use_pf_ppo": False}

    def computed(name: str, paid: torch.Tensor, by_deviation: bool = True, **changed: float) -> DataProto:
        pay, mask = tokens(paid)
        tensors = {"token_level_rewards": pay, "response_mask": mask, "values": torch.full_like(pay, 0.2)}
        data = DataProto.from_dict(tensors, non_tensors={"uid": NAMES})
        config = OmegaConf.create(usual | changed)
        OmegaConf.set_struct(config, True)  # as Hydra gives it
        how = {"gamma": 1.0, "lam": 0.9, "norm_adv_by_std_in_grpo": by_deviation, "config": config}
        return compute_advantage(data, name, **how).batch

    for ours, theirs, by_deviation in (("grpo", "grpo", True), ("dr_grpo", "grpo", False), ("rloo", "rloo", True)):
        for paid in (rewards(), rewards(20.0)):
            mine, own = computed(f"gaard_{ours}", paid), computed(theirs, paid, by_deviation)
            assert torch.equal(mine["returns"], own["returns"])
            if paid.max() < 2:
                assert torch.equal(mine["advantages"], own["advantages"])
            else:
                the_loophole_alone_is_turned(mine["advantages"], own["advantages"])
        high = computed(f"gaard_{ours}", rewards(20.0), gaard_threshold=1e6)["advantages"]
        assert torch.equal(high, computed(theirs, rewards(20.0), by_deviation)["advantages"])

    plugin, own = sys.modules["gaard.integrations.verl"], computed("gae", rewards(20.0))
    assert not hasattr(core_algos.compute_gae_advantage_return, "__wrapped__")
    plugin.fold_gae(4.0)
    mine, mask = computed("gae", rewards(20.0)), own["response_mask"].bool()
    assert torch.equal(mine["advantages"][mask], folded(own["advantages"], 4.0, mask=mask)[mask])
    assert not torch.equal(mine["advantages"], own["advantages"])
    assert torch.equal(mine["returns"], own["returns"])


def verl_gae() -> None:
    """With the environment variable, which the plugin reads while verl is imported."""
    from verl.trainer.ppo import core_algos

    assert os.environ["GAARD_FOLD_GAE"]
    assert hasattr(core_algos.compute_gae_advantage_return, "__wrapped__")


def skyrl() -> None:
    """By SkyRL's own ``compute_advantages_and_returns``, and by its registry, through Ray and without."""
    import typing

    import typing_extensions

    typing.TypedDict = typing_extensions.TypedDict  # or pydantic refuses SkyRL's types with Python 3.11
    import ray
    from skyrl.backends.skyrl_train.utils import ppo_utils

    from gaard.integrations.skyrl import register

    def computed(name: str, paid: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        pay, mask = tokens(paid)
        return ppo_utils.compute_advantages_and_returns(
            pay, mask, NAMES, name, config=None, values=torch.full_like(pay, 0.2), gamma=1.0, lambd=0.9
        )

    register(3.5)
    for name in ("grpo", "rloo"):
        for mine, own in zip(computed(f"gaard_{name}", rewards()), computed(name, rewards()), strict=True):
            assert torch.equal(mine, own)
        the_loophole_alone_is_turned(computed(f"gaard_{name}", rewards(20.0))[0], computed(name, rewards(20.0))[0])
    (mine, returns), (own, own_returns) = (computed(name, rewards(20.0)) for name in ("gaard_gae", "gae"))
    mask = tokens(rewards())[1].bool()
    assert torch.equal(mine[mask], folded(own, 3.5, mask=mask)[mask])
    assert not torch.equal(mine, own)
    assert torch.equal(returns, own_returns)

    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
    ppo_utils.sync_registries()
    actor = ray.get_actor(ppo_utils.AdvantageEstimatorRegistry._actor_name)
    elsewhere = ppo_utils.cloudpickle.loads(ray.get(actor.get.remote("gaard_grpo")))
    pay, mask = tokens(rewards(20.0))
    there, _ = elsewhere(token_level_rewards=pay, response_mask=mask, index=NAMES, values=None)
    assert torch.equal(there, computed("gaard_grpo", rewards(20.0))[0])


def openrlhf() -> None:
    """By OpenRLHF's own ``RemoteExperienceMaker``; deepspeed and the actors on GPUs are absent."""
    without_init("openrlhf", "models", "utils", "trainer.ray")
    absent("deepspeed", "openrlhf.trainer.ray.launcher")
    from openrlhf.trainer.ppo_utils.experience import Experience
    from openrlhf.trainer.ppo_utils.experience_maker import RemoteExperienceMaker

    from gaard.integrations.openrlhf import GROUPED, fold

    def computed(estimator: str, paid: torch.Tensor) -> list[Experience]:
        pay, mask = tokens(paid)
        advantage = SimpleNamespace(estimator=estimator, gamma=1.0, lambd=0.9, no_std_norm=False)
        args = SimpleNamespace(
            algo=SimpleNamespace(advantage=advantage),
            rollout=SimpleNamespace(n_samples_per_prompt=SIZE, max_new_tokens=5),
            reward=SimpleNamespace(clip_range=None, overlong_buffer_len=None, stop_properly_penalty_coef=None),
        )
        maker = RemoteExperienceMaker(None, None, None, None, SimpleNamespace(value=0.0), SimpleNamespace(args=args), 0)
        order = torch.randperm(32, generator=torch.Generator().manual_seed(1))
        made = [
            Experience(
                index=places.tolist(),
                rewards=paid[places],
                values=torch.full_like(pay[places], 0.2),
                kl=torch.zeros_like(pay[places]),
                action_mask=mask[places].bool(),
            )
            for places in order.tensor_split((5, 12, 15))
        ]
        return maker.compute_advantages_and_returns(made)

    estimators = (*GROUPED, "gae", "reinforce", "flash_reinforce")
    batches = {"plain": rewards(), "loophole": rewards(20.0)}
    own = {(name, kind): computed(name, paid) for name in estimators for kind, paid in batches.items()}
    fold(3.0)
    for (name, kind), theirs in own.items():
        mine = computed(name, batches[kind])
        assert all(torch.equal(a.returns, b.returns) for a, b in zip(mine, theirs, strict=True))
        now, before = (torch.cat([each.advantages for each in made]) for made in (mine, theirs))
        places = torch.tensor([place for each in mine for place in each.index])
        mask = torch.cat([each.action_mask for each in mine])
        if name not in GROUPED:
            assert torch.equal(now[mask], folded(before[mask], 3.0))
        elif kind == "plain":
            assert torch.equal(now, before)
        else:
            the_loophole_alone_is_turned(now[places.argsort()], before[places.argsort()])


def slime() -> None:
    """By ``_post_process_rewards`` of slime's rollouts and ``compute_advantages_and_returns`` of its training.

    Two processes share the batch; Megatron's groups are played by torch's.
    """
    rank, meeting = int(sys.argv[2]), sys.argv[3]
    torch.distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
    absent("megatron", "megatron.core")
    sys.modules["megatron.core"].mpu = SimpleNamespace(
        is_pipeline_last_stage=lambda: True,
        get_context_parallel_rank=lambda: 0,
        get_context_parallel_world_size=lambda: 1,
        get_data_parallel_group=lambda with_context_parallel=False: torch.distributed.group.WORLD,
    )
    without_init("slime", "backends", "backends.megatron_utils")
    from slime.backends.megatron_utils import loss

    from gaard.integrations import slime as gaard

    usual = {"advantage_estimator": "grpo", "rewards_normalization": True, "grpo_std_normalization": True}
    usual |= {"n_samples_per_prompt": SIZE, "rollout_batch_size": 4, "kl_coef": 0.0, "use_rollout_logprobs": False}
    usual |= {"use_opd": False, "normalize_advantages": False, "gamma": 1.0, "lambd": 0.9}
    usual |= {"custom_advantage_function_path": None}

    own_rewards = slimes_rewards(Path(importlib.util.find_spec("slime").submodule_search_locations[0]))
    for paid in (rewards(), rewards(20.0)):
        samples = [SimpleNamespace(get_reward_value=lambda args, x=x: x) for x in paid.tolist()]
        for changed in ({}, {"grpo_std_normalization": False}, {"advantage_estimator": "reinforce_plus_plus_baseline"}):
            args = SimpleNamespace(**usual | changed)
            (raw, mine), (own_raw, own) = gaard.rewards(args, samples), own_rewards(args, samples)
            assert raw == own_raw
            turned = [i for i, (now, before) in enumerate(zip(mine, own, strict=True)) if now != before]
            assert turned == ([LOOPHOLE] if paid.max() > 2 else [])
            assert all(mine[i] == -own[i] for i in turned)

    def data() -> dict[str, object]:
        mask = tokens(rewards())[1][rank::2].bool()
        lengths = mask.sum(dim=1).tolist()
        return {
            "rewards": rewards(20.0)[rank::2].tolist(),
            "log_probs": [torch.zeros(n) for n in lengths],
            "values": [torch.linspace(0.1, 0.6, n) for n in lengths],
            "loss_masks": [torch.ones(n, dtype=torch.int) for n in lengths],
            "response_lengths": lengths,
            "total_lengths": [n + 7 for n in lengths],
        }

    own, mine = data(), data()
    args = SimpleNamespace(**usual | {"advantage_estimator": "ppo"})
    loss.compute_advantages_and_returns(args, own)
    args.custom_advantage_function_path = "gaard.integrations.slime.advantages"
    loss.compute_advantages_and_returns(args, mine)
    parts: list = [None, None]
    torch.distributed.all_gather_object(parts, torch.cat(own["advantages"]))
    expected = folded(torch.cat(parts), 3.0).split([len(part) for part in parts])[rank]
    assert torch.equal(torch.cat(mine["advantages"]), expected)
    assert torch.equal(expected, parts[rank]) == (rank == 0)  # the loophole is the other process's
    assert torch.equal(torch.cat(mine["returns"]), torch.cat(own["returns"]))


def slimes_rewards(root: Path):
    """The method alone: its file imports SGLang."""
    tree = ast.parse((root / "ray" / "rollout.py").read_text(encoding="utf-8"))
    method = next(n for n in ast.walk(tree) if getattr(n, "name", "") == "_post_process_rewards")
    method.args.args[1].annotation = None
    space = {"torch": torch}
    exec(compile(ast.Module([method], []), "rollout.py", "exec"), space)
    return lambda args, samples: space[method.name](
        SimpleNamespace(args=args, custom_reward_post_process_func=None), samples
    )


if __name__ == "__main__":
    {"verl": verl, "verl_gae": verl_gae, "skyrl": skyrl, "openrlhf": openrlhf, "slime": slime}[sys.argv[1]]()
    print("passed")
