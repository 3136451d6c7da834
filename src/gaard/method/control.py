"""Controllers of a penalty's coefficient: numbers in, numbers out; nothing is remembered here."""

from typing import NamedTuple

HIGHEST = 100.0  # of a PID coefficient, as in the authors' code
CLIPPED = 0.2  # how far an error counts in Ziegler et al.


class PIDMemory(NamedTuple):
    """What a PID controller carries from one step to the next.

    Attributes:
        integral: The sum of the errors times K_I, never below 0.
        error: The errors, smoothed.
        cost: The costs, smoothed.
    """

    integral: float
    error: float = 0.0
    cost: float = 0.0


def pid(
    memory: PIDMemory, cost: float, limit: float, kp: float, ki: float, kd: float, smoothing: float
) -> tuple[float, PIDMemory]:
    """One step of a PID controller of a Lagrange multiplier (Stooke, Achiam and Abbeel, arXiv 2007.03964, alg. 2).

    λ = K_P·e + I + K_D·(c − c_before)₊ between 0 and ``HIGHEST``, with e = cost − limit and the cost c both smoothed
    exponentially, and I ← (I + K_I·(cost − limit))₊. With K_P = K_D = 0 it is the usual dual ascent.

    Args:
        memory: Of the step before.
        cost: What was measured.
        limit: What it should be at most.
        kp: K_P.
        ki: K_I.
        kd: K_D.
        smoothing: Weight of what was before, in [0, 1); 0 smooths nothing.

    Returns:
        λ and the memory of this step.
    """
    error = cost - limit
    integral = max(0.0, memory.integral + ki * error)
    smooth_error = smoothing * memory.error + (1.0 - smoothing) * error
    smooth_cost = smoothing * memory.cost + (1.0 - smoothing) * cost
    rise = max(0.0, smooth_cost - memory.cost)
    coefficient = min(HIGHEST, max(0.0, kp * smooth_error + integral + kd * rise))
    return coefficient, PIDMemory(integral, smooth_error, smooth_cost)


def adapted(coefficient: float, kl: float, target: float, gain: float) -> float:
    """The next coefficient of the adaptive KL (Ziegler et al., arXiv 1909.08593, section 2.2): β·(1 + K·e).

    Args:
        coefficient: β of this step.
        kl: What was measured in it.
        target: What it should be.
        gain: K.

    Returns:
        β of the next step; e is KL/target − 1, cut to ±0.2.
    """
    error = max(-CLIPPED, min(CLIPPED, kl / target - 1.0))
    return coefficient * (1.0 + gain * error)
