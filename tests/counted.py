"""A reward that several tests ask, and what tells how often it was asked."""


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
