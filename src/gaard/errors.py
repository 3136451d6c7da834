"""The errors that gaard raises for a mistake that its user can mend.

Each message names the field or file, the value that was found, and what to do. The command line prints it as one
line; everything else is a defect of gaard and keeps its traceback.
"""


class GaardError(Exception):
    """Base of every error that a user can mend."""


class ConfigError(GaardError, ValueError):
    """A configuration, study or command line that cannot be run as written."""


class RewardError(GaardError, ValueError):
    """A reward function that failed, or returned something that is not one finite number a completion."""


class ModelError(GaardError, ValueError):
    """A model or tokenizer that cannot be found, loaded, or trained by gaard."""


class CheckpointError(GaardError, RuntimeError):
    """A checkpoint or run folder that is missing, damaged, or belongs to another run."""
