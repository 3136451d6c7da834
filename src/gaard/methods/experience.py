"""What a rollout leaves behind, and what the updates are made from: the typed batches that methods see and shape."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # help should not wait for torch
    from torch import Tensor


@dataclass(frozen=True)
class Observation:
    """What a method has to see of a rollout beside the samples themselves.

    Attributes:
        greedy_branch: Whether V(x_<t, x*_t) is computed at every position (G5), and the score of the text that ends on
            the greedy token.
        candidates: How many of the likeliest tokens of each position are kept. With the greedy branch each of them is
            valued, and the one of best value takes the greedy token's place.
        random_token: Whether x* is a further draw from the policy instead of the greedy token.
        reference_hidden: Whether the reference's whole distributions are needed.
        baseline_completions: How many completions of the untrained model are scored beside each prompt.
        reward_features: Whether the reward has to tell the features that it is linear in.
    """

    greedy_branch: bool = False
    candidates: int = 0
    random_token: bool = False
    reference_hidden: bool = False
    baseline_completions: int = 0
    reward_features: bool = False

    @property
    def of_likely_tokens(self) -> bool:
        """Whether anything is asked of tokens that were not sampled."""
        return self.greedy_branch or self.candidates > 0


@dataclass(frozen=True)
class Rollout:
    """One rollout of the whole batch over all processes; [B, T] unless said otherwise.

    Attributes:
        prompt_ids: int64 [B, P], left-padded.
        prompt_mask: bool [B, P].
        completion_ids: int64.
        completion_mask: bool.
        logprobs: log π_old(x_t).
        ref_logprobs: log π_ref(x_t).
        ref_hidden: [B, T, D], the reference's hidden states, or [B, T, 0] if nothing asked for them.
        entropy: Nats.
        greedy_ids: int64, x*_t.
        greedy_logprobs: log π_old(x*_t).
        candidate_ids: int64 [B, T, k], the likeliest tokens, most likely first; k = 0 unless asked for.
        candidate_logprobs: [B, T, k], log π_old of each.
        values: V(x_<t).
        greedy_values: V(x_<t, x*_t); zeros if the method does not look.
        scores: [B], the proxy reward as returned.
        trained_scores: [B], what trains: the proxy, shaped, or the truth.
        greedy_scores: [B], the same with the last token replaced by the greedy one.
        part_scores: [B, k], what each reward function paid; NaN where it does not score.
        true_scores: [B], the true reward; NaN without one.
        judge_scores: [B], the judge reward; NaN without one.
        hacked: [B], 1 where the detector fired, else 0; NaN without one.
        baseline_scores: [B, k], what completions of the untrained model to the same prompt are paid; k = 0 unless
            asked for.
        feature_distances: [B], how far the features of the reward that trains lie from the mean of the completion's
            group; zeros unless asked for.
        kept: bool [B], False where a regulariser leaves a completion out of the update; logs and measures have all.
    """

    prompt_ids: Tensor
    prompt_mask: Tensor
    completion_ids: Tensor
    completion_mask: Tensor
    logprobs: Tensor
    ref_logprobs: Tensor
    ref_hidden: Tensor
    entropy: Tensor
    greedy_ids: Tensor
    greedy_logprobs: Tensor
    candidate_ids: Tensor
    candidate_logprobs: Tensor
    values: Tensor
    greedy_values: Tensor
    scores: Tensor
    trained_scores: Tensor
    greedy_scores: Tensor
    part_scores: Tensor
    true_scores: Tensor
    judge_scores: Tensor
    hacked: Tensor
    baseline_scores: Tensor
    feature_distances: Tensor
    kept: Tensor

    @property
    def learned_mask(self) -> Tensor:
        """The completion tokens that are learned from; bool [B, T]."""
        return self.completion_mask & self.kept[:, None]

    def rows(self, index: Tensor) -> Rollout:
        """Some of the batch.

        Args:
            index: int64 [b].

        Returns:
            A rollout of those rows.
        """
        return replace(self, **{f.name: getattr(self, f.name)[index] for f in fields(self)})

    def until(self, horizon: int) -> Rollout:
        """The first ``horizon`` completion tokens of every row."""
        columns = {f.name: getattr(self, f.name) for f in fields(self)}
        return Rollout(**{key: x[:, :horizon] if is_completion(key, x) else x for key, x in columns.items()})


def is_completion(name: str, x: Tensor) -> bool:
    """Whether the second dimension of a rollout's field counts completion tokens."""
    return x.ndim > 1 and not name.startswith(("prompt", "baseline", "part"))


@dataclass(frozen=True)
class Estimates:
    """What an estimator says of a rollout's tokens; [B, T], zero where the mask is False.

    Attributes:
        one_step: A(x_t) of G3, γV(x_≤t) − V(x_<t), in units of the rewards that train.
        greedy_one_step: A(x*_t) of G5, in the same units; ``one_step`` where x*_t = x_t.
        advantages: A(x_t) as the surrogate uses it, standardised if the run asks for it.
        greedy_advantages: ``greedy_one_step``, standardised by mean and spread of ``one_step`` if the run asks for it.
        heights: How far A(x_t) stands out, in robust standard deviations, as the estimator sees it.
        feature_distances: [B], of the rollout; None where nobody asked for them.
    """

    one_step: Tensor
    greedy_one_step: Tensor
    advantages: Tensor
    greedy_advantages: Tensor
    heights: Tensor
    feature_distances: Tensor | None = None


@dataclass(frozen=True)
class GreedyTokens:
    """x* of every position as a method sees it; [B, T].

    Attributes:
        ids: int64, x*_t.
        logprobs: log π_old(x*_t), so that η_t is its exponential (G6).
        advantages: A(x*_t), on the scale of the advantages that train.
        sigma: σ_t, the gap (G6).
    """

    ids: Tensor
    logprobs: Tensor
    advantages: Tensor
    sigma: Tensor


@dataclass(frozen=True)
class Experience:
    """A rollout with its advantages; [B, T], the whole batch.

    Attributes:
        rollout: What was sampled.
        advantages: A(x_t), as the surrogate uses them.
        greedy_ids: int64, x*_t as the method sees it.
        greedy_logprobs: log π_old(x*_t).
        greedy_advantages: A(x*_t), on the same scale.
        returns: Targets of the value head.
        sigma: σ_t, the gap (G6).
        turned: bool, where the method made a good advantage a bad one.
    """

    rollout: Rollout
    advantages: Tensor
    greedy_ids: Tensor
    greedy_logprobs: Tensor
    greedy_advantages: Tensor
    returns: Tensor
    sigma: Tensor
    turned: Tensor

    @property
    def eta(self) -> Tensor:
        """η_t = π_old(x*_t) (G6)."""
        return self.greedy_logprobs.exp()

    def rows(self, index: Tensor) -> Experience:
        """Some of the batch, cut to its longest completion.

        Args:
            index: int64 [b].

        Returns:
            An experience of those rows.
        """
        rollout = self.rollout.rows(index)
        horizon = int(rollout.completion_mask.sum(-1).max())
        columns = {f.name: getattr(self, f.name)[index, :horizon] for f in fields(self) if f.name != "rollout"}
        return Experience(rollout=rollout.until(horizon), **columns)
