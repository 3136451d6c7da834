"""Checkpoints: safetensors and JSON, written beside and renamed, checked by hash when read.

A checkpoint that is there is whole. One that has been damaged since is skipped for the last good one.
"""

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from gaard.errors import CheckpointError
from gaard.messages import one_line, warn
from gaard.training.damage import DAMAGE, is_exhausted
from gaard.training.weights import frozen_names, load_weights, save_weights

FORMAT = 4
POLICY, OPTIMIZER, STATE = "policy.safetensors", "optimizer.safetensors", "state.json"
REFERENCE = "reference.safetensors"  # only where it moves


def write_file(path: Path, text: str) -> None:
    """Write a file so that it is either the old one or the new one, whole, at any moment.

    Args:
        path: Where to.
        text: The content.

    Raises:
        CheckpointError: If the disk does not take it, naming path and remedy.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")  # a page may be written by two at once
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise disk_error(path, error) from error


GONE = "Its folder is gone, with what was saved there: put it back"
INTACT = {  # what was saved before
    errno.EROFS: "make the file system writable",
    errno.EACCES: "see to the folder's permissions",
    errno.EMFILE: "too many files are open: raise the limit (ulimit -n)",
    errno.EIO: "the disk fails",
}


def disk_error(path: Path, error: OSError) -> CheckpointError:
    """What to say when a disk refuses."""
    intact = f"What was saved before is intact: {INTACT.get(error.errno or 0, 'free some space')}"
    remedy = GONE if error.errno == errno.ENOENT else intact
    return CheckpointError(
        f"{path} could not be written: {error.strerror or error}. {remedy} or choose another output_dir, then run the "
        "same command to continue"
    )


def save_checkpoint(
    folder: Path,
    model: nn.Module,
    optimizer: Optimizer | None,
    state: dict[str, Any],
    keep: int,
    reference: nn.Module | None = None,
) -> Path:
    """Write one checkpoint atomically, unless there is a whole one of its step, and drop the oldest beyond ``keep``.

    Args:
        folder: The run's checkpoint folder.
        model: Policy with its value head; what is frozen of it is left out.
        optimizer: Its state goes along; None leaves it out, and training cannot go on from there.
        state: Everything else, JSON-serialisable, with the ``step`` that names the folder.
        keep: Checkpoints to keep, the newest first.
        reference: The reference, where it moves.

    Returns:
        The checkpoint's folder.

    Raises:
        CheckpointError: If the disk does not take it; earlier checkpoints stay.
    """
    final = folder / f"step-{state['step']:06d}"
    temporary = folder / f".{final.name}.tmp"
    if _is_whole(final):  # deleting it to write the same again could lose the only one
        return final
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        _write_whole(temporary, model, optimizer, state, reference)
        shutil.rmtree(final, ignore_errors=True)
        os.replace(temporary, final)
        _set_aside(folder, state["step"])
        sync(folder)
    except (OSError, SafetensorError) as error:
        raise disk_error(final, error if isinstance(error, OSError) else OSError(str(error))) from error
    finally:  # after a failure anywhere: half a checkpoint would only take the space that is missing
        shutil.rmtree(temporary, ignore_errors=True)
    for old in checkpoints(folder)[keep:]:
        shutil.rmtree(old, ignore_errors=True)
    return final


def _set_aside(folder: Path, step: int) -> None:
    """Rename the checkpoints of later steps: they are damaged, or the run would have gone on from them.

    They must not take a place among those that are kept.
    """
    for later in (path for path in checkpoints(folder) if checkpoint_step(path) > step):
        aside = later.with_name(f"damaged-{later.name}")
        shutil.rmtree(aside, ignore_errors=True)
        later.rename(aside)


def _write_whole(
    folder: Path, model: nn.Module, optimizer: Optimizer | None, state: dict[str, Any], reference: nn.Module | None
) -> None:
    """All files of a checkpoint, and wait until they are on the disk."""
    folder.mkdir(parents=True)
    frozen = frozen_names(model)
    save_weights(model, folder / POLICY, frozen)
    groups: list[dict[str, Any]] = []
    if optimizer is not None:
        tensors, groups = _optimizer_tensors(optimizer)
        save_file(tensors, str(folder / OPTIMIZER))
    if reference is not None:
        save_weights(reference, folder / REFERENCE, frozen)
    hashes = {path.name: _sha256(path) for path in sorted(folder.iterdir())}
    whole = {"format": FORMAT, "hashes": hashes, "param_groups": groups, **state}
    write_file(folder / STATE, json.dumps({**whole, "sha256": _digest(whole)}))
    for name in hashes:
        sync(folder / name)
    sync(folder)


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a run, newest first."""
    return sorted(
        (path for path in folder.glob("step-*") if path.name[5:].isdigit()), key=checkpoint_step, reverse=True
    )


def newest_step(folder: Path) -> int:
    """Steps behind the newest checkpoint of a run; 0 without one."""
    return max(map(checkpoint_step, checkpoints(folder)), default=0)


def checkpoint_step(path: Path) -> int:
    """The step in a checkpoint's name; as text, step-1000000 would come before step-999999."""
    return int(path.name[5:])


def load_checkpoint(
    folder: Path,
    model: nn.Module,
    optimizer: Optimizer,
    reference: nn.Module | None = None,
    warn: Callable[[str], None] = warn,
) -> dict[str, Any] | None:
    """Load the newest checkpoint that is whole, passing over damaged ones.

    Args:
        folder: The run's checkpoint folder.
        model: Receives the weights; what is frozen of it stays.
        optimizer: Receives its state, if it was saved.
        reference: Receives the reference's weights, where it moves.
        warn: Told of each damaged one.

    Returns:
        The state that :func:`save_checkpoint` was given, with ``step``; None if there is no checkpoint.

    Raises:
        CheckpointError: If there are checkpoints and none is whole, or one cannot be read now.
    """
    found, frozen = checkpoints(folder), frozen_names(model)
    for path in found:
        try:
            state = verified_state(path)
            load_weights(model, path / POLICY, frozen)
            if reference is not None:
                load_weights(reference, path / REFERENCE, frozen)
            if OPTIMIZER in state["hashes"]:
                _load_optimizer(optimizer, load_file(str(path / OPTIMIZER)), state["param_groups"])
        except (*DAMAGE, SafetensorError) as error:
            _check_readable(path, error)
            warn(f"checkpoint {path} is damaged ({error}); falling back to the one before it")
            continue
        return state
    if found:
        raise CheckpointError(
            f"every checkpoint in {folder} is damaged: put back a copy, or delete {folder.parent} and start "
            "that run again"
        )
    return None


def _check_readable(path: Path, error: Exception) -> None:
    """Refuse to go on where an error says nothing of a checkpoint: memory is short, or the disk does not give it."""
    if is_exhausted(error):
        remedy = "free memory, which another process may hold"
    elif isinstance(error, OSError) and not isinstance(error, (FileNotFoundError, NotADirectoryError)):
        remedy = "see to the disk and to the folder's permissions"
    else:
        return
    raise CheckpointError(
        f"checkpoint {path} could not be read ({one_line(error)}). That does not say that it is damaged: {remedy}, "
        "then run the same command to continue"
    ) from error


def _is_whole(path: Path) -> bool:
    """Whether there is a checkpoint that can be read."""
    try:
        return bool(verified_state(path))
    except DAMAGE:
        return False


def verified_state(path: Path) -> dict[str, Any]:
    """The state of a checkpoint in a folder; OSError, ValueError or KeyError if a file is not what was written."""
    state = json.loads((path / STATE).read_text(encoding="utf-8"))
    hashes = state.get("hashes") if isinstance(state, dict) else None
    if not isinstance(hashes, dict) or not hashes.keys() <= {POLICY, OPTIMIZER, REFERENCE}:  # no file elsewhere
        raise ValueError(f"{STATE} is not what was written")
    if state["step"] != checkpoint_step(path):
        raise ValueError(f"it says that it is of step {state['step']!r}")
    if state["format"] != FORMAT:
        raise ValueError(f"format {state['format']}, this version of gaard reads {FORMAT}")
    if state.pop("sha256") != _digest(state):
        raise ValueError(f"{STATE} is not what was written")
    for name, expected in state["hashes"].items():
        if _sha256(path / name) != expected:
            raise ValueError(f"{name} is not what was written")
    return state


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest(state: dict[str, Any]) -> str:
    """Of a checkpoint's state as JSON, which reads back to the same text."""
    return hashlib.sha256(json.dumps(state).encode()).hexdigest()


def sync(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _optimizer_tensors(optimizer: Optimizer) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
    """Split an optimizer's state into tensors under flat names and JSON-serialisable groups."""
    whole = optimizer.state_dict()
    tensors = {
        f"{index}.{name}": torch.as_tensor(value).contiguous()
        for index, entries in whole["state"].items()
        for name, value in entries.items()
    }
    return tensors, whole["param_groups"]


def _load_optimizer(optimizer: Optimizer, tensors: dict[str, Tensor], groups: list[dict[str, Any]]) -> None:
    """Undo :func:`_optimizer_tensors`."""
    state: dict[int, dict[str, Tensor]] = {}
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    for key, value in tensors.items():
        index, name = key.split(".", 1)
        if value.dim() and value.shape != weights[int(index)].shape:
            raise ValueError(f"{OPTIMIZER} is of other weights")
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": groups})
