"""`python -m gaard.integrations.openrlhf`: the fold reaches the process of Ray's in which advantages are computed.

The package that stands in for OpenRLHF has the files of 0.11.2 that matter here, and starts its trainers as its
train_ppo_ray.py does: an actor of Ray's, or one within another with ``--train.async_enable``.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pages import ROOT

pytestmark = pytest.mark.slow

FILES = {
    "trainer/ppo_utils/experience_maker.py": """
import torch
from types import SimpleNamespace as N

class RemoteExperienceMaker:
    args = N(algo=N(advantage=N(estimator="dr_grpo")), rollout=N(n_samples_per_prompt=8))
    def compute_advantages_and_returns(self, experiences):
        for each in experiences:
            each.advantages = (each.rewards - each.rewards.mean()).unsqueeze(-1)
        return experiences
""",
    "trainer/ppo_trainer.py": """
import ray
import torch
from types import SimpleNamespace
from openrlhf.trainer.ppo_utils.experience_maker import RemoteExperienceMaker

class BasePPOTrainer:
    def __init__(self, pretrain, *, end):
        self.experience_maker, self.end = RemoteExperienceMaker(), end
    def fit(self):
        paid = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 20.0])
        batch = [SimpleNamespace(rewards=paid, index=list(range(8)))]
        (each,) = self.experience_maker.compute_advantages_and_returns(batch)
        return self.end + ",".join(f"{x:.2f}" for x in each.advantages.flatten().tolist())

@ray.remote
class PPOTrainer(BasePPOTrainer):
    pass
""",
    "trainer/ppo_trainer_async.py": """
import ray
from openrlhf.trainer.ppo_trainer import BasePPOTrainer

@ray.remote
class TrainingActor(BasePPOTrainer):
    def __init__(self, pretrain, *, end):
        super().__init__(pretrain, end=end)

@ray.remote
class PPOTrainerAsync:
    def __init__(self, pretrain, *, end):
        self.trainer_actor = TrainingActor.remote(pretrain, end=end)
    def fit(self):
        return ray.get(self.trainer_actor.fit.remote())
""",
    "cli/train_ppo_ray.py": """
import argparse
import ray

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--train.async_enable", dest="asynchronous", action="store_true")
    args = parser.parse_args()
    ray.init(num_cpus=4, include_dashboard=False)
    if args.asynchronous:
        from openrlhf.trainer.ppo_trainer_async import PPOTrainerAsync as PPOTrainer
    else:
        from openrlhf.trainer.ppo_trainer import PPOTrainer
    print(ray.get(PPOTrainer.remote("model", end="advantages ").fit.remote()))
""",
}
OWN = [-2.75, -2.65, -2.55, -2.45, -2.35, -2.25, -2.15, 17.15]


def started(folder: Path, module: str, *arguments: str) -> list[float]:
    for name, text in FILES.items():
        path = folder / "openrlhf" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    paths = os.pathsep.join(map(str, (folder, ROOT / "src")))
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("advantages "))
    return [float(number) for number in line.removeprefix("advantages ").split(",")]


def test_the_trainers_process_folds_with_the_threshold_that_is_given(tmp_path):
    """17.15 is 4.72 deviations above 0: little more than the threshold, so it is made smaller and not turned."""
    *others, loophole = started(tmp_path, "gaard.integrations.openrlhf", "--gaard.threshold", "4.7")
    assert others == OWN[:-1]
    assert 0 < loophole < OWN[-1]


def test_so_does_an_actor_within_another_with_the_usual_threshold(tmp_path):
    assert started(tmp_path, "gaard.integrations.openrlhf", "--train.async_enable") == [*OWN[:-1], -OWN[-1]]
