"""The errors that gaard raises for a mistake that its user can mend, and how they name what was probably meant.

Each message names the field or file, the value that was found, and what to do. The command line prints it as one
line; everything else is a defect of gaard and keeps its traceback.
"""

import difflib
from collections.abc import Iterable

FEW = 8  # names that an error lists even where it knows the nearest
SHORT = 6  # letters


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


class DivergenceError(GaardError, ArithmeticError):
    """Training whose numbers are not finite any more, or beyond any range that they can have."""


class HubError(GaardError, RuntimeError):
    """A model that the hub did not take."""


class Terminated(SystemExit):
    """The end that SIGTERM asked for, once what was to be saved is saved; its code is 143."""


class GaardWarning(UserWarning):
    """Something that a user should hear of and that stops nothing."""


def did_you_mean(name: object, known: Iterable[str], cutoff: float | None = None) -> str:
    """Part of a message about an unknown name.

    Args:
        name: What was given.
        known: What would have been accepted.
        cutoff: How alike the two must be, 0 to 1; by default so that they are really near, of short names less, since
            one letter is more of them.

    Returns:
        ``" Did you mean 'x'?"`` for the nearest known name, or an empty string where none is near.
    """
    wanted = (0.6 if len(str(name)) < SHORT else 0.75) if cutoff is None else cutoff
    near = difflib.get_close_matches(str(name), list(known), n=1, cutoff=wanted)
    return f" Did you mean {near[0]!r}?" if near else ""


def suggest(value: str, known: Iterable[str], listed: str = "") -> str:
    """The end of an error message about a name that is not known: the nearest one, and all of them if they are few.

    Args:
        value: What was given.
        known: What would have been accepted.
        listed: A command that lists them, told of where they are many and none is near; else three of them are.

    Returns:
        For example ``did you mean 'ppo'? Choose from fold, gaa, ppo``.
    """
    names = [str(choice) for choice in known]
    hint = did_you_mean(value, names).strip().replace("Did", "did", 1)
    if len(names) > FEW:
        nearest = difflib.get_close_matches(value, names, n=3, cutoff=0)
        return hint or (f"{listed} lists what there is" if listed else f"there are {', '.join(nearest)} and others")
    return f"{hint} Choose from {', '.join(sorted(names))}".strip()
