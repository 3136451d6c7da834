"""Max-min: the policy is paid what the worst reward that still goes with the proxy would pay it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gaard.regularizers.base import Regularizer, with_scores
from gaard.settings import Count, PositiveShare

if TYPE_CHECKING:  # help should not wait for torch
    from torch import Generator

    from gaard.methods.experience import Rollout


@dataclass(frozen=True)
class MaxMin(Regularizer):
    """The reward of correlation r with the proxy that is worst for the policy (Liu, Sun and Zheng, arXiv 2604.12086).

    Mean and standard deviation of the proxy are those of completions of the untrained model, all prompts together;
    ratios of probabilities are those of whole completions to the reference. Set kl_coef=0 for it in KL's place.

    Attributes:
        correlation: r, above 0 and at most 1: how well the proxy is trusted; 1 leaves the proxy.
        completions: Of the untrained model, for each prompt.
    """

    name = "max-min"

    correlation: PositiveShare = 0.4  # the authors' choice for language models
    completions: Count = 8

    @property
    def baseline_completions(self) -> int:
        """As many as were asked for."""
        return self.completions

    def shape(self, rollout: Rollout, generator: Generator) -> Rollout:
        """The worst reward in the place of the proxy."""
        import torch

        from gaard.method.divergence import worst_case_rewards

        ratio = torch.where(rollout.completion_mask, rollout.logprobs - rollout.ref_logprobs, 0.0).sum(-1)
        baseline = rollout.baseline_scores[:, : self.completions].flatten()
        return with_scores(rollout, lambda scores: worst_case_rewards(scores, baseline, ratio, self.correlation))
