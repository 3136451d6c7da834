"""The trackers of ``report_to``: what each is told, by the names that it takes."""

import re
from collections.abc import Mapping

from accelerate import Accelerator

OTHERS = re.compile(r"[^\w.\-/ ]", re.ASCII)  # what MLflow takes in no name


def log_step(accelerator: Accelerator, metrics: Mapping[str, float], step: int) -> None:
    """Tell every tracker the metrics of a step.

    Args:
        accelerator: Has the trackers.
        metrics: Of the step.
        step: Its number.
    """
    values = {key: x for key, x in metrics.items() if key != "step"}
    for tracker in accelerator.trackers:
        # A reward's name may hold anything, and MLflow would end the run at a bracket.
        named = {OTHERS.sub("_", key): x for key, x in values.items()} if tracker.name == "mlflow" else values
        tracker.log(named, step=step)
