"""A look before training: completions of the untrained model, what they are paid, and what a step takes."""

import tempfile
from collections.abc import Iterator

import numpy as np
import torch

from gaard.errors import ConfigError, GaardError
from gaard.lab import spec as runs
from gaard.lab.check import advice, costs, rewards, texts
from gaard.lab.check.completions import Completions, Pay, pay, sample
from gaard.lab.check.findings import Finding, Severity
from gaard.lab.check.template import conversations, template, unrendered
from gaard.methods.fold import is_sparse
from gaard.models.loading import load_model_and_tokenizer
from gaard.training.estimate import has_signal
from gaard.training.prompt_files import read_prompts
from gaard.training.trainer import GAATrainer

__all__ = ["COMPLETIONS", "Finding", "Severity", "check", "check_trainer", "of_rewards", "pay", "sample"]

COMPLETIONS = 256  # a success of 1% is then missed once in 13 looks


def check(spec: runs.RunSpec, completions: int = COMPLETIONS) -> list[Finding]:
    """Look at a run before it is trained, with one real step in a folder that is thrown away.

    Args:
        spec: The run; its ``output_dir`` is left alone.
        completions: How many to look at, at least.

    Returns:
        What was found, in the order in which it was looked at.

    Raises:
        ConfigError: For settings, prompts or rewards that cannot be used.
        ModelError: For a model that cannot be loaded or trained.
    """
    with tempfile.TemporaryDirectory(prefix="gaard-check-") as folder:
        try:
            trainer = runs.build_trainer(costs.trial(spec, folder))
        except GaardError:
            if found := _unrendered(spec):
                return [found]
            raise
        return list(_findings(trainer, completions, spec.max_steps, measured=True))


def _unrendered(spec: runs.RunSpec) -> Finding | None:
    """Conversations for a model without a chat template, if that may be why there is no trainer."""
    dataset = read_prompts(spec.prompts)
    count = conversations(dataset)
    if not count or load_model_and_tokenizer(spec.model)[1].chat_template:
        return None
    return unrendered(count, len(dataset))


def check_trainer(trainer: GAATrainer, completions: int = COMPLETIONS) -> list[Finding]:
    """Look at a trainer before it trains; it stays as it is, and so a step is not measured.

    Args:
        trainer: Any, as it is now.
        completions: How many to look at, at least.

    Returns:
        As :func:`check`.
    """
    return list(_findings(trainer, completions, trainer.args.max_steps, measured=False))


def _findings(trainer: GAATrainer, count: int, max_steps: int, measured: bool) -> Iterator[Finding]:
    """Everything that is looked at."""
    if trainer.accelerator.num_processes > 1:
        raise ConfigError(f"{trainer.accelerator.num_processes} processes: gaard check takes one, without a launcher")
    args, scorer = trainer.args, trainer.scorer
    yield template(trainer.tokenizer, trainer.prompts.texts, trainer.prompts.ids)
    sampled = sample(trainer, count)
    paid = pay(scorer.trained(args.trained_reward), sampled, args.progress)
    limit, eos_known = args.max_completion_length, bool(trainer.collector.eos_token_ids)
    of_pay = list(of_rewards(sampled, paid, args.batch_size, limit, eos_known))
    yield from of_pay
    yield from _costs(trainer, sampled, max_steps, measured and not paid.failures)
    found = {one.about: one for one in of_pay}
    known = paid.rewards[np.isfinite(paid.rewards)]
    yield advice.method(found, len(known) > 0 and is_sparse(torch.from_numpy(known)), args.method)


def of_rewards(
    sampled: Completions, paid: Pay, batch_size: int, limit: int, eos_known: bool = True
) -> Iterator[Finding]:
    """What completions and their rewards say; no model is asked.

    Args:
        sampled: n completions.
        paid: What they are paid.
        batch_size: Completions a rollout.
        limit: ``max_completion_length``.
        eos_known: Whether there is a token that ends a completion.

    Yields:
        The findings; those that need different rewards only where there are such.
    """
    yield rewards.scored(paid)
    known = np.isfinite(paid.rewards)
    scores, every = paid.rewards[known], sampled.groups
    differ = len(scores) > 1 and has_signal(torch.from_numpy(scores))
    if len(scores):
        yield rewards.constant(scores, differ)
    if not differ:
        yield texts.truncation(None, sampled.ended, every, limit, eos_known)
        return
    groups = np.unique(every[known], return_inverse=True)[1]
    chosen = [text for text, there in zip(sampled.texts, known, strict=True) if there]
    yield rewards.sparse(scores, batch_size)
    yield rewards.tail(scores, chosen)
    yield rewards.prompts(scores, groups, chosen)
    yield texts.truncation(scores, sampled.ended[known], groups, limit, eos_known)
    yield texts.length(scores, chosen, sampled.tokens[known], groups)
    yield texts.words(scores, chosen, groups)


def _costs(trainer: GAATrainer, sampled: Completions, max_steps: int, measured: bool) -> Iterator[Finding]:
    """Time and memory; the step is not tried where it cannot fit."""
    held, free, step, failed, unfit = costs.needs(trainer), costs.room(trainer), None, "", ""
    if held.optimizer > free:
        unfit = "gradients and Adam do not fit"
    elif measured:
        try:
            step = costs.measured_step(trainer)
        except torch.OutOfMemoryError:
            unfit = "a step does not fit"
        except GaardError as error:
            failed = str(error)
    on_gpu = trainer.accelerator.device.type == "cuda"
    yield costs.time(step, sampled, max_steps, trainer.args.batch_size, failed)
    yield costs.memory(held, step, free, on_gpu, unfit)
