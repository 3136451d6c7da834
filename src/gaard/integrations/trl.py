"""gaard's fold inside the trainers of TRL, without a copy of their code.

`safeguarded(GRPOTrainer)` is a subclass that changes one thing: the advantages of completions whose reward stands out.
What TRL does before that (sampling, vLLM, gathering) and after it (the loss, DeepSpeed, FSDP) is TRL's.
"""

from typing import Any, TypeVar

import torch
from torch import Tensor

from gaard.advantages import THRESHOLD, checked_threshold, fold_weights
from gaard.errors import ConfigError, suggest
from gaard.messages import shortened, warn
from gaard.method.advantages import weighed
from gaard.method.groups import neighbours

__all__ = ["safeguarded"]

Trainer = TypeVar("Trainer")
METHODS = ("fold", "none")
HOOKS = ("_calculate_rewards", "_generate_and_score_completions")


def safeguarded(trainer: type[Trainer], method: str = "fold", threshold: float = THRESHOLD) -> type[Trainer]:
    """A trainer's class with a safeguard in it, to be used as the class itself is.

    Args:
        trainer: ``trl.GRPOTrainer``, ``trl.RLOOTrainer``, what Unsloth puts in their place, or a subclass of yours.
        method: ``fold`` turns the advantage of a completion whose reward stands out of its group into its negative
            (:func:`gaard.advantages.fold_weights`) and logs ``gaard/turned``, the share of completions that were
            turned; ``none`` gives back ``trainer`` as it is.
        threshold: From how many robust standard deviations above its group's mean on a reward is turned.

    Returns:
        A subclass of ``trainer``.

    Raises:
        ConfigError: A method that is not known, a threshold that is not above 0, or a trainer that has no groups of
            completions to compare or is safeguarded already.
    """
    if method not in METHODS:
        raise ConfigError(f"method={method!r} is not known: {suggest(str(method), METHODS)}")
    threshold = checked_threshold(threshold, "threshold")
    if not isinstance(trainer, type) or not all(hasattr(trainer, hook) for hook in HOOKS):
        raise ConfigError(
            f"safeguarded({shortened(trainer)}): give the class of a trainer that compares completions of one prompt, "
            "such as trl.GRPOTrainer or trl.RLOOTrainer of TRL 1.16"
        )
    if issubclass(trainer, FoldMixin):
        raise ConfigError(f"{trainer.__name__} is safeguarded already: a second fold would turn back what one turned")
    if method == "none":
        return trainer
    return type(f"Safeguarded{trainer.__name__}", (FoldMixin, trainer), {"gaard_threshold": threshold})


class FoldMixin:
    """Before a trainer in the order of its classes: keeps the rewards, and folds the advantages made of them."""

    gaard_threshold: float
    _gaard_warned = False

    def _calculate_rewards(self, *args: Any, **kwargs: Any) -> Tensor:
        """Keep the rewards [B, functions] of all processes' completions as they come."""
        self._gaard_rewards = super()._calculate_rewards(*args, **kwargs)  # type: ignore[misc]
        return self._gaard_rewards

    def _generate_and_score_completions(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Fold ``advantages`` of this process, [B of it] or [B of it, T], by what stands out of the whole batch."""
        output = super()._generate_and_score_completions(*args, **kwargs)  # type: ignore[misc]
        weights = self._gaard_weights()
        output["advantages"] = _folded(output["advantages"], _share(weights, output["advantages"], self))
        mode = "train" if self.model.training else "eval"  # type: ignore[attr-defined]
        if mode == "train" and self.accelerator.is_main_process and not self._gaard_warned:  # type: ignore[attr-defined]
            self._gaard_warned = _warned_of_successes(_summed(self._gaard_rewards, None)[:, 0], weights)
        self._metrics[mode]["gaard/turned"].append((weights < 0).float().mean().item())  # type: ignore[attr-defined]
        return output

    def _gaard_weights(self) -> Tensor:
        """[B] over all processes, from the trainer's settings."""
        rewards = self._gaard_rewards * self.reward_weights.to(self._gaard_rewards.device)  # type: ignore[attr-defined]
        # Where each reward is divided by its own deviation first, a sum of them says nothing; each is looked at alone.
        if getattr(self, "multi_objective_aggregation", None) != "normalize_then_sum":
            rewards = _summed(rewards, getattr(self, "reward_clip_range", None))
        group = self.num_generations  # type: ignore[attr-defined]
        if not self.model.training:  # type: ignore[attr-defined]
            group = getattr(self, "num_generations_eval", group)  # older classes have one number for both
        return completion_weights(rewards, group, self.gaard_threshold)


def completion_weights(rewards: Tensor, num_generations: int, threshold: float) -> Tensor:
    """What each completion's advantage is multiplied by: 1, and down to −1 the further one of its rewards stands out.

    Args:
        rewards: [B, K], K rewards of each completion; NaN where one is not scored. The completions of a prompt stand
            beside each other.
        num_generations: Completions a prompt.
        threshold: In robust standard deviations.

    Returns:
        [B], in [−1, 1]: exactly 1 where nothing stands out, and where nothing was scored.
    """
    groups = neighbours(rewards, num_generations)
    weights = torch.ones_like(rewards[:, 0])
    for reward in rewards.unbind(dim=1):
        scored = reward.isfinite()
        if scored.any():
            turned = fold_weights(reward[scored], groups[scored], threshold)
            weights[scored] = torch.minimum(weights[scored], turned)
    return weights


def _warned_of_successes(rewards: Tensor, weights: Tensor) -> bool:
    """Whether it was said that rewards are of two numbers, as a verifier's are, and that the higher is unlearned."""
    paid = rewards[rewards.isfinite()].unique()
    successes = rewards == paid[-1:] if len(paid) == 2 else torch.zeros_like(rewards, dtype=torch.bool)
    turned = int((successes & (weights < 0)).sum())
    if turned:
        warn(
            f"completions earn {paid[0]:g} or {paid[1]:g}, and {turned} of the {int(successes.sum())} that earn more "
            "are turned: the fold unlearns what is rare in its group; if those are the successes that you want, train "
            "without it"
        )
    return turned > 0


def _summed(rewards: Tensor, clip_range: tuple[float, float] | None) -> Tensor:
    """[B, 1]: the sum of what is scored, NaN where nothing is, within the range to which RLOO may clip it."""
    summed = torch.where(rewards.isnan().all(dim=1), torch.nan, rewards.nansum(dim=1))
    return (summed.clamp(*clip_range) if clip_range else summed)[:, None]


def _share(weights: Tensor, advantages: Tensor, trainer: Any) -> Tensor:
    """The weights of one process's completions, which stand in the order of the processes."""
    count, accelerator = len(advantages), trainer.accelerator
    if count * accelerator.num_processes != len(weights):
        raise ConfigError(
            f"{type(trainer).__name__} made {count} advantages on each of {accelerator.num_processes} processes of "
            f"{len(weights)} rewards: it drops or adds completions, and so cannot be safeguarded"
        )
    return weights[accelerator.process_index * count :][:count]


def _folded(advantages: Tensor, weights: Tensor) -> Tensor:
    """Advantages [B] or [B, T] by weights [B]; what pushes a completion away already is left."""
    return weighed(advantages, weights.reshape(-1, *[1] * (advantages.ndim - 1)))
