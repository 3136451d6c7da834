"""Terms that regularisers add to a minibatch's loss, each a function of a mean over the whole minibatch.

A function of a mean is no sum over rows, so what a part of the minibatch adds is the slope of the function at the
whole's mean, times the part's share of the mean. The parts' gradients then add up to the whole's, however it is cut.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from gaard.methods.experience import Experience
from gaard.regularizers import Regularizer


def cost_sums(regularizers: tuple[Regularizer, ...], logprobs: Tensor, part: Experience) -> dict[str, Tensor]:
    """Sum and number of what each regulariser penalises in some rows.

    Args:
        regularizers: Of the run; those that do not penalise are passed over.
        logprobs: [b, T], log π_θ(x_t) of the rows.
        part: The rows.

    Returns:
        Name → [2].
    """
    rollout = part.rollout
    sums = {}
    for one in regularizers:
        if one.penalizes:
            costs = one.costs(logprobs, rollout.ref_logprobs, rollout.completion_mask)
            sums[one.name] = torch.stack([costs.sum(), costs.new_tensor(float(costs.numel()))])
    return sums


def added(
    regularizers: tuple[Regularizer, ...], own: Mapping[str, Tensor], whole: Mapping[str, Tensor]
) -> tuple[Tensor, Tensor]:
    """What some rows add to the loss of a minibatch.

    Args:
        regularizers: Of the run.
        own: Of :func:`cost_sums`, of the rows, with gradients.
        whole: The same of the whole minibatch, detached.

    Returns:
        A scalar with the rows' share of the gradient, and their share of the value.
    """
    term = value = torch.zeros((), device=next(iter(own.values())).device)
    for one in regularizers:
        if one.penalizes:
            total, count = whole[one.name].detach()
            mean = (total / count).requires_grad_()
            with torch.enable_grad():
                penalty = one.cost_penalty(mean)
                (slope,) = torch.autograd.grad(penalty, mean)
            term = term + slope * own[one.name][0] / count
            value = value + penalty.detach() * own[one.name][1].detach() / count
    return term, value
