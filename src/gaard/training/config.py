"""Everything that a run can be told, with one meaning and one default each."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gaard.errors import ConfigError
from gaard.method.choices import KLEstimator
from gaard.methods import Estimator, Method, find_estimator, find_method
from gaard.methods.experience import Observation
from gaard.regularizers import Regularizer, find_regularizers
from gaard.settings import (
    OF_RUNS,
    Count,
    Named,
    NotNegative,
    Positive,
    Whole,
    check_fields,
    suggest,
)
from gaard.training.config_checks import check_output_dir, check_together, check_trackers
from gaard.training.trl_names import told_of_trl

SchedulerType = Literal["linear", "cosine", "constant"]
TrainedReward = Literal["proxy", "true"]
OnDivergence = Literal["stop", "rollback"]

LARGEST_SEED = 2**63 - 1  # evaluation adds to it, and a generator takes 64 bits


@dataclass
class GAAConfig:
    """Settings of one training run. Sizes are global: they hold over all processes together.

    For all of them as plain values use :meth:`record`: ``dataclasses.asdict`` leaves out the names of method,
    advantages and regularizers.

    Attributes:
        output_dir: Folder of the run: metrics, samples, checkpoints.
        method: What trains: ppo, fold, gaa, drop, clip, robust-scaling, signcert, or a file of your own; an object, a
            name, or a mapping of name and options (docs/methods.md). PPO by default; ``gaard.methods.RECOMMENDED`` is
            the safeguard to try first.
        advantages: Where advantages come from: gae, from a critic, with the options gamma, lam, value_learning_rate,
            vf_coef, cliprange_value; or grpo, dr_grpo or rloo, which compare num_generations completions of a prompt.
        regularizers: What holds training back beside the method: gradient-norm, sam, reference-resets, kl-budget, par,
            chi2, max-min, pid-kl, adaptive-kl, ensemble, policy-filtration, imperfect-detector, length-residual.
        seed: Of every random draw.
        max_steps: Training steps: one rollout and its updates each; 0 leaves the model as it is.
        batch_size: Completions a rollout.
        num_ppo_epochs: Passes over each rollout.
        num_mini_batches: Updates a pass; must divide batch_size.
        per_device_train_batch_size: Most completions in one forward and backward of learning on a device, to bound
            its memory; None takes the whole minibatch. Gradients of the parts add up: changes no result beyond
            rounding.
        gradient_checkpointing: Whether learning keeps the input alone of each layer and computes the layer again for
            the gradient: less memory, about a third more time for learning, the same results.
        max_completion_length: Most tokens a completion.
        temperature: The one temperature of sampling and of all log-probabilities.
        learning_rate: Of the policy (AdamW).
        adam_epsilon: AdamW's ε.
        weight_decay: AdamW's weight decay.
        lr_scheduler_type: Shape of the decay after the warm-up: linear, cosine or constant.
        warmup_steps: Training steps of linear warm-up of both learning rates.
        max_grad_norm: Gradients are clipped to this norm.
        cliprange: ε of PPO's clipped ratio.
        entropy_coef: Weight of the entropy bonus.
        kl_coef: Weight of KL(π‖π_ref).
        kl_estimator: exact (whole vocabulary), k2 or k3 as a loss; k1 as a penalty in the reward.
        normalize_rewards: Whether the rewards of a rollout are standardised; None: with gae.
        whiten_advantages: Whether advantages are standardised over a rollout; None: with gae.
        trained_reward: What trains: the proxy, or the true reward, as one would who knew the hack.
        reward_clip: Rewards beyond ± this are cut to it, after they are standardised; None cuts none.
        eval_completions: Fresh completions for the measures at the end of training; 0 for none.
        eval_steps: Training steps between measures on fresh completions on the way, of the prompts that are measured at
            the end; they change no result. None: at the end alone.
        sharpness_steps: Training steps from one look at how sharp the loss is to the next (docs/sharpness.md); None
            never looks, 5 costs little. Changes no result.
        save_steps: Training steps between checkpoints; the last step always has one.
        save_total_limit: Checkpoints kept.
        save_only_model: Whether the checkpoint at the end of training is without the optimizer, which takes twice the
            model's space; the run can then not go on to a larger max_steps. Those before the end always have it.
        log_completions: Completions a step kept in samples.jsonl.
        reward_timeout: Seconds that one call of a reward function or detector of your own may take before the run stops
            with an error that names it; None waits for ever. The function is called in a thread of its own then.
        report_to: Trackers beside metrics.jsonl: one or a list of tensorboard, wandb, trackio, mlflow.
        bf16: Whether forwards and backwards run in bfloat16 autocast; weights and optimizer stay float32.
        use_cpu: Whether to stay on the CPU even if there is an accelerator.
        cpu_kernels: Whether a CPU uses gaard's faster kernels (docs/performance.md); equal but for rounding.
        on_divergence: What comes of numbers that are not finite, or explode: stop ends the run; rollback goes back to
            the last checkpoint, to half the learning rates, five times at most.
        overwrite: Whether a run already in output_dir is deleted and started again.
        accept_changed_rewards: Whether a run goes on although the code of its rewards has changed, as after a fix of
            one that failed; run.json then tells of it.
        progress: Whether to show progress.
    """

    output_dir: str
    method: Named[Method] = Named(find_method, "ppo")
    advantages: Named[Estimator] = Named(find_estimator, "gae")
    regularizers: Named[tuple[Regularizer, ...]] = Named(find_regularizers, ())
    seed: Whole = 0
    max_steps: Whole = 100
    batch_size: Count = 32
    num_ppo_epochs: Count = 2
    num_mini_batches: Count = 4
    per_device_train_batch_size: Count | None = None
    gradient_checkpointing: bool = False
    max_completion_length: Count = 16
    temperature: Positive = 1.0
    learning_rate: Positive = 1e-5
    adam_epsilon: Positive = 1e-5
    weight_decay: NotNegative = 0.0
    lr_scheduler_type: SchedulerType = "linear"
    warmup_steps: Whole = 5
    max_grad_norm: Positive = 1.0
    cliprange: Positive = 0.2
    entropy_coef: NotNegative = 0.0
    kl_coef: NotNegative = 0.1
    kl_estimator: KLEstimator = "exact"
    normalize_rewards: bool | None = None
    whiten_advantages: bool | None = None
    trained_reward: TrainedReward = "proxy"
    reward_clip: Positive | None = None
    eval_completions: Whole = 256
    eval_steps: Count | None = None
    sharpness_steps: Count | None = None
    save_steps: Count = 25
    save_total_limit: Count = 2
    save_only_model: bool = False
    log_completions: Whole = 8
    reward_timeout: Positive | None = None
    report_to: list[str] | str = dataclasses.field(default_factory=list)
    bf16: bool = False
    use_cpu: bool = False
    cpu_kernels: bool = False
    on_divergence: OnDivergence = "stop"
    overwrite: bool = False
    accept_changed_rewards: bool = False
    progress: bool = True

    def __new__(cls, *args: Any, **given: Any) -> "GAAConfig":
        """Refuse unknown names before Python does, in words that help.

        Raises:
            ConfigError: Naming the first, and what was probably meant.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        for name in given:
            if name not in known:
                told = told_of_trl(name) or suggest(name, known, OF_RUNS)
                raise ConfigError(f"{cls.__name__}({name}=…): there is no such setting: {told}")
        return super().__new__(cls)

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            ConfigError: Naming the field, the value and the remedy.
        """
        check_output_dir(self)
        self.output_dir = str(Path(self.output_dir).expanduser())
        check_trackers(self)
        check_fields(self, skip=("output_dir", "report_to"))
        if self.seed > LARGEST_SEED:
            raise ConfigError(f"seed={self.seed} is too large for a random generator: choose one up to {LARGEST_SEED}")
        check_together(self)

    @property
    def exact_kl(self) -> bool:
        """Whether learning needs the reference's whole distributions."""
        return self.kl_estimator == "exact" and (self.kl_coef > 0 or self.kl_controller is not None)

    @property
    def kl_controller(self) -> Regularizer | None:
        """What sets the KL coefficient from step to step, if anything does."""
        return next((one for one in self.regularizers if one.controls_kl), None)

    @property
    def standardizes_rewards(self) -> bool:
        """``normalize_rewards``, or what the estimator says."""
        return self.advantages.standardizes if self.normalize_rewards is None else self.normalize_rewards

    @property
    def standardizes_advantages(self) -> bool:
        """``whiten_advantages``, or what the estimator says."""
        return self.advantages.standardizes if self.whiten_advantages is None else self.whiten_advantages

    @property
    def observes(self) -> Observation:
        """What training has to see of a rollout."""
        seen = self.method.observes
        return dataclasses.replace(
            seen,
            reference_hidden=seen.reference_hidden or self.exact_kl,
            baseline_completions=max((one.baseline_completions for one in self.regularizers), default=0),
        )

    @property
    def num_generations(self) -> int:
        """How many completions of one prompt stand beside each other in a rollout."""
        return max(self.advantages.num_generations, *(one.num_generations for one in self.regularizers), 1)

    @property
    def trains_on(self) -> Any:
        """What trains, before regularisers shape it: ``proxy``, ``true``, or the regulariser that makes an ensemble."""
        ensembles = [one for one in self.regularizers if one.trains_on_ensemble]
        return ensembles[0] if ensembles else self.trained_reward

    @property
    def trains_on_ensemble(self) -> bool:
        """Whether an ensemble of rewards trains in the place of the proxy; else its members are no part of the run."""
        return any(one.trains_on_ensemble for one in self.regularizers)

    @property
    def mini_batch_size(self) -> int:
        """Completions an update, over all processes."""
        return self.batch_size // self.num_mini_batches

    def record(self) -> dict[str, Any]:
        """Every field as ``run.json`` has it.

        This class reads it back, except for a method, estimator or regulariser of a user's own class: its record tells
        its code and not its file. Give the class or its file in its place.
        """
        plain = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        plain["method"], plain["advantages"] = self.method.record(), self.advantages.record()
        plain["regularizers"] = [one.record() for one in self.regularizers]
        return plain
