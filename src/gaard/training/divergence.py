"""Training that diverges: numbers that are not finite, or explode, stop a run or take it back at a lower rate.

Nothing here asks the device for a number that the log does not ask for already; weights are looked at when they are
saved. docs/divergence.md says why the limit is what it is.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from gaard.errors import DivergenceError
from gaard.training import runlog

if TYPE_CHECKING:
    from gaard.training.run import Run
    from gaard.training.state import TrainingState

SCALED = ("loss", "policy_loss", "value_loss", "grad_norm", "value")  # they grow with the rewards
KLS = ("old_kl", "kl_ref")  # they do not
FINITE = (*SCALED, *KLS, "entropy", "reward", "trained_reward")
LIMIT = 1e9  # of 105,000 recorded steps none has a KL above 750, and of 22,000 none a gradient norm above 424
LOWER = 0.5  # what a way back makes of the learning rates
MOST = 5  # ways back of one run
RISEN = 10.0  # times its median: from there on a figure is said to have risen


def check_figures(metrics: Mapping[str, float], run: Run) -> None:
    """Stop a step whose numbers say that training has diverged, before it is logged or saved.

    Args:
        metrics: Of the step.
        run: Whose.

    Raises:
        DivergenceError: Naming the first number, how large it may be, since when it has risen, and what helps.
    """
    rewards = max(1.0, metrics["reward"] ** 2 + metrics["reward_std"] ** 2, metrics["trained_reward"] ** 2)
    for name in FINITE:
        figure = metrics.get(name, 0.0)
        limit = LIMIT * rewards if name in SCALED else LIMIT if name in KLS else math.inf
        if not math.isfinite(figure):
            told = "is not finite"
        elif abs(figure) > limit:
            told = f"is beyond {limit:.3g}, which no run that learns comes near"
        else:
            continue
        raise diverged(f"{name}={figure:.4g} of step {int(metrics['step'])} {told}: {_remedy(run)}", run)


def check_weights(state: TrainingState) -> None:
    """Refuse to save what no training can go on from.

    Args:
        state: Its policy's weights that train, and the optimizer's memory of their gradients.

    Raises:
        DivergenceError: If any of them is not finite.
    """
    weights = [weight for weight in state.policy.parameters() if weight.requires_grad]
    moments = [x for one in state.optimizer.state.values() for x in one.values() if isinstance(x, torch.Tensor)]
    with torch.no_grad():
        finite = [x.isfinite().all().to(weights[0].device) for x in (*weights, *moments) if x.is_floating_point()]
    if finite and not torch.stack(finite).all():
        raise DivergenceError(
            f"weights or optimizer are not finite after step {state.step}, and no checkpoint was written of it: start "
            "again with a lower learning_rate"
        )


def diverged(what: str, run: Run) -> DivergenceError:
    """The error of a run that has diverged.

    Args:
        what: Its beginning: what, in which step, and what helps.
        run: Whose log says since when.

    Returns:
        The error, to be raised.
    """
    since = risen(run.log.read(runlog.METRICS))
    before = f" Before: {since}." if since else ""
    way_back = "" if run.args.on_divergence == "rollback" else (
        "; on_divergence='rollback' goes back to the last checkpoint, at half the rates"
    )  # fmt: skip
    return DivergenceError(f"{what}. What was saved until then is on the disk{way_back}.{before}")


def risen(rows: Sequence[Mapping[str, Any]]) -> str:
    """Since when figures of a log are far above what they were.

    Args:
        rows: Metrics of the steps so far.

    Returns:
        For example ``grad_norm above 10 times its median since step 31``; empty if none is.
    """
    told = []
    for name in (*SCALED, *KLS):
        known = [(row["step"], abs(row[name])) for row in rows if isinstance(row.get(name), float)]
        usual = statistics.median(figure for _, figure in known) if known else 0.0
        above = len(known)
        while above and known[above - 1][1] > RISEN * usual > 0:
            above -= 1
        if above < len(known):
            told.append(f"{name} above {RISEN:g} times its median since step {known[above][0]}")
    return ", ".join(told)


def _remedy(run: Run) -> str:
    """What usually helps."""
    rate = run.args.advantages.critic_learning_rate
    critic = f" or value_learning_rate={rate}" if run.args.advantages.has_critic else ""
    return f"lower learning_rate={run.args.learning_rate}{critic} or max_grad_norm={run.args.max_grad_norm}"


def go_back(run: Run, error: DivergenceError, record: dict[str, Any]) -> None:
    """Take a run back to its last checkpoint, to go on at half the learning rates with other draws.

    Args:
        run: Which has diverged.
        error: How.
        record: Of the run, as it is opened with.

    Raises:
        DivergenceError: The same, if the run is not to go back or has done so as often as it may.
    """
    state = run.state
    lowered = state.lowered + 1
    if run.args.on_divergence != "rollback" or lowered > MOST:
        raise error
    state.torn = True  # so that opening it reads the checkpoint
    run.open(record)
    lower_rates(state, lowered)
    torch.rand(lowered, generator=state.generator)  # the same draws at the same weights would diverge again
    share = LOWER**lowered
    told = f"{error} Went back to step {state.step}, to {share:g} of the learning rates ({lowered} of {MOST} times)"
    run.warn(told, state.step)  # of a later one it would be gone with the next way back


def lower_rates(state: TrainingState, lowered: int) -> None:
    """Lower both learning rates, now and of all steps to come; checkpoints keep that.

    Args:
        state: Of the run.
        lowered: How often they have been lowered, with this time.
    """
    factor = LOWER ** (lowered - state.lowered)
    state.scheduler.base_lrs = [rate * factor for rate in state.scheduler.base_lrs]
    for group in state.optimizer.param_groups:
        group["lr"] *= factor
        group["initial_lr"] *= factor
    state.lowered = lowered
