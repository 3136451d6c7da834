"""The named readings of the method: each a set of options of one code path (docs/deviations.md gives the reasons)."""

from dataclasses import dataclass
from typing import Literal

from gaard.method.coefficients import (
    Coefficients,
    Granularity,
    constant_coefficients,
    gaa_coefficients,
    only_a,
    only_b,
    ppo_coefficients,
)
from gaard.method.objective import GreedyClip, ScaledTerms

CoefficientsName = Literal["ppo", "gaa", "gaa-a", "gaa-b", "constant"]
GreedyToken = Literal["greedy", "value", "random"]
GreedyRatio = Literal["own", "sampled"]
Method = Literal["ppo", "gaa", "gaa-paper", "gaa-reference"]

COEFFICIENTS: dict[CoefficientsName, Coefficients] = {
    "ppo": ppo_coefficients,
    "gaa": gaa_coefficients,
    "gaa-a": only_a,
    "gaa-b": only_b,
    "constant": constant_coefficients,
}


@dataclass(frozen=True)
class Reading:
    """One answer to each question that the seed leaves open.

    Attributes:
        coefficients: Which (η, σ) → (a, b).
        greedy_ratio: Whether J_x* uses the greedy token's ``own`` ratio or the ``sampled`` token's.
        granularity: η and σ per ``token``, or their ``minibatch`` means.
        scaled_terms: Whether a multiplies the ``surrogate`` alone, or the whole ``objective``.
        greedy_clip: ``reference`` or ``pessimistic``.
        greedy_token: Whether x* is the ``greedy`` token, of the likeliest tokens the one of best ``value``, or a
            ``random`` one drawn from π.
        advantage_fold: From how many robust standard deviations on a sampled advantage is turned into its negative; 0
            turns none.
    """

    coefficients: CoefficientsName
    greedy_ratio: GreedyRatio = "own"
    granularity: Granularity = "token"
    scaled_terms: ScaledTerms = "surrogate"
    greedy_clip: GreedyClip = "reference"
    greedy_token: GreedyToken = "greedy"
    advantage_fold: float = 0.0

    @property
    def observes(self) -> bool:
        """Whether the greedy branch has to be looked at."""
        return self.coefficients != "ppo"


# Of the readings tried, the one that kept out of the honeypots and lost nothing (docs/results.md): the sampled token's
# own advantage in the greedy token's place, for which no other token has to be looked at.
RECOMMENDED = Reading("ppo", advantage_fold=3.0)

PRESETS: dict[Method, Reading] = {
    "ppo": Reading("ppo"),
    "gaa": RECOMMENDED,
    "gaa-paper": Reading("gaa"),
    "gaa-reference": Reading("gaa", "sampled", "minibatch", "objective", "reference"),
}
