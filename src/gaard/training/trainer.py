"""GAATrainer: the loop that PPO and GAA share.

sample → score → observe the greedy branch → advantages → for each minibatch: coefficients, objective, step → log
"""

import contextlib
import dataclasses
import json
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from gaard.errors import ConfigError, GaardError
from gaard.policy.model import PolicyWithValue, Reference
from gaard.policy.reference import frozen_reference, moving_reference
from gaard.policy.saving import load_value_head, save_policy
from gaard.policy.sources import model_fingerprint
from gaard.policy.support import check_supported
from gaard.training import runlog
from gaard.training.checkpoint import generator_states, load_checkpoint, restore_generators, save_checkpoint, write_file
from gaard.training.collect import Clock, Collector, shard
from gaard.training.config import GAAConfig
from gaard.training.estimate import estimate, has_signal, is_sparse
from gaard.training.evaluation import evaluate
from gaard.training.experience import Experience, Rollout, minibatches
from gaard.training.flatness import flatten_gradient
from gaard.training.judge import HackDetector, Judge, RewardFunctions
from gaard.training.metrics import step_metrics
from gaard.training.optimization import build_optimizer, build_scheduler
from gaard.training.prompts import PromptBatch, PromptStream
from gaard.training.setup import build_accelerator, eos_token_ids, load
from gaard.training.texts import sample_rows
from gaard.training.update import check_finite, loss_and_figures, weights


class GAATrainer:
    """Reinforcement learning of a causal LM with PPO or one of the readings of GAA.

    Args:
        model: Alias, hub id, folder, GGUF file, or a loaded model, which is then trained in place.
        reward_funcs: The proxy that trains: one reward function or several, called as TRL's are, with ``prompts``,
            ``completions``, ``completion_ids`` and the dataset's columns as keywords.
        args: The run's settings.
        train_dataset: Prompts, or rows with a ``prompt`` and further columns.
        processing_class: The tokenizer; by default the model's own.
        reward_weights: One a reward function; by default 1 each.
        true_reward_funcs: What the reward should have been, logged beside it; by default the proxy without its
            honeypot.
        hack_detector: Completions → whether each is a hack; by default that of the ``ExploitableReward``.
        gold_reward_funcs: A judge that nothing trains on, watched beside the truth.

    Raises:
        ConfigError: For settings or prompts that cannot be run.
        ModelError: For a model that cannot be loaded or trained.
    """

    def __init__(
        self,
        model: str | Path | PreTrainedModel,
        reward_funcs: RewardFunctions,
        args: GAAConfig,
        train_dataset: Iterable[str | Mapping[str, Any]],
        *,
        processing_class: PreTrainedTokenizerBase | None = None,
        reward_weights: list[float] | None = None,
        true_reward_funcs: RewardFunctions | None = None,
        hack_detector: HackDetector | None = None,
        gold_reward_funcs: RewardFunctions | None = None,
    ):
        self.args = args
        self.judge = Judge(reward_funcs, reward_weights, true_reward_funcs, hack_detector, gold_reward_funcs)
        self.accelerator = build_accelerator(args)
        lm, self.tokenizer = load(model, processing_class)
        self.prompts = PromptStream(train_dataset, self.tokenizer)
        self.generator = torch.Generator().manual_seed(args.seed)
        self.policy = PolicyWithValue(lm, args.temperature).to(self.accelerator.device)
        check_supported(self.policy, self.prompts.longest, args.max_completion_length)
        self.policy.initialize_value_head(self.generator)
        if lm.config.name_or_path:
            load_value_head(self.policy, Path(lm.config.name_or_path))
        self.untrained = frozen_reference(self.policy)
        self.reference = moving_reference(self.untrained) if args.reference_reset_steps else self.untrained
        optimizer = build_optimizer(self.policy, args)
        self.scheduler = build_scheduler(optimizer, args)
        self.model, self.optimizer = self.accelerator.prepare(self.policy, optimizer)
        eos = eos_token_ids(lm, self.tokenizer)
        self.collector = Collector(
            *(self.policy, self.reference, self.untrained, self.judge, self.tokenizer, eos, self.accelerator, args)
        )
        self.log = runlog.RunLog(Path(args.output_dir))
        self.step = 0
        self._claimed = self._changed = self._spent = self._looked = False
        self._failure: GaardError | None = None

    # The loop ---------------------------------------------------------------------------------------------------------

    def training_step(self) -> dict[str, float]:
        """One rollout and its updates.

        Returns:
            The step's metrics (docs/metrics.md).
        """
        clock = Clock()
        batch = self.prompts.draw(self.args.batch_size, self.generator)
        rollout = self.collector.collect(batch, self.generator, clock)
        experience = estimate(rollout, self.args)
        self._warn_of_sparse(rollout)
        figures = self._updates(experience)
        metrics = step_metrics(self.step + 1, experience, figures, self.optimizer, self.args)
        clock.lap("learn")
        self.scheduler.step()
        self.step += 1
        self._changed = False
        if self.args.reference_reset_steps and self.step % self.args.reference_reset_steps == 0:
            self.reference.load_state_dict(self.policy.state_dict())
        self._log(metrics, batch, experience, clock)
        return metrics

    def _warn_of_sparse(self, rollout: Rollout) -> None:
        """Say that a fold unlearns rare successes, if the first rollout whose rewards differ has nothing else.

        Later, a policy that has learned writes one text again and again, and its rewards are one number for that.
        """
        if self._looked or not has_signal(rollout.trained_scores):
            return
        self._looked = True
        if self.args.advantage_fold and self.accelerator.is_main_process and is_sparse(rollout.trained_scores):
            warnings.warn(
                f"step {self.step + 1}: most rewards are one number, so that the few above it stand out, and "
                f"advantage_fold={self.args.advantage_fold:g} unlearns what stands out: if those are the successes "
                "that you want, train with method='gaa-paper' or 'ppo'",
                stacklevel=3,
            )

    def _updates(self, experience: Experience) -> list[dict[str, Tensor]]:
        """The epochs over one rollout; cut short by a gradient that is not finite, after which training stops."""
        figures: list[dict[str, Tensor]] = []
        for _ in range(self.args.num_ppo_epochs):
            for rows in minibatches(self.args.batch_size, self.args.num_mini_batches, self.generator):
                try:
                    figures.append(self.update(experience.rows(rows.to(self.accelerator.device))))
                except FloatingPointError as error:
                    self.optimizer.zero_grad()
                    self._failure = GaardError(str(error))
                    if not figures:
                        raise self._failure from error
                    return figures
        return figures

    def update(self, minibatch: Experience) -> dict[str, Tensor]:
        """One optimizer step along a·∇J_x + b·∇J_x* (G9).

        Args:
            minibatch: The rows of all processes; each learns from its own share.

        Returns:
            Means over the minibatch, and the gradient's norm before clipping.

        Raises:
            FloatingPointError: If the gradient is not finite; the weights are then as they were.
        """
        figures = self._gradients(minibatch)
        if self.args.flatness != "none":
            policy, critic = self.policy.lm.parameters(), self.policy.value_head.parameters()
            flatten_gradient(policy, critic, lambda: self._gradients(minibatch), self.args)
        norm = self.accelerator.clip_grad_norm_(self.model.parameters(), self.args.max_grad_norm)
        check_finite(norm, self.step + 1, self.args)
        self._changed = True
        self.optimizer.step()
        self.optimizer.zero_grad()
        return {**figures, "grad_norm": norm}

    def _gradients(self, minibatch: Experience) -> dict[str, Tensor]:
        """Add the gradients of a minibatch's loss to those there are; its means over all processes."""
        weight = weights(minibatch, self.args)
        count = minibatch.rollout.completion_mask.sum()
        own = shard(self.args.mini_batch_size, self.accelerator)
        size = self.args.per_device_train_batch_size or self.args.mini_batch_size
        parts = torch.arange(own.start, own.stop, device=count.device).split(size)
        shares: list[dict[str, Tensor]] = []
        for i, rows in enumerate(parts):
            part = minibatch.rows(rows)
            with self.accelerator.autocast():
                statistics = self._forward(part)
            own_weight = weight.part(rows, part.eta.shape[1])
            loss, figures = loss_and_figures(statistics, part, own_weight, count, self.args)
            last = i == len(parts) - 1
            with contextlib.nullcontext() if last else self.accelerator.no_sync(self.model):
                # Gradients are averaged over processes, but their losses are shares of one sum.
                self.accelerator.backward(loss * self.accelerator.num_processes)
            shares.append(figures)
        totals = {key: sum(share[key] for share in shares) for key in shares[0]}
        return self.accelerator.reduce(totals, reduction="sum")

    def _forward(self, part: Experience) -> Any:
        """What the policy says now of the rows, with gradients."""
        rollout = part.rollout
        return self.model(
            rollout.prompt_ids,
            rollout.prompt_mask,
            rollout.completion_ids,
            rollout.completion_mask,
            rollout.greedy_ids,
            Reference(rollout.ref_hidden, self.reference) if self.args.exact_kl else None,
            with_entropy=self.args.entropy_coef > 0,
        )

    # A whole run ------------------------------------------------------------------------------------------------------

    def train(self) -> dict[str, float]:
        """Train to ``max_steps``, going on from the last checkpoint if the folder holds this run, unfinished.

        Returns:
            The metrics of the last step.

        Raises:
            GaardError: For a mistake that can be mended; what was trained until then is on the disk.
        """
        self.claim_folder()
        self._resume()
        if self.args.report_to:
            plain = {k: v if isinstance(v, (int, float, str)) else str(v) for k, v in self.record().items()}
            self.accelerator.init_trackers(runlog.TRACKED, config=plain)
        metrics: dict[str, float] = {}
        label, main = f"{self.args.method} seed {self.args.seed}", self.accelerator.is_main_process
        try:
            with runlog.StepProgress(self.args.max_steps, label, self.args.progress and main) as progress:
                progress.show(self.step, {})
                while not self._finished:
                    metrics = self._guarded_step()
                    progress.show(self.step, metrics)
        finally:
            # Not end_training(), which also ends the process group that saving and measuring still need.
            for tracker in self.accelerator.trackers:
                tracker.finish()
        return metrics or next(reversed(self.log.read(runlog.METRICS)), {})

    @property
    def _finished(self) -> bool:
        """Whether all steps are done, or the budget of KL is spent."""
        return self._spent or self.step >= self.args.max_steps

    def evaluate(self, completions: int | None = None) -> dict[str, float]:
        """Measure the policy as it is now on fresh completions.

        Args:
            completions: How many at least; by default ``eval_completions``.

        Returns:
            The measures of :mod:`gaard.training.evaluation`.

        Raises:
            ConfigError: For no completions.
        """
        count = self.args.eval_completions if completions is None else completions
        if count < 1:
            raise ConfigError(f"eval_completions={count} leaves nothing to measure: make it 1 or more")
        return evaluate(self.collector, self.prompts, count, self.args.seed)

    def evaluated(self) -> dict[str, float]:
        """The measures at the end of the run, taken once and kept in ``evaluation.json``.

        Returns:
            As :meth:`evaluate`.
        """
        path = self.log.folder / runlog.EVALUATION
        with contextlib.suppress(OSError, ValueError):  # missing or torn: measure again, to the same numbers
            return json.loads(path.read_text(encoding="utf-8"))
        measures = self.evaluate()
        if self.accelerator.is_main_process:
            write_file(path, json.dumps(measures, indent=2) + "\n")
        return measures

    def save_model(self, output_dir: str | Path) -> None:
        """Save the policy for plain transformers, tokenizer and critic beside it.

        Args:
            output_dir: The folder; made if it is not there.
        """
        if self.accelerator.is_main_process:
            save_policy(self.policy, self.tokenizer, Path(output_dir))
        self.accelerator.wait_for_everyone()

    def _guarded_step(self) -> dict[str, float]:
        """A step that, if it fails before any weight has changed, leaves a checkpoint of where it began."""
        start = self._state()
        try:
            metrics = self.training_step()
            self._spent = self.args.kl_budget is not None and metrics["kl_ref"] >= self.args.kl_budget
            if self._failure or self.step % self.args.save_steps == 0 or self._finished:
                self._save(self._state())
            if self._failure:
                raise self._failure
            return metrics
        except BaseException:
            whole = not self._changed and self.step == start["step"] > 0
            if whole and self.accelerator.is_main_process:
                with contextlib.suppress(GaardError):
                    self._write_checkpoint(start)
            raise

    def claim_folder(self) -> None:
        """Make ``output_dir`` this run's, or recognise it as already so; once a trainer.

        Raises:
            CheckpointError: If the folder holds another run and ``overwrite`` is off.
        """
        if self._claimed:
            return
        self._claimed = True
        if self.accelerator.is_main_process:
            self.log.claim(self.record(), self.args.overwrite)
        self.accelerator.wait_for_everyone()

    def record(self) -> dict[str, Any]:
        """All that is to be known of the run: settings, model and hash of its first weights, rewards, prompts."""
        return {
            "model": self.policy.lm.config.name_or_path,
            **dataclasses.asdict(self.args),
            # Adapters start as no change, from weights of chance.
            "model_sha256": model_fingerprint(self.untrained.lm, frozen_only=True),
            "rewards": self.judge.identity(),
            "prompts": self.prompts.fingerprint,
        }

    @property
    def _moving_reference(self) -> PolicyWithValue | None:
        """The reference, if a checkpoint has to hold it."""
        return self.reference if self.args.reference_reset_steps else None

    def _state(self) -> dict[str, Any]:
        """All that a checkpoint holds beside weights and optimizer."""
        return {
            "step": self.step,
            "scheduler": self.scheduler.state_dict(),
            "prompts": self.prompts.state(),
            "generators": generator_states(self.generator),
            "spent": self._spent,
            "rivals": [[list(key), scores.tolist()] for key, scores in self.collector.rivals.items()],
        }

    def _save(self, state: dict[str, Any]) -> None:
        """Write a checkpoint, on one process; the others wait."""
        if self.accelerator.is_main_process:
            self._write_checkpoint(state)
        self.accelerator.wait_for_everyone()

    def _write_checkpoint(self, state: dict[str, Any]) -> None:
        """Write a checkpoint, whatever the other processes do."""
        optimizer = None if self._finished else self.optimizer.optimizer
        keep, moving = self.args.save_total_limit, self._moving_reference
        save_checkpoint(self.log.checkpoints, self.policy, optimizer, state, keep, moving)

    def _resume(self) -> None:
        """Go on from the newest whole checkpoint, if there is one."""
        optimizer = self.optimizer.optimizer
        state = load_checkpoint(self.log.checkpoints, self.policy, optimizer, self._moving_reference)
        self.step = 0 if state is None else state["step"]
        self._looked = self.step > 0
        if state is not None:
            self.scheduler.load_state_dict(state["scheduler"])
            self.prompts.restore(state["prompts"])
            restore_generators(state["generators"], self.generator)
            self._spent = state["spent"]
            self.collector.rivals = {tuple(key): torch.tensor(scores) for key, scores in state["rivals"]}
        if self.accelerator.is_main_process:
            self.log.truncate(self.step)
            if not self._finished:  # what was measured before is not of the policy that is to come
                (self.log.folder / runlog.EVALUATION).unlink(missing_ok=True)

    def _log(self, metrics: dict[str, float], batch: PromptBatch, experience: Experience, clock: Clock) -> None:
        """Append to the run's files and trackers."""
        if not self.accelerator.is_main_process:
            return
        rows = sample_rows(self.step, batch.texts, experience, self.tokenizer, self.judge, self.args)
        self.log.write(runlog.METRICS, [metrics])
        self.log.write(runlog.SAMPLES, rows)
        self.log.write(runlog.TIMINGS, [{"step": self.step, "seconds": clock.seconds, **clock.laps}])
        if self.args.report_to:
            self.accelerator.log({key: x for key, x in metrics.items() if key != "step"}, step=self.step)
