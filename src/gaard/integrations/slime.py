"""Gaard in slime (0.3.1): rewards that are folded where slime groups them, and a critic's advantages folded by token.

slime shares out a batch over its processes after it has centred rewards. So groups are folded there, in the one process
that has the whole batch; a fold of advantages has to gather them first.
"""

import copy
from typing import Any

import torch
from torch import Tensor

from gaard.advantages import THRESHOLD, fold_weights, folded
from gaard.errors import ConfigError

GROUPED = ("grpo", "gspo", "cispo", "reinforce_plus_plus_baseline")  # what slime centres by group
DIVIDED = GROUPED[:3]


def rewards(args: Any, samples: list[Any]) -> tuple[list[float], list[float]]:
    """For `--custom-reward-post-process-path`: what slime does with rewards there, folded.

    Args:
        args: slime's arguments. ``gaard_threshold`` of the file of `--custom-config-path` is the threshold, 3 where it
            is not set.
        samples: Of the whole batch, B of them, those of one prompt beside each other.

    Returns:
        The rewards as they were, and what slime trains on: less their group's mean, over the group's deviation if
        slime is told so, and folded. slime's own to the last bit where nothing stands out.

    Raises:
        ConfigError: An estimator without groups, a reward that is not finite, or a threshold that is not above 0.
    """
    if args.advantage_estimator not in GROUPED or not args.rewards_normalization:
        raise ConfigError(
            f"advantage_estimator is {args.advantage_estimator!r}, rewards_normalization "
            f"{args.rewards_normalization}: rewards are folded by group with {', '.join(GROUPED)} and normalization; "
            "else set --custom-advantage-function-path gaard.integrations.slime.advantages"
        )
    raw = [sample.get_reward_value(args) for sample in samples]
    paid = torch.tensor(raw, dtype=torch.float)
    # slime takes a batch of another size as one group.
    whole = len(raw) == args.n_samples_per_prompt * args.rollout_batch_size
    size = args.n_samples_per_prompt if whole else len(raw)
    groups = paid.reshape(-1, size)
    shaped = groups - groups.mean(dim=-1, keepdim=True)
    if args.advantage_estimator in DIVIDED and args.grpo_std_normalization:
        shaped = shaped / (shaped.std(dim=-1, keepdim=True) + 1e-6)
    weights = fold_weights(paid, torch.arange(len(raw)) // size, _threshold(args))
    return raw, (shaped.flatten() * weights).tolist()


def advantages(args: Any, rollout_data: dict[str, Any]) -> None:
    """For `--custom-advantage-function-path`: slime's own advantages, then folded token by token over all processes.

    For `ppo` and `reinforce_plus_plus`. What slime does after, whitening among it, it still does.

    Args:
        args: slime's arguments; ``gaard_threshold`` as in :func:`rewards`.
        rollout_data: This process's share of the batch, lists of tensors of one completion each: of its tokens, with
            context parallelism those that this process has; but all of its tokens in ``loss_masks``. ``advantages``
            and ``returns`` are written into it.

    Raises:
        ConfigError: An estimator with groups, an advantage that is not finite, or a threshold that is not above 0.
    """
    if args.advantage_estimator in GROUPED:
        raise ConfigError(
            f"advantage_estimator is {args.advantage_estimator!r}, which has groups: "
            "set --custom-reward-post-process-path gaard.integrations.slime.rewards instead"
        )
    from megatron.core import mpu
    from slime.backends.megatron_utils import loss
    from slime.backends.megatron_utils.cp_utils import slice_log_prob_with_cp

    own = copy.copy(args)
    own.custom_advantage_function_path = None
    own.normalize_advantages = own.use_opd = False
    loss.compute_advantages_and_returns(own, rollout_data)

    lengths = zip(rollout_data["total_lengths"], rollout_data["response_lengths"], strict=True)
    masks = [
        slice_log_prob_with_cp(mask, total, response)
        for mask, (total, response) in zip(rollout_data["loss_masks"], lengths, strict=True)
    ]
    mask = torch.cat(masks).bool()
    mine = torch.cat(rollout_data["advantages"])
    sizes = [len(part) for part in rollout_data["advantages"]]
    turned = _folded(mine[mask], _threshold(args), mpu.get_data_parallel_group(with_context_parallel=True))
    mine[mask] = turned.to(mine.dtype)
    rollout_data["advantages"] = list(mine.split(sizes))


def _folded(mine: Tensor, threshold: float, processes: Any) -> Tensor:
    """This process's advantages [N], folded over those of all processes; each may have another number of them."""
    parts: list[Any] = [None] * torch.distributed.get_world_size(processes)
    torch.distributed.all_gather_object(parts, mine.cpu(), group=processes)
    everyone = torch.cat(parts)
    if not len(everyone):
        return mine
    begin = sum(len(part) for part in parts[: torch.distributed.get_rank(processes)])
    return folded(everyone, threshold)[begin : begin + len(mine)].to(mine.device)


def _threshold(args: Any) -> float:
    return getattr(args, "gaard_threshold", THRESHOLD)
