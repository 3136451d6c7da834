"""What a step takes: seconds by one real step, memory by counting, and by the peak of that step."""

import math
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import psutil
import torch

from gaard.lab.check.completions import Completions
from gaard.lab.check.findings import Finding
from gaard.lab.memory import Needs, needs_of
from gaard.lab.spec import RunSpec
from gaard.training import runlog
from gaard.training.progress import StepBar
from gaard.training.trainer import GAATrainer

TRIED = 2  # steps: the first one also takes what is done once, and is not counted
OUT_OF_MEMORY = (
    "gradient_checkpointing, LoRA, smaller per_device_train_batch_size, batch_size or max_completion_length, or an "
    "engine that shards the model (docs/size.md)"
)


@dataclass(frozen=True)
class Step:
    """One training step as it was measured.

    Attributes:
        seconds: Wall clock.
        parts: Of it, by name.
        peak: Most bytes that were held: of the accelerator, or on a CPU of the whole process; None where unknown.
    """

    seconds: float
    parts: dict[str, float]
    peak: int | None


def needs(trainer: GAATrainer) -> Needs:
    """Count what training holds.

    Args:
        trainer: Its models.

    Returns:
        The bytes.
    """
    policy = {id(p): p for p in trainer.policy.parameters()}
    others = {id(p): p for one in (trainer.reference, trainer.untrained) for p in one.parameters()}
    weights = sum(p.nbytes for p in policy.values())
    copies = sum(p.nbytes for key, p in others.items() if key not in policy)
    trained = sum(p.nbytes for p in policy.values() if p.requires_grad)
    return needs_of(weights, trained, copies, sum(p.numel() for p in policy.values()) if trainer.args.bf16 else 0)


def room(trainer: GAATrainer) -> int:
    """Bytes that are free on the device that trains."""
    device = trainer.accelerator.device
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available


def trial(spec: RunSpec, folder: str) -> RunSpec:
    """The run in a folder that is thrown away, for two steps.

    Args:
        spec: The run.
        folder: Where to.

    Returns:
        Its settings, of which none changes what a step takes.
    """
    once: dict[str, Any] = {"max_steps": TRIED + 1, "save_steps": TRIED + 1, "eval_steps": None}
    return replace(spec, output_dir=folder, log_completions=0, report_to=[], **once)


def measured_step(trainer: GAATrainer) -> Step:
    """Make two steps and measure the second.

    Args:
        trainer: Of a :func:`trial`; its weights change.

    Returns:
        What it took.

    Raises:
        GaardError: If a step fails.
        OutOfMemoryError: If it does not fit on the accelerator.
    """
    on_gpu = trainer.accelerator.device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    trainer.state.warned = True  # what a method would say of rare success is a finding
    with StepBar(TRIED, "trying steps", trainer.args.progress) as bar:
        bar.move(0)
        for step in range(1, TRIED + 1):
            trainer.training_step()
            bar.move(step)
    row = trainer.run.log.read(runlog.TIMINGS)[-1]
    parts = {name: float(seconds) for name, seconds in row.items() if name not in ("step", "seconds")}
    return Step(float(row["seconds"]), parts, torch.cuda.max_memory_allocated() if on_gpu else _peak_of_process())


def _peak_of_process() -> int | None:
    """The most memory that this process ever had, as far as the system tells."""
    try:
        import resource
        import sys
    except ImportError:  # Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def time(step: Step | None, sampled: Completions, max_steps: int, batch_size: int, failure: str = "") -> Finding:
    """How long training takes.

    Args:
        step: As measured; None if it was not.
        sampled: With the seconds of its rollouts.
        max_steps: Of the run.
        batch_size: Completions a step.
        failure: What a step that was tried ended with.

    Returns:
        A problem if a step failed.
    """
    if failure:
        return Finding("time", "problem", f"a step was tried, and failed: {failure}", "training would stop there")
    sampling = median(sampled.seconds)
    if step is None:
        seen = f"sampling {batch_size} completions takes {sampling:.2g} s; updates were not measured"
        return Finding("time", "note", seen, "a step takes longer than that")
    parts = ", ".join(f"{name} {seconds:.2g}" for name, seconds in step.parts.items() if seconds >= 0.01)
    whole = in_words(step.seconds * max_steps)
    seen = f"{step.seconds:.2g} s for one step ({parts}), so about {whole} for max_steps={max_steps}"
    return Finding("time", "fine", seen)


def memory(held: Needs, step: Step | None, free: int, on_gpu: bool, failure: str = "") -> Finding:
    """How much memory training takes.

    Args:
        held: As counted.
        step: As measured; None if it was not.
        free: Bytes that were free before the step, with the models already there.
        on_gpu: Whether an accelerator trains.
        failure: What does not fit, if something does not.

    Returns:
        A problem if it does not fit.
    """
    seen = (
        f"weights {size(held.weights)}, frozen copies {size(held.references)}, gradients and Adam "
        f"{size(held.optimizer)}"
    )
    if failure:
        return Finding("memory", "problem", f"{seen}; {size(free)} are free, and {failure}", OUT_OF_MEMORY)
    if step is None or step.peak is None:
        return Finding("memory", "note", f"{seen}; what a forward and backward add was not measured", "")
    whose = "on the accelerator" if on_gpu else "of the process, Python and its packages included"
    return Finding("memory", "fine", f"{seen}; peak {size(step.peak)} {whose}")


def size(count: int) -> str:
    """Bytes in words, such as ``1.3 GB``."""
    power = min(3, int(math.log(count, 1000))) if count > 0 else 0
    return f"{count / 1000**power:.3g} {('B', 'kB', 'MB', 'GB')[power]}"


def in_words(seconds: float) -> str:
    """A time in words, such as ``2.5 hours``."""
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.2g} {unit}"
    return f"{seconds:.0f} seconds"
