"""gaard: reinforcement learning of language models that keeps away from reward hacking."""

from gaard.training.config import GAAConfig
from gaard.training.trainer import GAATrainer

__version__ = "0.1.0"
__all__ = ["GAAConfig", "GAATrainer", "__version__"]
