"""A KL coefficient that follows the KL: two controllers, whose memory stands in checkpoints."""

from collections.abc import Sequence
from dataclasses import dataclass

from gaard.method.control import PIDMemory, adapted, pid
from gaard.regularizers.base import Regularizer
from gaard.settings import Gain, NotNegative, Positive, ShareBelowOne


@dataclass(frozen=True)
class PIDKL(Regularizer):
    """The KL coefficient is the Lagrange multiplier of a limit on the KL, by PID control (arXiv 2007.03964).

    The coefficient is never above 100. It is updated before the updates of a step, by the KL of its rollout.

    Attributes:
        target: Nats a token that kl_ref is held at or below.
        kp: Proportional gain: coefficient for each nat a token too much.
        ki: Integral gain, from step to step; the integral starts at kl_coef and is never below 0.
        kd: Derivative gain; it counts a rise alone.
        smoothing: Weight of the steps before in what kp and kd see, from 0 to below 1.
    """

    name = "pid-kl"
    controls_kl = True

    target: Positive = 0.25
    kp: NotNegative = 1.0
    ki: NotNegative = 1.0
    kd: NotNegative = 0.0
    smoothing: ShareBelowOne = 0.95

    def control(self, memory: Sequence[float], kl: float) -> tuple[float, list[float]]:
        """See :meth:`Regularizer.control`."""
        coefficient, now = pid(PIDMemory(*memory), kl, self.target, self.kp, self.ki, self.kd, self.smoothing)
        return coefficient, list(now)


@dataclass(frozen=True)
class AdaptiveKL(Regularizer):
    """The KL coefficient grows and shrinks by a share of itself until the KL is on target (arXiv 1909.08593).

    It starts at kl_coef. A step's KL changes the coefficient of the next.

    Attributes:
        target: Nats a token that kl_ref is to have; 0.25 is the authors' 6 nats in 24 tokens.
        gain: K_β: what the coefficient changes by in a step, as a share, is this times the relative error, at most
            0.2; below 5, so that it stays above 0.
    """

    name = "adaptive-kl"
    controls_kl = True
    needs_kl = True

    target: Positive = 0.25
    gain: Gain = 0.1

    def control(self, memory: Sequence[float], kl: float) -> tuple[float, list[float]]:
        """See :meth:`Regularizer.control`."""
        return memory[0], [adapted(memory[0], kl, self.target, self.gain)]
