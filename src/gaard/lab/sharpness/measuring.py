"""From a run's folder to ``sharpness.json``: which measures there are, in what order, and each taken once."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from gaard.errors import ConfigError
from gaard.lab.sharpness import landscape
from gaard.lab.sharpness.blocks import ALL, NAMES, chosen_blocks, named_blocks
from gaard.lab.sharpness.curvature import TOLERANCE, Curvature, curvature, hessian
from gaard.lab.sharpness.objective import check_objective
from gaard.lab.sharpness.record import Record
from gaard.lab.sharpness.samples import fixed_batch, resampled
from gaard.lab.sharpness.saved import SavedRun, chosen_steps
from gaard.settings import suggest
from gaard.sharpness import (
    Block,
    Objective,
    divergence,
    eigenpairs,
    expected_reward,
    gradient,
    penalized_surrogate,
    random_direction,
    twice_differentiable,
    value,
)
from gaard.training.progress import StepBar

if TYPE_CHECKING:
    from gaard.training.trainer import GAATrainer

CURVATURE, LINES, PLANE = "curvature", "lines", "plane"
MEASURES = (CURVATURE, LINES, PLANE)
REWARD, KL, OBJECTIVE = "reward", "kl", "objective"
FUNCTIONS = (REWARD, KL, OBJECTIVE)
RANDOM = 2  # directions
MOST_EIGENVALUES = 100  # five times as many vectors for each end are held at once
Key = tuple[str, ...]


@dataclass(frozen=True)
class Settings:
    """What every number depends on.

    Attributes:
        samples: Completions: the fixed ones of derivatives, and the fresh ones at each place.
        eigenvalues: From each end of a spectrum.
        seed: Of samples, directions and probes.
    """

    samples: int = 64
    eigenvalues: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        """Check what a command line may get wrong.

        Raises:
            ConfigError: Naming the field, the value and the remedy.
        """
        for name, least in (("samples", 2), ("eigenvalues", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name}={getattr(self, name)} must be {least} or more")
        if self.eigenvalues > MOST_EIGENVALUES:
            raise ConfigError(f"eigenvalues={self.eigenvalues} must be {MOST_EIGENVALUES} or fewer, from each end")


@dataclass(frozen=True)
class Choice:
    """What is measured; choosing more later adds to the file.

    Attributes:
        steps: Of the policies; None for the last that was saved.
        measures: Of ``MEASURES``.
        functions: Of ``FUNCTIONS``, whose curvature is taken.
        blocks: Of :data:`gaard.lab.sharpness.blocks.NAMES`; None for those that the model has.
    """

    steps: list[int] | None = None
    measures: tuple[str, ...] = MEASURES
    functions: tuple[str, ...] = (REWARD, KL)
    blocks: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        """Check the names.

        Raises:
            ConfigError: For one that is not known.
        """
        for option, given, known in (
            ("measures", self.measures, MEASURES),
            ("functions", self.functions, FUNCTIONS),
            ("blocks", self.blocks or (), NAMES),
        ):
            for name in given:
                if name not in known:
                    raise ConfigError(f"--{option} {name}: there is no such: {suggest(name, known)}")


def measure_run(
    folder: Path, settings: Settings, choice: Choice, overwrite: bool = False, progress: bool = True
) -> Path:
    """Measure saved policies of a run, and keep each measure as soon as it is taken.

    Args:
        folder: Of the run.
        settings: What the numbers depend on.
        choice: What is measured.
        overwrite: Whether measures by other settings are forgotten.
        progress: Whether to show how far it is.

    Returns:
        The file.

    Raises:
        ConfigError: For a folder, a step, settings, a block or a function that cannot be.
    """
    steps = chosen_steps(folder, choice.steps)
    record = Record(folder, asdict(settings), overwrite)
    with tempfile.TemporaryDirectory() as scratch:
        run = SavedRun(folder, Path(scratch) / "run")
        blocks = _blocks(run.trainer, choice)
        keys = wanted(replace(choice, blocks=tuple(blocks)))
        with StepBar(len(steps) * len(keys), f"sharpness of {folder.name}", progress) as bar, _eager(run.trainer):
            done = 0
            for step in steps:
                record.begin(step, run.load(step))
                policy = At(run.trainer, blocks, settings)
                for key in keys:
                    bar.move(done, [f"step {step}: {' '.join(key)}"])
                    if not record.has(step, *key):
                        began = time.perf_counter()
                        measured = policy.measured(key)
                        record.keep(step, {**measured, "seconds": round(time.perf_counter() - began, 2)}, *key)
                    done += 1
            bar.move(done)
    return record.path


def _blocks(trainer: GAATrainer, choice: Choice) -> dict[str, Block]:
    """The chosen blocks, once it is known that the run has them and the chosen functions."""
    if CURVATURE in choice.measures and OBJECTIVE in choice.functions:
        check_objective(trainer.args)
    if choice.blocks is None:
        return named_blocks(trainer.policy)
    return chosen_blocks(trainer.policy, list(choice.blocks))


@contextmanager
def _eager(trainer: GAATrainer) -> Iterator[None]:
    """Attention that has a second derivative, in policy and reference."""
    with twice_differentiable(trainer.policy.lm), twice_differentiable(trainer.untrained.lm):
        yield


def wanted(choice: Choice) -> list[Key]:
    """Where each chosen measure stands among a policy's.

    Args:
        choice: What is measured; the blocks as names, not None.

    Returns:
        Keys, in the order in which they are taken.
    """
    keys: list[Key] = [("here",)]
    blocks = choice.blocks or ()
    if CURVATURE in choice.measures:
        keys += [(CURVATURE, function, block) for function in choice.functions for block in blocks]
    if LINES in choice.measures:
        keys += [(LINES, name) for name in ("gradient", *(f"random-{i}" for i in range(RANDOM)))]
        keys += [(LINES, f"eigenvector-{block}") for block in blocks]
    return [*keys, (PLANE,)] if PLANE in choice.measures else keys


class At:
    """One policy, and what is measured of it.

    Args:
        trainer: With the policy's weights loaded.
        blocks: Name → block.
        settings: What the numbers depend on.
    """

    def __init__(self, trainer: GAATrainer, blocks: dict[str, Block], settings: Settings):
        self.trainer, self.blocks, self.settings = trainer, blocks, settings
        self._top: dict[tuple[str, str], Tensor] = {}  # top eigenvectors that were found on the way

    def measured(self, key: Key) -> dict[str, Any]:
        """Take one measure.

        Args:
            key: One of :func:`wanted`.

        Returns:
            As ``sharpness.json`` has it.
        """
        kind, *rest = key
        if kind == "here":
            return self.place()
        if kind == CURVATURE:
            return self._curvature(*rest).figures
        if kind == LINES:
            return self._line(*rest)
        return landscape.plane(self.place, self._whole, self._uphill, self.top(ALL), landscape.PLANE_STEPS)

    @cached_property
    def place(self) -> Callable[[], dict[str, float]]:
        """Measures at the weights as they are."""
        return partial(resampled, self.trainer, self.settings.samples, self.settings.seed)

    @cached_property
    def batch(self) -> Any:
        """The fixed samples, which the policy drew before anything moved."""
        return fixed_batch(self.trainer, self.settings.samples, self.settings.seed)

    @cached_property
    def _whole(self) -> Block:
        return chosen_blocks(self.trainer.policy, [ALL])[ALL]

    @cached_property
    def _uphill(self) -> Tensor:
        return landscape.uphill(gradient(self.function(REWARD), self._whole))

    def function(self, name: str) -> Objective:
        """One of ``FUNCTIONS``: −E[proxy], KL(π‖π_untrained), or the objective that training lowers."""
        policy, args = self.trainer.policy, self.trainer.args
        if name == REWARD:
            return expected_reward(policy, self.batch)
        if name == KL:
            return divergence(policy, self.batch, self.trainer.untrained)
        return penalized_surrogate(policy, self.batch, self.trainer.untrained, args.cliprange, args.kl_coef)

    def top(self, block: str) -> Tensor:
        """The top eigenvector of −E[proxy] in a block: along it the proxy falls fastest, [N]."""
        if (REWARD, block) not in self._top:
            chosen = self._block(block)
            product = self._hessian(self.function(REWARD), chosen)
            found = eigenpairs(product, chosen.vector(), 1, "top", TOLERANCE, self.settings.seed)
            self._top[REWARD, block] = found.vectors[:, 0].contiguous()
        return self._top[REWARD, block]

    def _curvature(self, function: str, block: str) -> Curvature:
        objective, chosen = self.function(function), self.blocks[block]
        make = partial(self._hessian, objective, chosen)
        height = self._below if function == REWARD else lambda: (value(objective), 0.0)
        found = curvature(objective, height, chosen, make, self.settings.eigenvalues, self.settings.seed)
        self._top[function, block] = found.top
        return found

    def _below(self) -> tuple[float, float]:
        """−E[proxy] of fresh completions, and its standard error."""
        found = self.place()
        return -found["proxy"], found["proxy_error"]

    def _hessian(self, objective: Objective, block: Block) -> Callable[[Tensor], Tensor]:
        vocabulary = self.trainer.policy.lm.get_output_embeddings().weight.shape[0]
        return hessian(objective, block, self.batch, vocabulary)

    def _line(self, name: str) -> dict[str, Any]:
        kind, _, which = name.partition("-")
        if kind == "eigenvector":
            return landscape.line(self.place, self._block(which), self.top(which), landscape.UNIT_STEPS)
        if kind == "gradient":
            return landscape.line(self.place, self._whole, self._uphill, landscape.UNIT_STEPS)
        direction = random_direction(self._whole, landscape.generator_of(self.settings.seed, int(which)))
        return landscape.line(self.place, self._whole, direction, landscape.RELATIVE_STEPS)

    def _block(self, name: str) -> Block:
        return self._whole if name == ALL else self.blocks[name]
