"""Methods of training, one file each, and the estimator that gives them their advantages.

``METHODS`` lists them by name. A method of your own is a class in a Python file (docs/methods.md).
"""

from gaard.extras import need

need("train", __name__)

from typing import TYPE_CHECKING, Any

from gaard.methods.base import Method, ObjectiveForm
from gaard.methods.by_group import GRPO, RLOO, ByGroup, DrGRPO
from gaard.methods.estimator import Estimator
from gaard.methods.experience import Estimates, Experience, GreedyTokens, Observation, Rollout
from gaard.methods.fold import Fold
from gaard.methods.gaa import GAA
from gaard.methods.gae import GAE
from gaard.methods.outliers import Clip, Drop, RobustScaling
from gaard.methods.ppo import PPO
from gaard.methods.signcert import SignCert
from gaard.settings import Choice

if TYPE_CHECKING:
    from gaard.method.token_worth import TokenMemory

__all__ = [
    "ESTIMATORS",
    "GAA",
    "GAE",
    "GRPO",
    "METHODS",
    "PPO",
    "RECOMMENDED",
    "RLOO",
    "ByGroup",
    "Clip",
    "DrGRPO",
    "Drop",
    "Estimates",
    "Estimator",
    "Experience",
    "Fold",
    "GreedyTokens",
    "Method",
    "ObjectiveForm",
    "Observation",
    "RobustScaling",
    "Rollout",
    "SignCert",
    "TokenMemory",
    "find_estimator",
    "find_method",
]

METHODS: dict[str, type[Method]] = {
    method.name: method for method in (PPO, Fold, GAA, Drop, Clip, RobustScaling, SignCert)
}
ESTIMATORS: dict[str, type[Estimator]] = {estimator.name: estimator for estimator in (GAE, GRPO, DrGRPO, RLOO)}
RECOMMENDED = GAA.name  # of the safeguards; the default of a run is PPO, since each unlearns some ordinary reward

find_method = Choice(Method, METHODS)
_estimator = Choice(Estimator, ESTIMATORS)


def find_estimator(given: Any) -> Estimator:
    """The estimator of advantages; a mapping without a name means GAE.

    Args:
        given: As :class:`gaard.settings.Choice` takes it.

    Returns:
        The estimator.

    Raises:
        ConfigError: For what is none.
    """
    return _estimator(given, default=GAE.name)


def __getattr__(name: str) -> Any:
    """Import the memory when it is first asked for: it is made of tensors, and help should not wait for torch."""
    if name == "TokenMemory":
        from gaard.method.token_worth import TokenMemory

        return TokenMemory
    raise AttributeError(f"module 'gaard.methods' has no attribute {name!r}")
