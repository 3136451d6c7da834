"""Rewards that count how often they are asked, and objects that hold others."""


class Counted:
    """A reward that counts its calls and keeps what it was given."""

    name = "counted"

    def __init__(self, reward):
        self.reward, self.calls = reward, []

    def __call__(self, **kwargs):
        self.calls.append(kwargs)
        return self.reward(kwargs["completions"])


def lengths(completions, **kwargs):
    """Characters of the completion."""
    return [float(len(completion)) for completion in completions]


class Wrapper:
    """A user's own, around another reward."""

    def __init__(self, inner):
        self.inner = inner

    def __call__(self, **kwargs):
        return self.inner(**kwargs)


class Holder:
    """Another object that holds a reward."""

    def __init__(self, reward):
        self.reward = reward
