"""PPO (Schulman et al., arXiv 1707.06347)."""

from dataclasses import dataclass

from gaard.methods.base import Method


@dataclass(frozen=True)
class PPO(Method):
    """Plain PPO: the sampled tokens' advantages as they are, a = 1 and b = 0 everywhere."""

    name = "ppo"
