"""GAATrainer: the loop that every method shares.

sample → score → observe → advantages → for each minibatch: coefficients, objective, step → log
"""

from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainerCallback

from gaard.errors import DivergenceError, GaardError
from gaard.methods.experience import Experience, Rollout
from gaard.models.fingerprint import model_setup
from gaard.policy.model import Policy
from gaard.policy.reference import frozen_copy, frozen_reference
from gaard.policy.saving import load_value_head
from gaard.policy.support import check_supported
from gaard.signals import end, noting
from gaard.training import runlog
from gaard.training.callbacks import Callbacks
from gaard.training.collect import Clock, Collector, shaped
from gaard.training.config import GAAConfig
from gaard.training.control import controlled
from gaard.training.detection import HackDetector
from gaard.training.divergence import check_figures, diverged, go_back
from gaard.training.estimate import estimate
from gaard.training.heard import heard
from gaard.training.metrics import step_metrics
from gaard.training.optimization import build_optimizer, build_scheduler
from gaard.training.outcome import Outcome
from gaard.training.probe import Probe
from gaard.training.progress import StepProgress
from gaard.training.prompts import PromptStream
from gaard.training.run import Run
from gaard.training.scoring import RewardFunctions, Scorer
from gaard.training.setup import build_accelerator, eos_token_ids, load, prepare
from gaard.training.state import TrainingState
from gaard.training.stopping import signal_of_any
from gaard.training.texts import sample_rows
from gaard.training.trl_names import refusing_others
from gaard.training.update import add_gradients, check_finite, figures_alone, minibatches


class GAATrainer(Outcome):
    """Reinforcement learning of a causal LM with the method that its settings name.

    Args:
        model: Alias, hub id, folder, GGUF file, or a loaded model, which is then trained in place.
        reward_funcs: The proxy that trains: one reward function or several, called as TRL's are, with ``prompts``,
            ``completions``, ``completion_ids`` and the dataset's columns as keywords.
        args: The run's settings.
        train_dataset: Prompts, or rows with a ``prompt`` and further columns.
        eval_dataset: Prompts that are measured and never trained on, of the same form; by default those that train.
        processing_class: The tokenizer; by default the model's own.
        reward_weights: One a reward function; by default 1 each.
        true_reward_funcs: What the reward should have been, logged beside it; by default the proxy without its
            honeypot, and unknown if it has none.
        hack_detector: Completions → whether each is a hack; by default that of the ``ExploitableReward``. Without
            either no hack rate is logged.
        judge_reward_funcs: A judge that nothing trains on, watched beside the truth.
        ensemble_reward_funcs: Rewards for one thing, for the regularizer ``ensemble``, which trains on them in the
            proxy's place.
        peft_config: Of an adapter that is added to the model and trained in its place, such as ``LoraConfig(r=8)``.
        callbacks: transformers' callbacks, such as :class:`gaard.integrations.transformers.GaardMonitor`. They are no
            part of what tells one run from another, and are not kept in checkpoints.

    Raises:
        ConfigError: For settings, prompts or callbacks that cannot be run.
        ModelError: For a model that cannot be loaded or trained.
    """

    _failure: GaardError | None = None
    _now: GAAConfig | None = None  # the settings with the KL coefficient of this step

    @refusing_others
    def __init__(
        self,
        model: str | Path | PreTrainedModel,
        reward_funcs: RewardFunctions,
        args: GAAConfig,
        train_dataset: Iterable[str | Mapping[str, Any]],
        *,
        eval_dataset: Iterable[str | Mapping[str, Any]] | None = None,
        processing_class: PreTrainedTokenizerBase | None = None,
        reward_weights: list[float] | None = None,
        true_reward_funcs: RewardFunctions | None = None,
        hack_detector: HackDetector | None = None,
        judge_reward_funcs: RewardFunctions | None = None,
        ensemble_reward_funcs: RewardFunctions | None = None,
        peft_config: Any = None,
        callbacks: Sequence[TrainerCallback | type[TrainerCallback]] = (),
    ):
        self.args = args
        members = ensemble_reward_funcs if args.trains_on_ensemble else None
        watched = true_reward_funcs, hack_detector, judge_reward_funcs
        self.scorer = Scorer(reward_funcs, reward_weights, *watched, members).checked(args)
        self.accelerator = build_accelerator(args)
        told: list[str] = []
        lm, self.tokenizer = load(model, processing_class, told.append)
        prepare(lm, args, peft_config)
        self.prompts = PromptStream(train_dataset, self.tokenizer)
        held_out = None if eval_dataset is None else PromptStream(eval_dataset, self.tokenizer, "eval_dataset")
        self.eval_prompts, self.generator = held_out, torch.Generator().manual_seed(args.seed)
        self.policy = self._policy(lm)
        self.untrained = frozen_reference(self.policy)
        moves = any(one.moves_reference for one in args.regularizers)
        self.reference = frozen_copy(self.policy) if moves else self.untrained
        optimizer = build_optimizer(self.policy, args)
        scheduler = build_scheduler(optimizer, args)
        self.model, self.optimizer = self.accelerator.prepare(self.policy, optimizer)
        ends = eos_token_ids(lm, self.tokenizer)
        self._setup = model_setup(lm, self.tokenizer, ends, self.policy.value_head)
        policies = self.policy, self.reference, self.untrained
        self.collector = Collector(*policies, self.scorer, self.tokenizer, ends, self.accelerator, args)
        self.state = TrainingState(
            *(self.policy, self.reference if moves else None, self.optimizer.optimizer, scheduler),
            *(self.prompts, self.generator, self.collector.baseline_scores),
        )
        self.probe = Probe(list(self.policy.lm.parameters()), args.sharpness_steps)
        self.scorer.follow(self.state, args, self.accelerator)
        self.run = Run(self.state, args, self.accelerator, told)
        self.callbacks = Callbacks(callbacks, self.state, args, self.accelerator, self.tokenizer, self.optimizer)

    def _policy(self, lm: PreTrainedModel) -> Policy:
        """The policy on its device, checked against all prompts, with the value head that was saved or a new one."""
        args = self.args
        policy = Policy(lm, args.temperature, args.cpu_kernels, args.advantages.has_critic).to(self.accelerator.device)
        streams = [stream for stream in (self.prompts, self.eval_prompts) if stream is not None]
        longest = max((stream.longest for stream in streams), key=itemgetter(1))
        check_supported(policy, longest, args.max_completion_length, [row for one in streams for row in one.ids])
        policy.initialize_value_head(self.generator)
        if lm.config.name_or_path:
            load_value_head(policy, Path(lm.config.name_or_path))
        return policy

    def training_step(self) -> dict[str, float]:
        """One rollout and its updates, logged and, every ``save_steps``, saved.

        Returns:
            The step's metrics (docs/metrics.md); with ``on_divergence="rollback"`` they may be of an earlier step than
            the last, to which the run has gone back.

        Raises:
            DivergenceError: If the run diverges, and is not to go back or cannot.
            GaardError: For a mistake that can be mended, or if the run is done; what was trained is on the disk.
        """
        while True:
            try:
                return self._step()
            except DivergenceError as error:
                go_back(self.run, error, self.record())

    def _step(self) -> dict[str, float]:
        """What :meth:`training_step` says, without going back."""
        self.open_run()
        if self.run.finished:
            self.run.close()
            raise GaardError(f"the run is done after step {self.state.step}: for more, give a larger max_steps")
        args, state, clock, self._failure = self.args, self.state, Clock(), None
        if state.step == 0 and args.on_divergence == "rollback":
            self.run.save()
        self.callbacks.catch_up(self.run.log)
        with self.run.guarded_step():
            self.callbacks.call("on_step_begin")
            batch = self.prompts.draw(args.batch_size, self.generator, args.num_generations)
            rollout = self.collector.collect(batch, self.generator, clock, args.observes)
            rollout = shaped(rollout, args.regularizers, self.generator)
            args = self._now = controlled(args, state, rollout)
            experience = estimate(rollout, args, state.memory)
            self._warn(rollout)
            metrics = self._learn(experience, args)
            clock.lap("learn")
            state.scheduler.step()
            state.step += 1
            state.ended = any(one.ends(metrics) for one in args.regularizers)
            if any(one.resets_reference(state.step) for one in args.regularizers):
                self.reference.load_state_dict(self.policy.state_dict())
            if self.accelerator.is_main_process:
                samples = sample_rows(state.step, batch.texts, experience, self.tokenizer, self.scorer, args)
                self.run.write_step(metrics, samples, {"seconds": clock.seconds, **clock.laps})
            state.torn = False
            self.evaluate_on_the_way()
            self.callbacks.step_done(metrics, batch, rollout)
            if self._failure or self.callbacks.save or self.run.finished:
                self.run.save()
                self.callbacks.call("on_save")
            if self._failure:
                raise self._failure
        if self.run.finished:
            self.run.close()
        return metrics

    def _warn(self, rollout: Rollout) -> None:
        """Say what is to be said of the run's first rollouts, here and in its folder."""
        if self.state.warned:
            return
        self.state.warned, sentences = heard(rollout, self.state.step + 1, self.args.max_steps, self.args.method)
        for sentence in sentences:
            self.run.warn(sentence)

    def _learn(self, experience: Experience, args: GAAConfig) -> dict[str, float]:
        """The updates of a step, and its metrics."""
        self.probe.begin(self.state.step + 1)
        figures = self._updates(experience)
        metrics = step_metrics(self.state.step + 1, experience, figures, self.optimizer, args, self.scorer)
        check_figures(metrics, self.run)
        return metrics | self.probe.found()

    def _updates(self, experience: Experience) -> list[dict[str, Tensor]]:
        """The epochs over one rollout; cut short by a gradient that is not finite, after which training stops."""
        figures: list[dict[str, Tensor]] = []
        for _ in range(self.args.num_ppo_epochs):
            for rows in minibatches(self.args.batch_size, self.args.num_mini_batches, self.generator):
                try:
                    figures.append(self.update(experience.rows(rows.to(self.accelerator.device))))
                except FloatingPointError as error:
                    self.optimizer.zero_grad()
                    self._failure = diverged(str(error), self.run)
                    if not figures or self.args.on_divergence == "rollback":
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
        self.probe.look(figures, lambda: self._losses(minibatch))
        policy, critic = (tuple(part.parameters()) for part in (self.policy.lm, self.policy.critic))
        for one in self.args.regularizers:
            one.change_gradient(policy, critic, lambda: self._gradients(minibatch))
        norm = self.accelerator.clip_grad_norm_(self.model.parameters(), self.args.max_grad_norm)
        check_finite(norm, self.state.step + 1, self.args)
        self.state.torn = True
        self.optimizer.step()
        self.optimizer.zero_grad()
        return {**figures, "grad_norm": norm}

    def _gradients(self, minibatch: Experience) -> dict[str, Tensor]:
        """Add the gradients of a minibatch's loss to those there are."""
        return add_gradients(self.model, self.reference, minibatch, self.accelerator, self._now or self.args)

    def _losses(self, minibatch: Experience) -> dict[str, Tensor]:
        """What :meth:`_gradients` returns, without gradients."""
        return figures_alone(self.model, self.reference, minibatch, self.accelerator, self._now or self.args)

    def train(self) -> dict[str, float]:
        """Train to ``max_steps``, going on from the last checkpoint if the folder holds this run, unfinished.

        A trainer that has made steps already goes on from where it is. A run that a callback has stopped is unfinished.
        At SIGTERM or Ctrl-C the step is finished and saved; a second one stops at once.

        Returns:
            The metrics of the last step.

        Raises:
            GaardError: For a mistake that can be mended; what was trained until then is on the disk.
            KeyboardInterrupt: After Ctrl-C.
            Terminated: After SIGTERM; it ends the process with status 143.
        """
        args, main = self.args, self.accelerator.is_main_process
        metrics: dict[str, float] = {}
        with (
            self.opened_run(),
            self.run.trackers(self.record()),
            StepProgress(args.max_steps, f"{args.method.name} seed {args.seed}", args.progress and main) as progress,
            noting() as stopping,
        ):
            progress.show(self.state.step, {})
            self.callbacks.catch_up(self.run.log)
            self.callbacks.call("on_train_begin")
            while not self.run.finished and not self.callbacks.stop:
                metrics = self.training_step()
                progress.show(self.state.step, metrics)
                if number := signal_of_any(stopping, self.accelerator):
                    self.run.save()
                    end(number)
            self.callbacks.call("on_train_end")
        return metrics or next(reversed(self.run.log.read(runlog.METRICS)), {})
