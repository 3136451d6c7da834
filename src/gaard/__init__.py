"""gaard: reinforcement learning of language models that keeps away from reward hacking."""

__version__ = "0.1.0"
