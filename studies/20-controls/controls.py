"""GAA in expectation with one thing changed, each a method of its own."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gaard.methods import GAA, Estimates, GreedyTokens, Observation, Rollout, TokenMemory


@dataclass(frozen=True)
class RandomToken(GAA):
    """The same push, with the same gap, on a token drawn from the policy in the place of x*."""

    name = "random-token"

    @property
    def observes(self) -> Observation:
        """A second draw beside the likeliest tokens."""
        return replace(super().observes, random_token=True)

    def greedy(self, estimates: Estimates, rollout: Rollout, memory: TokenMemory) -> GreedyTokens:
        """Worth and gap of x*, and the second draw."""
        found = super().greedy(estimates, rollout, memory)
        return replace(found, ids=rollout.greedy_ids, logprobs=rollout.greedy_logprobs)


@dataclass(frozen=True)
class Sure(GAA):
    """G7 and G8 as if the policy were sure of x*."""

    name = "sure"

    def coefficients(self, eta: Tensor, sigma: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """With η = 1, and the gap as it is."""
        return super().coefficients(torch.ones_like(eta), sigma, mask)
