"""A run's policies as they were saved: the trainer made again from ``run.json``, with the weights of any checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gaard.errors import ConfigError
from gaard.lab.reproduce import trainer_of_record
from gaard.training.checkpoint import POLICY, checkpoint_step, checkpoints, verified_state
from gaard.training.difference import difference
from gaard.training.identity import determining_facts
from gaard.training.runlog import CHECKPOINTS, RUN, read_record
from gaard.training.weights import frozen_names, load_weights

if TYPE_CHECKING:
    from gaard.training.trainer import GAATrainer

UNTRAINED = 0  # the step of the model before training, which needs no checkpoint
# What of a run's settings is another here: nothing that changes a number.
QUIETLY: dict[str, Any] = {"progress": False, "report_to": [], "gradient_checkpointing": False}


def saved_steps(folder: Path) -> list[int]:
    """The steps whose policies a run can show, the untrained one (0) first.

    Args:
        folder: Of the run.

    Returns:
        Ascending.
    """
    return [UNTRAINED, *sorted(checkpoint_step(path) for path in checkpoints(folder / CHECKPOINTS))]


def chosen_steps(folder: Path, wanted: list[int] | None) -> list[int]:
    """The steps to be measured.

    Args:
        folder: Of the run.
        wanted: Some; None for the last that was saved.

    Returns:
        The same, or the last.

    Raises:
        ConfigError: If one was not saved, naming those that were.
    """
    there = saved_steps(folder)
    for step in wanted or ():
        if step not in there:
            raise ConfigError(
                f"{folder} has no checkpoint of step {step}: choose from {', '.join(map(str, there))} (0 is the "
                "untrained model), or train with a larger save_total_limit to keep more"
            )
    return [there[-1]] if wanted is None else wanted


class SavedRun:
    """A run that is there, made again so that its policies can be loaded; nothing is written into its folder.

    Args:
        folder: Of the run.
        scratch: An empty folder, in which the trainer believes its run to be.

    Attributes:
        folder: Of the run.
        trainer: With rewards, prompts, the reference, and a policy that :meth:`load` fills.

    Raises:
        ConfigError: If there is no run, a file that it names is missing, or what it names has changed since.
    """

    def __init__(self, folder: Path, scratch: Path):
        record = read_record(folder / RUN)
        if record is None:
            raise ConfigError(f"{folder} holds no {RUN}: name the folder of a run, its output_dir")
        self.folder = folder
        self.trainer: GAATrainer = trainer_of_record(folder, scratch, record, **QUIETLY)
        now = json.loads(json.dumps(self.trainer.record()))
        changed = difference(_content(record), _content(now))
        if changed:
            raise ConfigError(
                f"{folder}: what the run was made of is another now, and its policies would be measured by other "
                "rewards or prompts: put back what it was. What differs:\n  " + "\n  ".join(changed)
            )
        self._untrained = {key: x.clone() for key, x in self.trainer.policy.state_dict().items()}

    def load(self, step: int) -> str:
        """Make the policy what it was after a step, and tell the rewards that the run is there.

        Args:
            step: One of :func:`saved_steps`.

        Returns:
            What tells the weights: their hash.

        Raises:
            ConfigError: If the checkpoint is damaged.
        """
        self.trainer.state.step = step
        policy = self.trainer.policy
        if step == UNTRAINED:
            policy.load_state_dict(self._untrained)
            return str(self.trainer.record()["model_sha256"])
        path = self.folder / CHECKPOINTS / f"step-{step:06d}"
        try:
            state = verified_state(path)
            load_weights(policy, path / POLICY, frozen_names(policy))
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise ConfigError(f"checkpoint {path} is damaged ({error}): choose another of --steps") from error
        return str(state["hashes"][POLICY])


def _content(record: dict[str, Any]) -> dict[str, Any]:
    """What a run is made of, but for the version of the algorithm, which says how it was trained."""
    return {key: value for key, value in determining_facts(record).items() if key != "algorithm"}
