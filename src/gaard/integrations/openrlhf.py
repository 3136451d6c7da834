"""Gaard in OpenRLHF (0.11.2), which has no hook: `python -m gaard.integrations.openrlhf` starts its training, folded.

Advantages are computed in a process of Ray's that OpenRLHF starts. What is changed in the script that starts it does
not reach there, so the class of that process is replaced by one that folds first.
"""

import argparse
import functools
import itertools
import runpy
import sys
from typing import Any

import torch

from gaard.advantages import THRESHOLD, checked_threshold, fold_weights, folded
from gaard.errors import ConfigError
from gaard.method.advantages import weighed

GROUPED = ("rloo", "reinforce_baseline", "dr_grpo", "group_norm")
TRAINING = "openrlhf.cli.train_ppo_ray"


def fold(threshold: float = THRESHOLD) -> None:
    """From now on, in this process, fold the advantages that OpenRLHF computes.

    Args:
        threshold: From how many robust standard deviations on an advantage is turned.
    """
    from openrlhf.trainer.ppo_utils.experience_maker import RemoteExperienceMaker

    changed = RemoteExperienceMaker.compute_advantages_and_returns
    own = getattr(changed, "__wrapped__", changed)

    @functools.wraps(own)
    def compute_advantages_and_returns(self: Any, experiences: list[Any]) -> list[Any]:
        return fold_experiences(own(self, experiences), self.args, threshold)

    RemoteExperienceMaker.compute_advantages_and_returns = compute_advantages_and_returns


def fold_experiences(experiences: list[Any], args: Any, threshold: float) -> list[Any]:
    """Fold the advantages of one batch: by group where OpenRLHF compares completions of one prompt, else by token.

    Args:
        experiences: OpenRLHF's, with advantages [B, T], rewards [B] and the places of their completions in the batch;
            together they are the whole batch.
        args: OpenRLHF's arguments.
        threshold: As in :func:`fold`.

    Returns:
        The same experiences, their advantages folded; OpenRLHF's to the last bit where nothing stands out. Their
        returns, from which a critic learns, are as they were.

    Raises:
        ConfigError: A number that is not finite, or a threshold that is not above 0.
    """
    if args.algo.advantage.estimator in GROUPED:
        places = itertools.chain.from_iterable(experience.index for experience in experiences)
        groups = [place // args.rollout.n_samples_per_prompt for place in places]
        rewards = torch.cat([experience.rewards for experience in experiences])
        weights = fold_weights(rewards, groups, threshold).split([len(each.index) for each in experiences])
        for experience, weight in zip(experiences, weights, strict=True):
            experience.advantages = weighed(experience.advantages, weight.unsqueeze(-1))
        return experiences
    masks = [experience.action_mask.bool() for experience in experiences]
    counted = [each.advantages[mask] for each, mask in zip(experiences, masks, strict=True)]
    turned = folded(torch.cat(counted), threshold).split([len(part) for part in counted])
    for experience, mask, part in zip(experiences, masks, turned, strict=True):
        experience.advantages = experience.advantages.masked_scatter(mask, part)
    return experiences


def folding(actor: Any, threshold: float) -> Any:
    """A class of Ray's actors that folds, for one of OpenRLHF's trainers.

    Args:
        actor: The trainer, as `ray.remote` made it.
        threshold: As in :func:`fold`.

    Returns:
        What takes its place.
    """
    import ray

    trainer: Any = actor.__ray_metadata__.modified_class

    class Folding(trainer):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            fold(threshold)
            super().__init__(*args, **kwargs)

    return ray.remote(Folding)


def main() -> None:
    """Start OpenRLHF's training with the arguments of its own script, and `--gaard.threshold`."""
    parser = argparse.ArgumentParser(prog="gaard.integrations.openrlhf", add_help=False, allow_abbrev=False)
    parser.add_argument("--gaard.threshold", dest="threshold", type=float, default=THRESHOLD)
    own, rest = parser.parse_known_args()
    try:
        checked_threshold(own.threshold, "--gaard.threshold")
    except ConfigError as error:
        parser.error(str(error))
    from openrlhf.trainer import ppo_trainer, ppo_trainer_async

    ppo_trainer.PPOTrainer = folding(ppo_trainer.PPOTrainer, own.threshold)
    ppo_trainer_async.TrainingActor = folding(ppo_trainer_async.TrainingActor, own.threshold)
    sys.argv = [sys.argv[0], *rest]
    runpy.run_module(TRAINING, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
