"""What a trainer has to show for its training: what is known of the run, measures, the saved model, the hub."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from transformers import PreTrainedTokenizerBase

from gaard.errors import ConfigError
from gaard.models.fingerprint import model_fingerprint
from gaard.models.terminal import hidden_bars
from gaard.policy.model import Policy
from gaard.policy.reference import has_adapters
from gaard.policy.saving import save_policy
from gaard.training import runlog
from gaard.training.callbacks import Callbacks
from gaard.training.card import Known, model_card, write_card
from gaard.training.collect import Collector
from gaard.training.config import GAAConfig
from gaard.training.evaluation import evaluate
from gaard.training.generators import generator_states, restore_generators
from gaard.training.hub import upload
from gaard.training.identity import EVAL_PROMPTS, code_facts
from gaard.training.prompts import PromptStream
from gaard.training.run import Run
from gaard.training.scoring import Scorer
from gaard.training.stopping import stops_told
from gaard.version import ALGORITHM_VERSION


class Outcome:
    """The part of a trainer that does not train; :class:`gaard.training.trainer.GAATrainer` makes its attributes."""

    args: GAAConfig
    accelerator: Accelerator
    policy: Policy
    untrained: Policy
    tokenizer: PreTrainedTokenizerBase
    prompts: PromptStream
    eval_prompts: PromptStream | None
    scorer: Scorer
    collector: Collector
    callbacks: Callbacks
    run: Run
    _setup: dict[str, Any]
    _record: dict[str, Any] | None = None
    _measured: tuple[int, dict[str, float]] = (0, {})  # at which step, and what

    @property
    def model_folder(self) -> Path:
        """Where the trained model goes in the run's folder."""
        return Path(self.args.output_dir) / runlog.MODEL

    def claim_folder(self) -> None:
        """Make ``output_dir`` this run's before anything is trained.

        Raises:
            CheckpointError: If the folder holds another run and ``overwrite`` is off.
        """
        self.run.claim(self.record())

    def open_run(self) -> None:
        """Claim the folder and go on from its newest checkpoint, with the evaluation behind it if that failed.

        Raises:
            GaardError: As :meth:`gaard.training.run.Run.open`.
        """
        if self.run.open(self.record()):
            self.evaluate_on_the_way()

    @contextlib.contextmanager
    def opened_run(self) -> Iterator[None]:
        """:meth:`open_run`, and the folder left to others at the end, however it comes."""
        try:
            self.open_run()
            yield
        finally:
            self.run.close()

    def evaluate(self, completions: int | None = None) -> dict[str, float]:
        """Measure the policy as it is now on fresh completions.

        Args:
            completions: How many at least; by default ``eval_completions``.

        Returns:
            The measures of :mod:`gaard.training.evaluation`.

        Raises:
            ConfigError: For no completions.
            GaardError: If memory does not suffice.
        """
        count = self.args.eval_completions if completions is None else completions
        if count < 1:
            raise ConfigError(f"eval_completions={count} leaves nothing to measure: make it 1 or more")
        with stops_told(self.args, self.accelerator, "the evaluation"):
            return evaluate(self.collector, self.eval_prompts or self.prompts, count, self.args.seed)

    def evaluate_on_the_way(self) -> None:
        """After every ``eval_steps`` steps: measure, and append that to ``evaluations.jsonl``; changes nothing else.

        A run whose evaluation failed is taken up behind the step, and has it to do still.
        """
        args, state = self.args, self.run.state
        if args.eval_steps is None or not state.step or state.step % args.eval_steps:
            return
        if any(row["step"] == state.step for row in self.run.log.read(runlog.EVALUATIONS)):
            return
        before = generator_states(state.generator)
        measures = self.evaluate()
        restore_generators(before, state.generator)  # rewards may draw from the global ones
        if self.accelerator.is_main_process:
            self.run.log.write(runlog.EVALUATIONS, [{"step": state.step, **measures}])

    def evaluated(self) -> dict[str, float]:
        """The measures of the run as far as it is done; at its end taken once, and kept in ``evaluation.json``.

        Returns:
            As :meth:`evaluate`.

        Raises:
            CheckpointError: If the folder holds another run.
        """
        with self.opened_run():
            measures = self.run.kept_measures() if self.run.finished else None
            if measures is None:
                measures = self.evaluate()
                if self.run.finished:
                    self.run.keep_measures(measures)
            self._measured = self.run.state.step, measures
        return measures

    def save_model(self, output_dir: str | Path) -> None:
        """Save the policy for plain transformers, tokenizer and critic beside it, and a model card.

        Args:
            output_dir: The folder; made if it is not there. A ``README.md`` there that gaard did not write is left
                alone.

        Raises:
            ModelError: If the disk does not take it.
        """
        if self.accelerator.is_main_process:
            with hidden_bars():
                save_policy(self.policy, self.tokenizer, Path(output_dir))
        self.save_card(output_dir)

    def save_card(self, output_dir: str | Path, found: Sequence[str] | None = None) -> None:
        """Write the model card alone, as when the model has been measured since it was saved.

        Args:
            output_dir: The folder of the saved model.
            found: What else is alarming in what the reward pays for, a sentence each; None if nobody looked.

        Raises:
            ModelError: If the disk does not take it.
        """
        if self.accelerator.is_main_process:
            write_card(Path(output_dir), model_card(self._known(found)))
        self.accelerator.wait_for_everyone()

    def push_to_hub(self, repo_id: str, *, private: bool | None = None, token: str | None = None) -> str:
        """Save the model and its card in the run's folder ``model``, and upload that to the hub.

        Args:
            repo_id: The repository, such as ``"me/my-model"``; made if it is not there.
            private: Whether one that is made is private; None as your account has it by default.
            token: Of the hub; by default the one that ``hf auth login`` or ``HF_TOKEN`` gave.

        Returns:
            The address of the repository.

        Raises:
            HubError: If the hub does not take it. The model is whole in its folder then, and the message says how to
                upload it later.
        """
        self.save_model(self.model_folder)
        return self.upload_saved(self.model_folder, repo_id, private=private, token=token)

    def upload_saved(self, folder: Path, repo_id: str, *, private: bool | None = None, token: str | None = None) -> str:
        """The second half of :meth:`push_to_hub`, for a model that is saved already; on one process.

        Args:
            folder: Of the model.
            repo_id: As for :meth:`push_to_hub`.
            private: As there.
            token: As there.

        Returns:
            The address; nothing on the other processes, which wait.

        Raises:
            HubError: As there.
        """
        try:
            return upload(folder, repo_id, private, token) if self.accelerator.is_main_process else ""
        finally:
            self.accelerator.wait_for_everyone()

    def record(self) -> dict[str, Any]:
        """All that is to be known of the run: settings, rewards, prompts, the hash of its first weights, the code."""
        # Made once: it hashes every weight and asks git, and every step asks for it.
        self._record = self._record or {
            "algorithm": ALGORITHM_VERSION,
            "config": {"model": self.policy.lm.config.name_or_path, **self.args.record()},
            # Adapters start as no change, from weights of chance.
            "model_sha256": model_fingerprint(self.untrained.lm, frozen_only=True),
            "model_setup": self._setup,
            "rewards": self.scorer.identity(),
            "prompts": self.prompts.fingerprint,
            **({} if self.eval_prompts is None else {EVAL_PROMPTS: self.eval_prompts.fingerprint}),
            "code": code_facts(self.accelerator.device),
        }
        return self._record

    def _known(self, found: Sequence[str] | None) -> Known:
        """What the model card tells."""
        step, rows = self.run.state.step, self.run.log.read(runlog.METRICS)
        of_step, measures = self._measured
        if of_step != step:
            measures = (self.run.kept_measures() if self.run.finished else None) or {}
        watching = [one for one in self.callbacks.given if hasattr(one, "alarms")]
        alarms = [f"step {alarm.step}: {alarm.reason}" for one in watching for alarm in one.alarms]
        return Known(
            record=self.record(),
            step=step,
            last=next((row for row in rows if row["step"] == step), {}),
            measures=measures,
            alarms=[*alarms, *(found or [])] if watching or found is not None else None,
            adapter=has_adapters(self.policy.lm),
        )
