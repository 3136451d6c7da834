"""Regularisers, one file each: what a user would try against reward hacking beside a method."""

from gaard.extras import need

need("train", __name__)

from collections.abc import Mapping, Sequence
from typing import Any

from gaard.errors import ConfigError
from gaard.regularizers.base import Regularizer
from gaard.regularizers.chi2 import Chi2
from gaard.regularizers.ensemble import Ensemble
from gaard.regularizers.flat import SAM, GradientNorm
from gaard.regularizers.imperfect_detector import ImperfectDetector
from gaard.regularizers.kl_budget import KLBudget
from gaard.regularizers.kl_control import PIDKL, AdaptiveKL
from gaard.regularizers.length_residual import LengthResidual
from gaard.regularizers.max_min import MaxMin
from gaard.regularizers.par import PAR
from gaard.regularizers.policy_filtration import PolicyFiltration
from gaard.regularizers.reference_resets import ReferenceResets
from gaard.settings import Choice

__all__ = [
    "PAR",
    "PIDKL",
    "REGULARIZERS",
    "SAM",
    "AdaptiveKL",
    "Chi2",
    "Ensemble",
    "GradientNorm",
    "ImperfectDetector",
    "KLBudget",
    "LengthResidual",
    "MaxMin",
    "PolicyFiltration",
    "ReferenceResets",
    "Regularizer",
    "find_regularizers",
]

REGULARIZERS: dict[str, type[Regularizer]] = {
    one.name: one
    for one in (
        *(GradientNorm, SAM, ReferenceResets, KLBudget, PAR),
        *(Chi2, MaxMin, PIDKL, AdaptiveKL),
        *(Ensemble, PolicyFiltration, ImperfectDetector, LengthResidual),
    )
}
_regularizer = Choice(Regularizer, REGULARIZERS, "regularizers")


def find_regularizers(given: Any) -> tuple[Regularizer, ...]:
    """The regularisers of a run.

    Args:
        given: One, or a list of them, each as :class:`gaard.settings.Choice` takes it; None for none.

    Returns:
        Them, in that order.

    Raises:
        ConfigError: For one that is not known, or is given twice, or two that take a second gradient or control the KL.
    """
    if given is None:
        return ()
    single = isinstance(given, str | Mapping | Regularizer) or not isinstance(given, Sequence)
    found = tuple(_regularizer(one) for one in ([given] if single else given))
    names = [one.name for one in found]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ConfigError(f"regularizers names {twice!r} twice: leave one out")
    second = [one.name for one in found if one.second_gradient]
    if len(second) > 1:
        raise ConfigError(
            f"regularizers {second[0]!r} and {second[1]!r} each take a second gradient, and what is left of both is "
            "neither: leave one out"
        )
    controllers = [one.name for one in found if one.controls_kl]
    if len(controllers) > 1:
        raise ConfigError(
            f"regularizers {controllers[0]!r} and {controllers[1]!r} each set the KL coefficient: leave one out"
        )
    return found
