"""What a comparison compares: each arm a whole method, what holds it back, and a few settings of the one trainer."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from gaard.errors import ConfigError
from gaard.lab.spec import check_settings, layered
from gaard.methods import RECOMMENDED, Method, find_method
from gaard.regularizers import Regularizer, find_regularizers
from gaard.settings import Named, Options
from gaard.training.config import GAAConfig

RUN_CONTROLS = ("output_dir", "overwrite", "accept_changed_rewards", "seed", "progress", "report_to")
WHOLE_METHOD = ("method", "regularizers")  # what an arm states of itself, and no study for it
OF_ARMS = (*WHOLE_METHOD, "trained_reward")  # what arms alone may say
UNTRAINED = "untrained"
NAME = re.compile(r"[\w.=+-]+")


@dataclass(frozen=True)
class Arm:
    """One way of training.

    Attributes:
        name: What ``--arms``, tables and folders call it.
        summary: One line.
        method: The method, whole: an object, a name, or a mapping of name and options.
        regularizers: All that holds training back beside it.
        settings: Further fields of a run that it sets, over those of study and scenario; of ``advantages`` those
            options alone that it names.
    """

    name: str
    summary: str = ""
    method: Named[Method] = Named(find_method, "ppo")
    regularizers: Named[tuple[Regularizer, ...]] = Named(find_regularizers, ())
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check what a file of a user's may get wrong.

        Raises:
            ConfigError: Naming the arm and what is wrong with it.
        """
        if not isinstance(self.name, str) or not NAME.fullmatch(self.name) or self.name == UNTRAINED:
            raise ConfigError(f"arm {self.name!r}: a name is of letters, digits and . = + - _, and not {UNTRAINED!r}")
        if not isinstance(self.settings, Mapping):
            raise ConfigError(f"arm {self.name!r}: settings={self.settings!r} must map fields of a run to values")
        check_settings(self.settings, [f.name for f in fields(GAAConfig)], f"arm {self.name!r}")
        if control := next((key for key in self.settings if key in RUN_CONTROLS), None):
            raise ConfigError(f"arm {self.name!r} sets {control!r}, which belongs to a single run: take it out")
        if own := next((key for key in self.settings if key in WHOLE_METHOD), None):
            raise ConfigError(f"arm {self.name!r}: settings hold {own!r}, a field of the arm: Arm(..., {own}=...)")

    def over(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The settings of a run of this arm.

        Args:
            settings: Those of scenario and study, without a method.

        Returns:
            The same with the arm's own over them.
        """
        return layered(settings, self.settings, {"method": self.method, "regularizers": self.regularizers})

    def in_words(self) -> str:
        """What the arm is, whole: its method, its regularisers and its settings.

        Returns:
            For example ``fold, threshold 3; gradient-norm, coef 0.05, radius 0.01; kl_coef 0.3``.
        """
        settings = {key: _words(value) for key, value in self.settings.items()}
        parts = [_option_words(self.method), *map(_option_words, self.regularizers)]
        return "; ".join([*parts, *(f"{key} {words}" for key, words in settings.items())])

    def record(self) -> dict[str, Any]:
        """What the arm is, as ``results.json`` has it."""
        method, regularizers = self.method.record(), [one.record() for one in self.regularizers]
        own = {"method": method, "regularizers": regularizers, "settings": dict(self.settings)}
        return {"name": self.name, "summary": self.summary, **own}


def _option_words(one: Options) -> str:
    """A method or regulariser: its name and the options that say something."""
    given = {f.name: getattr(one, f.name) for f in fields(one)}
    return ", ".join(
        [
            one.name,
            *(f"{key} {_words(value)}" for key, value in given.items() if value is not None and value is not False),
        ]
    )


def _words(value: Any) -> str:
    """A value as a table shows it."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_words(one)}" for key, one in value.items())
    return f"{value:g}" if isinstance(value, float) else str(value)


def _all(*arms: Arm) -> dict[str, Arm]:
    return {arm.name: arm for arm in arms}


def _ppo(name: str, summary: str, *regularizers: Any, **settings: Any) -> Arm:
    """PPO with what a user would try first."""
    return Arm(name, summary, "ppo", regularizers, settings)


def _by_group(name: str, summary: str, method: Any = "ppo") -> Arm:
    """Without a critic: the estimator whose name the arm's begins with."""
    return Arm(name, summary, method, settings={"advantages": {"name": name.partition("-")[0], "num_generations": 8}})


def _ensembles() -> list[Arm]:
    """PPO on an ensemble of rewards, by objective."""
    objectives: dict[str, tuple[str, dict[str, Any]]] = {
        "ppo-ensemble-uncertainty": (
            "mean of an ensemble less 10 times its variance",
            {"objective": "uncertainty-weighted", "coef": 10.0},
        ),
        "ppo-ensemble-worst": ("least of an ensemble", {"objective": "worst-case"}),
    }
    return [
        _ppo(name, f"{words} (arXiv 2310.02743)", {"name": "ensemble", **options})
        for name, (words, options) in objectives.items()
    ]


def _detectors() -> list[Arm]:
    """PPO with a detector that finds 90% of hacks and flags 10% of the rest, by what is done with what it flags."""
    actions: dict[str, tuple[str, dict[str, Any]]] = {
        "penalty": ("pay 0.3 less", {"penalty": 0.3}),
        "screening": ("are not learned from", {}),
    }
    return [
        _ppo(
            f"ppo-detector-{action}",
            f"what a detector with 90% and 10% flags: such texts {words}",
            {"name": "imperfect-detector", "action": action, **options},
        )
        for action, (words, options) in actions.items()
    ]


# The strengths that others' arms state are those that studies/34-strengths chose; where it chose the default, none is
# stated. `drop` and `clip` are controls of `fold`, at the threshold of `fold`.
ARMS = _all(
    Arm("ppo", "PPO", "ppo"),
    Arm("fold", "PPO whose advantages that stand out are turned into their negative", "fold"),
    Arm("drop", "PPO that learns nothing from advantages that stand out", "drop"),
    Arm("clip", "PPO whose advantages that stand out are cut off at the threshold", "clip"),
    Arm("robust-scaling", "PPO with advantages in robust standard deviations", "robust-scaling"),
    Arm("gaa-text", "GAA as Johnson's text has it", {"name": "gaa", "reading": "text"}),
    Arm("gaa-code", "GAA as Johnson's code has it", {"name": "gaa", "reading": "code"}),
    Arm("gaa-expected", "GAA with the gap in expectation", {"name": "gaa", "reading": "expected"}),
    _by_group("grpo", "GRPO, groups of 8"),
    _by_group("grpo-fold", "GRPO whose rewards that stand out of their group are turned", "fold"),
    _by_group("grpo-gaa-expected", "GRPO, and GAA with the gap in expectation", {"name": "gaa", "reading": "expected"}),
    _by_group("dr_grpo", "Dr. GRPO, groups of 8"),
    _by_group(
        "dr_grpo-signcert",
        "Dr. GRPO that trusts no sign that turns easily (arXiv 2604.02986)",
        {"name": "signcert", "quantile": 0.5},
    ),
    _by_group("rloo", "RLOO, groups of 8"),
    _by_group("rloo-fold", "RLOO whose rewards that stand out of their group are turned", "fold"),
    _by_group("rloo-gaa-expected", "RLOO, and GAA with the gap in expectation", {"name": "gaa", "reading": "expected"}),
    _ppo("ppo-gradient-norm", "gradient-norm regularisation (arXiv 2602.18037)", "gradient-norm"),
    _ppo("ppo-sam", "sharpness-aware minimisation (arXiv 2010.01412)", "sam"),
    _ppo("ppo-reference-resets", "the reference follows every 20 steps (arXiv 2602.18037)", "reference-resets"),
    _ppo("ppo-kl-budget", "stops at 0.1 nats a token", "kl-budget"),
    _ppo("ppo-par", "sigmoid of the reward less the untrained model's (PAR, arXiv 2502.18770)", "par"),
    *_ensembles(),
    _ppo(
        "ppo-policy-filtration",
        "learns from the best of four and a random one (PF-PPO, arXiv 2409.06957)",
        "policy-filtration",
    ),
    *_detectors(),
    _ppo("ppo-length-residual", "reward less what length foretells (arXiv 2409.17407)", "length-residual"),
    _ppo("ppo-reward-clip", "standardised rewards cut to ±1", reward_clip=1.0),
    _ppo(
        "ppo-chi2",
        "root of χ² of whole texts in KL's place (arXiv 2403.03185)",
        {"name": "chi2", "coef": 0.001},
        kl_coef=0.0,
    ),
    _ppo("ppo-chi2-token", "the same, token by token", {"name": "chi2", "level": "token"}, kl_coef=0.0),
    _ppo("ppo-max-min", "the worst reward that goes with the proxy (arXiv 2604.12086)", "max-min", kl_coef=0.0),
    _ppo(
        "ppo-pid-kl",
        "KL held at 0.5 nats a token by PID control (arXiv 2007.03964)",
        {"name": "pid-kl", "target": 0.5},
    ),
    _ppo(
        "ppo-adaptive-kl",
        "KL drawn to 0.5 nats a token (arXiv 1909.08593)",
        {"name": "adaptive-kl", "target": 0.5},
        kl_coef=0.1,
    ),
    *(_ppo(f"ppo-kl-{x:g}", f"KL coefficient {x:g}", kl_coef=x) for x in (0.1, 0.3, 1.0)),
    *(_ppo(f"ppo-entropy-{x:g}", f"entropy bonus {x:g}", entropy_coef=x) for x in (0.003, 0.01, 0.03)),
    _ppo("oracle", "PPO on the true reward: the ceiling", trained_reward="true"),
)
RECOMMENDED_ARM = next(name for name, arm in ARMS.items() if arm.method == find_method(RECOMMENDED))
