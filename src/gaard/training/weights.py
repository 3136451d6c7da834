"""The weights that a checkpoint holds: a model's, without what is frozen, which the run's model brings again."""

from collections.abc import Set
from pathlib import Path

from safetensors.torch import load_model, save_file, save_model
from torch import nn


def frozen_names(model: nn.Module) -> frozenset[str]:
    """The parameters that no training changes, such as all that an adapter stands on.

    Args:
        model: Any module; a parameter under two names has both.

    Returns:
        Their names.
    """
    parameters = model.named_parameters(remove_duplicate=False)
    return frozenset(name for name, parameter in parameters if not parameter.requires_grad)


def save_weights(model: nn.Module, path: Path, without: Set[str]) -> None:
    """Write parameters and buffers, each once.

    Args:
        model: Any module.
        path: Of the safetensors file.
        without: Names of parameters to leave out.

    Raises:
        SafetensorError: If the disk does not take it.
    """
    if not without:
        save_model(model, str(path))
        return
    once = dict([*model.named_parameters(), *model.named_buffers()])
    kept = {key: x.contiguous() for key, x in model.state_dict().items() if key in once and key not in without}
    save_file(kept, str(path))


def load_weights(model: nn.Module, path: Path, without: Set[str]) -> None:
    """Undo :func:`save_weights`.

    Args:
        model: Receives what the file holds.
        path: The file.
        without: Names that it may lack.

    Raises:
        ValueError: If it lacks others, or has some that the model has not.
        RuntimeError: If shapes differ.
    """
    missing, unexpected = load_model(model, str(path), strict=False)
    lacking = sorted(set(missing) - without)
    if lacking or unexpected:
        raise ValueError(f"{path.name} lacks {lacking[:3]}, and has {sorted(unexpected)[:3]} that the model has not")
