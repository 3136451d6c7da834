"""Greedy-Advantage-Aware RLHF (S. Johnson): PPO that also looks at the greedy token x* of every position (G4 to G9)."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from torch import Tensor

from gaard.method.advantages import advantage_gap
from gaard.method.coefficients import Granularity, at_granularity, gaa_coefficients
from gaard.method.masking import masked_mean, masked_std
from gaard.method.objective import GreedyClip, ScaledTerms
from gaard.methods.base import Method, ObjectiveForm
from gaard.methods.experience import Estimates, Experience, Observation
from gaard.settings import NotNegative

Reading = Literal["text", "code"]
GreedyRatio = Literal["own", "sampled"]


class Answers(NamedTuple):
    """One answer to each question that Johnson's text leaves open (docs/deviations.md).

    Attributes:
        greedy_ratio: Ratio that J_x* uses: the greedy token's own, or the sampled token's.
        granularity: Whether η and σ are each token's, or the minibatch's means.
        scaled_terms: Whether a multiplies the surrogate alone, or value loss, KL and entropy too (objective).
        greedy_clip: Whether b stands outside PPO's minimum, or inside, folded into the advantage.
    """

    greedy_ratio: GreedyRatio
    granularity: Granularity
    scaled_terms: ScaledTerms
    greedy_clip: GreedyClip


READINGS: dict[Reading, Answers] = {
    "text": Answers("own", "token", "surrogate", "outside"),
    "code": Answers("sampled", "minibatch", "objective", "outside"),
}


@dataclass(frozen=True)
class GAA(Method):
    """Johnson's method: steps along a·∇J_x + b·∇J_x* (G9), with a and b of G7 and G8.

    Attributes:
        reading: Johnson's text, or his published code, which departs from it. It answers those of the next four
            options that are not given.
        greedy_ratio: See :class:`Answers`.
        granularity: Likewise.
        scaled_terms: Likewise.
        greedy_clip: Likewise.
        eta_scale: Multiplier of η (G11).
        sigma_scale: Multiplier of σ (G11); 0.5 is the text's σ/2.
    """

    name = "gaa"

    reading: Reading = "text"
    greedy_ratio: GreedyRatio | None = None
    granularity: Granularity | None = None
    scaled_terms: ScaledTerms | None = None
    greedy_clip: GreedyClip | None = None
    eta_scale: NotNegative = 1.0
    sigma_scale: NotNegative = 0.5

    @property
    def answers(self) -> Answers:
        """The reading's, but for those that were given."""
        given = {name: getattr(self, name) for name in Answers._fields if getattr(self, name) is not None}
        return READINGS[self.reading]._replace(**given)

    @property
    def observes(self) -> Observation:
        """The greedy branch."""
        return Observation(greedy_branch=True)

    @property
    def objective(self) -> ObjectiveForm:
        """As the reading has it."""
        answers = self.answers
        return ObjectiveForm(answers.greedy_ratio, answers.scaled_terms, answers.greedy_clip)

    def gap(self, estimates: Estimates, mask: Tensor) -> Tensor:
        """Implements G6 with one-step advantages on both sides.

        A greedy token has no longer ones, and where it is the sampled token the gap must be 0.
        """
        return advantage_gap(estimates.one_step, estimates.greedy_one_step, masked_std(estimates.one_step, mask))

    def coefficients(self, eta: Tensor, sigma: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Implements G7 and G8 at the granularity of the reading."""
        granularity = self.answers.granularity
        eta, sigma = at_granularity(eta, mask, granularity), at_granularity(sigma, mask, granularity)
        return gaa_coefficients(eta, sigma, eta_scale=self.eta_scale, sigma_scale=self.sigma_scale)

    def metrics(self, experience: Experience) -> dict[str, float]:
        """The gap, and what the step does to greedy tokens."""
        mask, sigma = experience.rollout.completion_mask, experience.sigma
        raised = (sigma > 0) & (experience.greedy_advantages < 0)
        figures = {
            "sigma": sigma,
            "sigma_positive": sigma.clamp(min=0.0),
            "sigma_saturated": (sigma * self.sigma_scale >= 1.0).double(),
            "greedy_raised": raised.double(),
            "greedy_advantage": experience.greedy_advantages,
        }
        return {name: float(masked_mean(figure, mask)) for name, figure in figures.items()}
