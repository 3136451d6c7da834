"""Greedy-Advantage-Aware RLHF (S. Johnson): PPO that also looks at the greedy token x* of every position (G4 to G9)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from gaard.errors import ConfigError
from gaard.method.choices import Granularity, GreedyClip, GreedyRatio, ScaledTerms
from gaard.methods.base import Method, ObjectiveForm
from gaard.methods.experience import Estimates, Experience, GreedyTokens, Observation, Rollout
from gaard.methods.fold import is_sparse
from gaard.settings import Count, NotNegative

if TYPE_CHECKING:  # help should not wait for torch
    from torch import Tensor

    from gaard.method.token_worth import TokenMemory

Reading = Literal["text", "code", "expected"]
GreedyValue = Literal["critic", "samples"]


class Answers(NamedTuple):
    """One answer to each question that Johnson's text leaves open: the options of :class:`GAA` of the same names."""

    greedy_ratio: GreedyRatio
    granularity: Granularity
    scaled_terms: ScaledTerms
    greedy_clip: GreedyClip
    greedy_value: GreedyValue
    candidates: int


READINGS: dict[Reading, Answers] = {
    "text": Answers("own", "token", "surrogate", "outside", "critic", 1),
    "code": Answers("sampled", "minibatch", "objective", "outside", "critic", 1),
    "expected": Answers("own", "token", "surrogate", "outside", "samples", 8),
}


@dataclass(frozen=True)
class GAA(Method):
    """Johnson's method: steps along a·∇J_x + b·∇J_x* (G9), with a and b of G7 and G8.

    Attributes:
        reading: Johnson's text; his published code, which departs from it; or the gap that his appendix means,
            estimated from the run's own samples (expected). It answers those of the next six options that are not
            given (docs/deviations.md).
        greedy_ratio: Ratio that J_x* uses: the greedy token's own, or the sampled token's.
        granularity: Whether η and σ are each token's, or the minibatch's means.
        scaled_terms: Whether a multiplies the surrogate alone, or value loss, KL and entropy too (objective).
        greedy_clip: Whether b stands outside PPO's minimum, or inside, folded into the advantage.
        greedy_value: What values x*: the critic, in the greedy branch (G5), or the run's own samples of that token
            (:func:`expected_tokens`).
        candidates: Among how many of the likeliest tokens x* is the one of best value. With samples the drawn token
            is one more of them; with the critic 1 is the likeliest alone.
        eta_scale: Multiplier of η (G11).
        sigma_scale: Multiplier of σ (G11); 0.5 is the text's σ/2.
        trust_judge: Whether a token has no gap where the run's judge clearly finds its texts better too. It needs
            ``judge_reward_funcs``, and ``greedy_value`` samples.
    """

    name = "gaa"

    reading: Reading = "expected"
    greedy_ratio: GreedyRatio | None = None
    granularity: Granularity | None = None
    scaled_terms: ScaledTerms | None = None
    greedy_clip: GreedyClip | None = None
    greedy_value: GreedyValue | None = None
    candidates: Count | None = None
    eta_scale: NotNegative = 1.0
    sigma_scale: NotNegative = 0.5
    trust_judge: bool = False

    def __post_init__(self) -> None:
        """Check the options, and that they go together.

        Raises:
            ConfigError: Naming the option, its value and the remedy.
        """
        super().__post_init__()
        if self.trust_judge and self.answers.greedy_value != "samples":
            raise ConfigError("method 'gaa': trust_judge=True asks what texts say of x*: set greedy_value: samples")

    @property
    def answers(self) -> Answers:
        """The reading's, but for those that were given."""
        given = {name: getattr(self, name) for name in Answers._fields if getattr(self, name) is not None}
        return READINGS[self.reading]._replace(**given)

    @property
    def observes(self) -> Observation:
        """The greedy branch, or the likeliest tokens alone."""
        answers = self.answers
        if answers.greedy_value == "samples":
            return Observation(candidates=answers.candidates)
        return Observation(greedy_branch=True, candidates=answers.candidates if answers.candidates > 1 else 0)

    @property
    def objective(self) -> ObjectiveForm:
        """As the reading has it."""
        answers = self.answers
        return ObjectiveForm(answers.greedy_ratio, answers.scaled_terms, answers.greedy_clip)

    def greedy(self, estimates: Estimates, rollout: Rollout, memory: TokenMemory) -> GreedyTokens:
        """X*, its advantage and the gap (G4 to G6), as the reading finds them."""
        if self.answers.greedy_value == "samples":
            return expected_tokens(estimates, rollout, memory, self.trust_judge)
        return likeliest_tokens(estimates, rollout)

    def coefficients(self, eta: Tensor, sigma: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Implements G7 and G8 at the granularity of the reading."""
        from gaard.method.coefficients import at_granularity, gaa_coefficients

        granularity = self.answers.granularity
        eta, sigma = at_granularity(eta, mask, granularity), at_granularity(sigma, mask, granularity)
        return gaa_coefficients(eta, sigma, eta_scale=self.eta_scale, sigma_scale=self.sigma_scale)

    def warnings(self, rollout: Rollout) -> list[str]:
        """That rare successes may be unlearned, where samples value x*."""
        if self.answers.greedy_value != "samples" or not is_sparse(rollout.trained_scores):
            return []
        return [
            "most rewards are one number, and method 'gaa' unlearns a token that marks the few above it, as a sign in "
            "a formula does: if those are the successes that you want, train with method='ppo'"
        ]

    def metrics(self, experience: Experience) -> dict[str, float]:
        """The gap, and what the step does to greedy tokens."""
        from gaard.method.masking import masked_mean

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


def likeliest_tokens(estimates: Estimates, rollout: Rollout) -> GreedyTokens:
    """X* as the policy likes it best, and G6 with one-step advantages on both sides.

    A greedy token has no longer ones, and where it is the sampled token the gap must be 0.

    Args:
        estimates: Of the whole batch.
        rollout: The whole batch.

    Returns:
        x*, its advantage by the critic, and the gap to the one token that was sampled.
    """
    from gaard.method.advantages import advantage_gap
    from gaard.method.masking import masked_std

    spread = masked_std(estimates.one_step, rollout.learned_mask)
    gap = advantage_gap(estimates.one_step, estimates.greedy_one_step, spread)
    return GreedyTokens(rollout.greedy_ids, rollout.greedy_logprobs, estimates.greedy_advantages, gap)


def expected_tokens(
    estimates: Estimates, rollout: Rollout, memory: TokenMemory, trust_judge: bool = False
) -> GreedyTokens:
    """X* as the likely token of best value, and the gap of G12: E_x[A(x*) − A(x)] = A(x*), for E_x[A(x)] = 0.

    By G12 A(x*) = (1 − η)·Δ(x*), Δ being how much more x* is worth than the other tokens: what the texts of the run
    say of it, less the error (:mod:`gaard.method.token_worth`). σ is A(x*). J_x* has Δ itself, for x* is moved against
    the other tokens, and not against a mean that holds x* already.

    Args:
        estimates: Of the whole batch.
        rollout: The whole batch, with its candidates.
        memory: What the rollouts before have said of tokens; this one is added.
        trust_judge: Whether a token that the judge clearly finds better too has no gap.

    Returns:
        The best of the candidates and the sampled token; the likeliest, without a gap, where none is known to be
        better than others.

    Raises:
        ConfigError: If a judge is to be trusted, and there is none.
    """
    import torch

    from gaard.method.masking import masked_mean, masked_std, standardize
    from gaard.method.token_worth import evidence

    mask, spread = rollout.learned_mask, masked_std(estimates.advantages, rollout.learned_mask)
    # The mean is 0 already unless whiten_advantages is off: then every token would seem better than the others.
    standard = standardize(estimates.advantages, masked_mean(estimates.advantages, mask), spread)
    judged = _judged(rollout.judge_scores) if trust_judge else None
    known = memory.add(evidence(standard, rollout.logprobs, rollout.completion_ids, mask, judged))
    ids = torch.cat([rollout.candidate_ids, rollout.completion_ids[..., None]], dim=-1)
    logprobs = torch.cat([rollout.candidate_logprobs, rollout.logprobs[..., None]], dim=-1)
    worth = known.at_least(ids).to(logprobs.dtype)
    if trust_judge:
        worth = torch.where(known.judged_better(ids), 0.0, worth)
    best = worth.argmax(-1, keepdim=True)  # the first of equals: the likeliest
    ids, logprobs, worth = (x.gather(-1, best).squeeze(-1) for x in (ids, logprobs, worth))
    worth = torch.where(mask, worth, 0.0)
    return GreedyTokens(ids, logprobs, worth * spread, -torch.expm1(logprobs) * worth)


def _judged(scores: Tensor) -> Tensor:
    """What the judge says of each text of a batch, in standard deviations; [B], 0 of a text that it leaves out."""
    import torch

    known = scores[~scores.isnan()]
    if not len(known):
        raise ConfigError("method 'gaa': trust_judge=True needs a judge: give judge_reward_funcs")
    from gaard.method.masking import masked_mean, masked_std, standardize

    everything = torch.ones_like(known, dtype=torch.bool)
    return standardize(scores, masked_mean(known, everything), masked_std(known, everything)).nan_to_num(nan=0.0)
