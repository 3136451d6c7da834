"""Everything that a run can be told, with one meaning and one default each."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from gaard.errors import ConfigError, did_you_mean
from gaard.method.coefficients import Granularity
from gaard.method.objective import GreedyClip, KLEstimator, ScaledTerms
from gaard.method.presets import PRESETS, CoefficientsName, GreedyRatio, GreedyToken, Method, Reading

SchedulerType = Literal["linear", "cosine", "constant"]
Flatness = Literal["none", "gradient-norm", "sam"]
RewardShaping = Literal["none", "par"]
TrainedReward = Literal["proxy", "true"]

# What a run's results do not depend on: changing one of these does not make it another run. Of the model it is the
# weights that count, by their hash, not the name or folder that they came under.
NOT_IDENTITY = frozenset(
    {"output_dir", "overwrite", "report_to", "save_steps", "save_total_limit", "progress", "model"}
)


@dataclass
class GAAConfig:
    """Settings of one training run. Sizes are global: they hold over all processes together.

    Attributes:
        output_dir: Folder of the run: metrics, samples, checkpoints.
        method: Named reading of the method: ppo, gaa (what gaard recommends), gaa-paper (the seed's text) or
            gaa-reference (the author's code). It sets those of the next six options and of advantage_fold that are not
            given. ppo and gaa look at no greedy token: there the options from greedy_ratio to dead_zone, eta_scale
            and sigma_scale change nothing.
        coefficients: Where a and b come from: gaa (G7, G8), gaa-a or gaa-b (one of them alone), ppo (1 and 0) or
            constant.
        greedy_ratio: Ratio that J_x* uses: the greedy token's own, or the sampled token's.
        granularity: Whether η and σ are each token's, or the minibatch's means.
        scaled_terms: Whether a multiplies the surrogate alone, or value loss, KL and entropy too (objective).
        greedy_clip: reference keeps b outside PPO's minimum, pessimistic folds it into the advantage.
        greedy_token: What x* is: the greedy token; the one of best value among the likeliest; or a random one, drawn
            from the policy.
        greedy_candidates: How many of the likeliest tokens are valued for greedy_token=value.
        dead_zone: Gaps count from this many of their standard deviations on: σ ← max(σ − dead_zone·std(σ), 0).
        advantage_fold: Sampled advantages beyond this many robust standard deviations are turned into their negative:
            only slightly better becomes more likely, much better less. 0 turns none. Not for sparse rewards, whose rare
            successes it unlearns.
        constant_a: The a of coefficients=constant.
        constant_b: The b of coefficients=constant.
        eta_scale: Multiplier of η (G11).
        sigma_scale: Multiplier of σ (G11); 0.5 is the seed's σ/2, 0 makes gaa-paper ppo.
        seed: Of every random draw.
        max_steps: Training steps: one rollout and its updates each.
        batch_size: Completions a rollout.
        num_ppo_epochs: Passes over each rollout.
        num_mini_batches: Updates a pass; must divide batch_size.
        per_device_train_batch_size: Most completions in one forward and backward of learning on a device, to bound
            its memory; None takes the whole minibatch. Changes no result beyond rounding.
        max_completion_length: Most tokens a completion.
        temperature: The one temperature of sampling and of all log-probabilities.
        learning_rate: Of the policy (AdamW).
        value_learning_rate: Of the value head.
        adam_epsilon: AdamW's ε.
        weight_decay: AdamW's weight decay.
        lr_scheduler_type: Shape of the decay after the warm-up: linear, cosine or constant.
        warmup_steps: Training steps of linear warm-up of both learning rates.
        max_grad_norm: Gradients are clipped to this norm.
        gamma: Discount factor; the seed's is 1.
        lam: λ of GAE; the seed's is 0 (G3), with which a reward travels back one token a rollout.
        cliprange: ε of PPO's clipped ratio.
        cliprange_value: How far a value may move in one rollout's updates before its gradient stops.
        vf_coef: Weight of the value loss.
        entropy_coef: Weight of the entropy bonus.
        kl_coef: Weight of KL(π‖π_ref).
        kl_estimator: exact (whole vocabulary), k2 or k3 as a loss; k1 as a penalty in the reward.
        normalize_rewards: Whether the rewards of a rollout are standardised.
        whiten_advantages: Whether advantages are standardised over a rollout.
        trained_reward: What trains: the proxy, or the true reward, as one would who knew the hack.
        reward_shaping: par puts the sigmoid of the reward less that of a completion of the untrained model to the
            same prompt in the reward's place, mean over several (PAR, arXiv 2502.18770).
        reward_clip: Rewards beyond ± this are cut to it, after they are standardised.
        reference_reset_steps: Training steps after which the reference becomes the policy of that moment, again and
            again (arXiv 2602.18037); None for never.
        kl_budget: Training ends after the first step whose rollout's KL, in nats a token, reaches this.
        flatness: gradient-norm adds half the squared norm of the gradient to the loss, times flatness_coef, by finite
            differences (arXiv 2602.18037); sam takes the gradient where the loss nearby is worst (arXiv 2010.01412).
        flatness_radius: How far off that second gradient is taken.
        flatness_coef: Weight of the squared norm.
        eval_completions: Fresh completions for the measures at the end of training; 0 for none.
        save_steps: Training steps between checkpoints; the last step always has one.
        save_total_limit: Checkpoints kept. The one at the end of training is without the optimizer.
        log_completions: Completions a step kept in samples.jsonl.
        report_to: Trackers beside metrics.jsonl: one or a list of tensorboard, wandb.
        bf16: Whether forwards and backwards run in bfloat16 autocast; weights and optimizer stay float32.
        use_cpu: Whether to stay on the CPU even if there is an accelerator.
        overwrite: Whether a run already in output_dir is deleted and started again.
        progress: Whether to show progress.
    """

    output_dir: str
    method: Method = "gaa"
    coefficients: CoefficientsName | None = None
    greedy_ratio: GreedyRatio | None = None
    granularity: Granularity | None = None
    scaled_terms: ScaledTerms | None = None
    greedy_clip: GreedyClip | None = None
    greedy_token: GreedyToken | None = None
    greedy_candidates: int = 8
    dead_zone: float = 0.0
    advantage_fold: float | None = None
    constant_a: float = 1.0
    constant_b: float = 0.0
    eta_scale: float = 1.0
    sigma_scale: float = 0.5
    seed: int = 0
    max_steps: int = 100
    batch_size: int = 32
    num_ppo_epochs: int = 2
    num_mini_batches: int = 4
    per_device_train_batch_size: int | None = None
    max_completion_length: int = 16
    temperature: float = 1.0
    learning_rate: float = 1e-5
    value_learning_rate: float = 1e-3
    adam_epsilon: float = 1e-5
    weight_decay: float = 0.0
    lr_scheduler_type: SchedulerType = "linear"
    warmup_steps: int = 5
    max_grad_norm: float = 1.0
    gamma: float = 1.0
    lam: float = 0.95
    cliprange: float = 0.2
    cliprange_value: float = 0.2
    vf_coef: float = 0.5
    entropy_coef: float = 0.0
    kl_coef: float = 0.1
    kl_estimator: KLEstimator = "exact"
    normalize_rewards: bool = True
    whiten_advantages: bool = True
    trained_reward: TrainedReward = "proxy"
    reward_shaping: RewardShaping = "none"
    reward_clip: float | None = None
    reference_reset_steps: int | None = None
    kl_budget: float | None = None
    flatness: Flatness = "none"
    flatness_radius: float = 0.01
    flatness_coef: float = 1.0
    eval_completions: int = 256
    save_steps: int = 25
    save_total_limit: int = 2
    log_completions: int = 8
    report_to: list[str] | str = dataclasses.field(default_factory=list)
    bf16: bool = False
    use_cpu: bool = False
    overwrite: bool = False
    progress: bool = True

    def __post_init__(self) -> None:
        """Check every value, and fill the options of the method that were left open.

        Raises:
            ConfigError: Naming the field, the value and the remedy.
        """
        _check_output_dir(self)
        self.output_dir = str(self.output_dir)
        if self.report_to is None or isinstance(self.report_to, str):
            self.report_to = [] if self.report_to in (None, "none") else [self.report_to]
        _check_choices(self)
        _check_flags(self)
        _check_ranges(self)
        _check_divisibility(self)
        if self.bf16 and self.flatness != "none":
            raise ConfigError(
                f"flatness={self.flatness!r} with bf16=True: steps of flatness_radius={self.flatness_radius} are lost "
                "in bfloat16's rounding: leave one of the two out"
            )
        preset = PRESETS[self.method]
        for option in fields(Reading):
            if getattr(self, option.name) is None:
                setattr(self, option.name, getattr(preset, option.name))

    @property
    def reading(self) -> Reading:
        """The method's options as the update sees them."""
        return Reading(**{option.name: getattr(self, option.name) for option in fields(Reading)})

    @property
    def exact_kl(self) -> bool:
        """Whether learning needs the reference's whole distributions."""
        return self.kl_estimator == "exact" and self.kl_coef > 0

    @property
    def mini_batch_size(self) -> int:
        """Completions an update, over all processes."""
        return self.batch_size // self.num_mini_batches

    def identity(self) -> dict[str, Any]:
        """The fields that determine a run's results."""
        return determining(dataclasses.asdict(self))


CHOICES: dict[str, tuple[Any, ...]] = {
    "method": get_args(Method),
    "coefficients": get_args(CoefficientsName),
    "greedy_ratio": get_args(GreedyRatio),
    "granularity": get_args(Granularity),
    "scaled_terms": get_args(ScaledTerms),
    "greedy_clip": get_args(GreedyClip),
    "greedy_token": get_args(GreedyToken),
    "trained_reward": get_args(TrainedReward),
    "reward_shaping": get_args(RewardShaping),
    "flatness": get_args(Flatness),
    "kl_estimator": get_args(KLEstimator),
    "lr_scheduler_type": get_args(SchedulerType),
}
POSITIVE = (
    *("max_steps", "batch_size", "num_ppo_epochs", "num_mini_batches", "max_completion_length", "temperature"),
    *("learning_rate", "value_learning_rate", "adam_epsilon", "max_grad_norm", "cliprange", "cliprange_value"),
    *("save_steps", "save_total_limit", "per_device_train_batch_size"),
    *("reward_clip", "reference_reset_steps", "kl_budget", "flatness_radius", "greedy_candidates"),
)
NOT_NEGATIVE = (
    *("eta_scale", "sigma_scale", "seed", "weight_decay", "warmup_steps", "vf_coef", "entropy_coef", "kl_coef"),
    *("eval_completions", "log_completions", "flatness_coef", "dead_zone", "advantage_fold"),
)
ANY_SIGN = ("constant_a", "constant_b")
FRACTIONS = ("gamma", "lam")
FLAGS = ("normalize_rewards", "whiten_advantages", "bf16", "use_cpu", "overwrite", "progress")
LARGEST_SEED = 2**63 - 1  # evaluation adds to it, and a generator takes 64 bits
TRACKERS = ("tensorboard", "wandb")


def _check_output_dir(config: GAAConfig) -> None:
    """A folder's name, for the working directory would take the run's files without being asked."""
    if not isinstance(config.output_dir, (str, os.PathLike)) or not str(config.output_dir).strip():
        raise ConfigError(f"output_dir={config.output_dir!r} must be the path of the run's folder, such as runs/mine")


def _check_choices(config: GAAConfig) -> None:
    """Options with a fixed list of values."""
    for name, choices in CHOICES.items():
        value = getattr(config, name)
        left_open = value is None and config.__dataclass_fields__[name].default is None
        if not left_open and value not in choices:
            raise ConfigError(f"{name}={value!r} is not known: {suggest(str(value), choices)}")
    if not isinstance(config.report_to, (list, tuple)) or not all(isinstance(t, str) for t in config.report_to):
        raise ConfigError(f"report_to={config.report_to!r} must be a list of trackers: {suggest('', TRACKERS)}")
    for tracker in config.report_to:
        if tracker not in TRACKERS:
            raise ConfigError(f"report_to={tracker!r} is not known: {suggest(tracker, TRACKERS)}")


def _check_flags(config: GAAConfig) -> None:
    """Switches: the text "false" would count as true."""
    for name in FLAGS:
        if not isinstance(getattr(config, name), bool):
            raise ConfigError(f"{name}={getattr(config, name)!r} must be True or False")


def _check_ranges(config: GAAConfig) -> None:
    """Numbers: of the right kind, finite, and in range."""
    for name in (*POSITIVE, *NOT_NEGATIVE, *FRACTIONS, *ANY_SIGN):
        value = getattr(config, name)
        field = config.__dataclass_fields__[name]
        whole = field.type in (int, int | None)
        if value is None and field.default is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
            raise ConfigError(f"{name}={value!r} must be {'a whole number' if whole else 'a number'}")
        if not -float("inf") < value < float("inf"):
            raise ConfigError(f"{name}={value!r} must be finite")
        if name in POSITIVE and value <= 0:
            raise ConfigError(f"{name}={value!r} must be greater than 0")
        if name in NOT_NEGATIVE and value < 0:
            raise ConfigError(f"{name}={value!r} must not be negative")
        if name in FRACTIONS and not 0 <= value <= 1:
            raise ConfigError(f"{name}={value!r} must lie between 0 and 1")
    if config.seed > LARGEST_SEED:
        raise ConfigError(f"seed={config.seed} is too large for a random generator: choose one up to {LARGEST_SEED}")


def _check_divisibility(config: GAAConfig) -> None:
    """Batches that do not divide."""
    if config.batch_size % config.num_mini_batches:
        raise ConfigError(
            f"batch_size={config.batch_size} cannot be cut into num_mini_batches={config.num_mini_batches} equal "
            f"parts: make batch_size a multiple of {config.num_mini_batches}"
        )


def suggest(value: str, choices: Iterable[str]) -> str:
    """The end of an error message about a name that is not known: the nearest one, and all of them.

    Args:
        value: What was given.
        choices: What would have been accepted.

    Returns:
        For example ``did you mean 'ppo'? Choose from gaa, ppo``.
    """
    known = [str(choice) for choice in choices]
    hint = did_you_mean(value, known).strip()
    return f"{hint[:1].lower()}{hint[1:]} Choose from {', '.join(sorted(known))}".strip()


def check_keys(given: Iterable[str], known: Iterable[str], where: str) -> None:
    """Refuse keys that no field has.

    Args:
        given: Keys found.
        known: Field names.
        where: The file or place they were found in.

    Raises:
        ConfigError: Naming the first unknown key and its nearest neighbour.
    """
    known = list(known)
    for key in given:
        if key not in known:
            raise ConfigError(f"{where}: unknown key {key!r}: {suggest(str(key), known)}")


def determining(record: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a run's record that its results depend on.

    Args:
        record: As ``config.json`` holds it.

    Returns:
        The record without what may change while the run stays the same.
    """
    return {key: value for key, value in record.items() if key not in NOT_IDENTITY}


def fingerprint(record: Mapping[str, Any]) -> str:
    """A short hash of all that a run's results depend on.

    Args:
        record: As ``config.json`` holds it.

    Returns:
        12 hexadecimal digits.
    """
    return hashlib.sha256(json.dumps(determining(record), sort_keys=True).encode()).hexdigest()[:12]


def difference(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What changed between two configurations, a line each.

    Args:
        old: Before.
        new: Now.

    Returns:
        For example ``learning_rate: 1e-05 there, 2e-05 now``.
    """
    keys = sorted(old.keys() | new.keys())
    return [f"{key}: {old.get(key)!r} there, {new.get(key)!r} now" for key in keys if old.get(key) != new.get(key)]
