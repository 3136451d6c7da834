"""Johnson's text with one thing changed, each a method of its own."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gaard.method.advantages import beyond
from gaard.method.masking import masked_std
from gaard.methods import GAA, Estimates, GreedyTokens, Observation, Rollout, TokenMemory
from gaard.settings import Count, Finite, NotNegative


class OnlyA(GAA):
    """The sampled token's step is scaled by a, the greedy token is left alone."""

    name = "only-a"

    def coefficients(self, eta: Tensor, sigma: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """A of G7, b = 0."""
        a, b = super().coefficients(eta, sigma, mask)
        return a, torch.zeros_like(b)


class OnlyB(GAA):
    """PPO's own step, and the greedy token pushed down by b."""

    name = "only-b"

    def coefficients(self, eta: Tensor, sigma: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """A = 1, b of G8."""
        a, b = super().coefficients(eta, sigma, mask)
        return torch.ones_like(a), b


@dataclass(frozen=True)
class Constant(GAA):
    """PPO's own step, and every greedy token pushed down alike.

    Attributes:
        b: The weight of the greedy token's step.
    """

    name = "constant"

    b: Finite = -0.1

    def coefficients(self, eta: Tensor, sigma: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """A = 1 and the same b everywhere."""
        a, b = super().coefficients(eta, sigma, mask)
        return torch.ones_like(a), torch.full_like(b, self.b)


@dataclass(frozen=True)
class DeadZone(GAA):
    """Small gaps do not count.

    Attributes:
        width: Gaps count from this many of their standard deviations on.
    """

    name = "dead-zone"

    width: NotNegative = 1.0

    def greedy(self, estimates: Estimates, rollout: Rollout, memory: TokenMemory) -> GreedyTokens:
        """σ ← max(σ − width · std(σ), 0)."""
        found, mask = super().greedy(estimates, rollout, memory), rollout.completion_mask
        if not self.width:
            return found
        return replace(found, sigma=beyond(found.sigma, self.width * masked_std(found.sigma, mask)))


@dataclass(frozen=True)
class Value(DeadZone):
    """x* is the token of best value among the likeliest, with or without a dead zone.

    Attributes:
        candidates: How many of the likeliest tokens are valued.
    """

    name = "value"

    width: NotNegative = 0.0
    candidates: Count = 8

    @property
    def observes(self) -> Observation:
        """A branch for each candidate."""
        return Observation(greedy_branch=True, candidates=self.candidates)


class RandomToken(GAA):
    """A token drawn from the policy in the greedy token's place."""

    name = "random-token"

    @property
    def observes(self) -> Observation:
        """A second draw instead of the greedy token."""
        return Observation(greedy_branch=True, random_token=True)
