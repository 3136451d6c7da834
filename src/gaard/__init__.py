"""gaard: reinforcement learning of language models that keeps away from reward hacking."""

from typing import TYPE_CHECKING, Any

from gaard.version import __version__

if TYPE_CHECKING:
    from gaard.training.config import GAAConfig
    from gaard.training.trainer import GAATrainer

__all__ = ["GAAConfig", "GAATrainer", "__version__"]


def __getattr__(name: str) -> Any:
    """Import the trainer when it is first asked for, so that ``gaard --version`` does not wait for torch."""
    if name in ("GAAConfig", "GAATrainer"):
        from gaard.extras import need

        need("train", f"gaard.{name}")
    if name == "GAAConfig":
        from gaard.training.config import GAAConfig

        return GAAConfig
    if name == "GAATrainer":
        from gaard.training.trainer import GAATrainer

        return GAATrainer
    raise AttributeError(f"module 'gaard' has no attribute {name!r}")
