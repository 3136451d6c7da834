"""Config, trainer, checkpoints and run log."""
