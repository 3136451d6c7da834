"""A run that is asked for more steps than at first, or for fewer: when it goes on, and when it cannot."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gaard.errors import CheckpointError
from gaard.training.checkpoint import OPTIMIZER, checkpoints, newest_step
from gaard.training.optimization import WITHOUT_END

NEW_FOLDER = "another output_dir, or --overwrite to train it anew"


def with_max_steps(record: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    """A run's record with the ``max_steps`` that are asked for now.

    Args:
        record: As ``run.json`` holds it.
        asked: The record of what is to be trained.

    Returns:
        The record; equal to the old one if the steps are the same.
    """
    if record["config"].get("max_steps") == asked["config"].get("max_steps"):
        return dict(record)
    return {**record, "config": {**record["config"], "max_steps": asked["config"]["max_steps"]}}


def check_extension(folder: Path, saved: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Refuse another ``max_steps`` unless the run comes out as if it had been asked for at first.

    Args:
        folder: Of the run, for messages.
        saved: Of its checkpoints.
        old: The settings it had.
        new: Those that are asked for, which differ in ``max_steps``.

    Raises:
        CheckpointError: If more steps are done, if the learning rate of those that are done would have been another
            one, or if the last checkpoint has no optimizer to go on with.
    """
    before, now, shape, done = old["max_steps"], new["max_steps"], new["lr_scheduler_type"], newest_step(saved)
    if not done:  # nothing of it is kept
        return
    if now < done:
        raise CheckpointError(
            f"output_dir={str(folder)!r} holds this run with {done} steps done, and max_steps={now} is less: give "
            f"max_steps={before} as before, {NEW_FOLDER}"
        )
    if shape not in WITHOUT_END:
        raise CheckpointError(
            f"output_dir={str(folder)!r} holds this run with another max_steps: {before} there, {now} now. "
            f"lr_scheduler_type={shape!r} makes the learning rate of every step depend on max_steps, so the {done} "
            f"steps that are done would have been others: give max_steps={before} as before, {NEW_FOLDER}. A run "
            "with lr_scheduler_type=constant can be extended"
        )
    newest = checkpoints(saved)[0]
    if now > done and not (newest / OPTIMIZER).exists():
        raise CheckpointError(
            f"{newest} was saved without the optimizer (save_only_model), and max_steps={now} cannot go on from it: "
            f"give max_steps={before} as before, {NEW_FOLDER}"
        )
