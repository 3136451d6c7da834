"""Config, trainer, checkpoints and run log."""

from gaard.extras import need

need("train", __name__)
