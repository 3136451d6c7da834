"""What a comparison compares: each arm a whole method, what holds it back, and a few settings of the one trainer."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from gaard.errors import ConfigError
from gaard.lab.files import in_python_file
from gaard.lab.spec import check_settings, layered
from gaard.methods import GAA, METHODS, PPO, RECOMMENDED, Method, find_method
from gaard.regularizers import Regularizer, find_regularizers
from gaard.settings import Named, Options, suggest
from gaard.training.config import GAAConfig
from gaard.user_code import file_of

RUN_CONTROLS = ("output_dir", "overwrite", "accept_changed_rewards", "seed", "progress", "report_to")
WHOLE_METHOD = ("method", "regularizers")  # what an arm states of itself, and no study for it
OF_ARMS = (*WHOLE_METHOD, "trained_reward")  # what arms alone may say
UNTRAINED = "untrained"
NAME = re.compile(r"[\w.=+-]+")
PARTS = re.compile(r"[-._+=]")  # what parts the words of a name


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
    objectives = {
        "ppo-ensemble-uncertainty": ("uncertainty-weighted", "mean of an ensemble less 0.1 of its variance"),
        "ppo-ensemble-worst": ("worst-case", "least of an ensemble"),
    }
    return [
        _ppo(name, f"{words} (arXiv 2310.02743)", {"name": "ensemble", "objective": objective})
        for name, (objective, words) in objectives.items()
    ]


def _detectors() -> list[Arm]:
    """PPO with a detector that finds 90% of hacks and flags 10% of the rest, by what is done with what it flags."""
    actions = {"penalty": "pay 1 less", "screening": "are not learned from"}
    return [
        _ppo(
            f"ppo-detector-{action}",
            f"what a detector with 90% and 10% flags: such texts {words}",
            {"name": "imperfect-detector", "action": action},
        )
        for action, words in actions.items()
    ]


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
    _by_group("dr_grpo-signcert", "Dr. GRPO that trusts no sign that turns easily (arXiv 2604.02986)", "signcert"),
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
    _ppo("ppo-chi2", "root of χ² of whole texts in KL's place (arXiv 2403.03185)", "chi2", kl_coef=0.0),
    _ppo("ppo-chi2-token", "the same, token by token", {"name": "chi2", "level": "token"}, kl_coef=0.0),
    _ppo("ppo-max-min", "the worst reward that goes with the proxy (arXiv 2604.12086)", "max-min", kl_coef=0.0),
    _ppo("ppo-pid-kl", "KL held at 0.25 nats a token by PID control (arXiv 2007.03964)", "pid-kl"),
    _ppo("ppo-adaptive-kl", "KL drawn to 0.25 nats a token (arXiv 1909.08593)", "adaptive-kl", kl_coef=0.1),
    *(_ppo(f"ppo-kl-{x:g}", f"KL coefficient {x:g}", kl_coef=x) for x in (0.1, 0.3, 1.0)),
    *(_ppo(f"ppo-entropy-{x:g}", f"entropy bonus {x:g}", entropy_coef=x) for x in (0.003, 0.01, 0.03)),
    _ppo("oracle", "PPO on the true reward: the ceiling", trained_reward="true"),
)
RECOMMENDED_ARM = next(name for name, arm in ARMS.items() if arm.method == find_method(RECOMMENDED))


def find_arm(given: Any) -> Arm:
    """An arm by name, from a user's file, or stated in place.

    Args:
        given: One of ``ARMS``; or ``path/to/file.py``, whose one ``Arm`` is taken, or ``path/to/file.py:variable``; or
            a mapping of ``name``, perhaps ``base``, the arm that it starts from, ``method``, ``regularizers`` and
            settings; or an :class:`Arm`.

    Returns:
        The arm.

    Raises:
        ConfigError: For what is none of these, or is another arm than its name says.
    """
    arm = _found(given)
    _check_name(arm)
    return arm


def _check_name(arm: Arm) -> None:
    """Refuse an arm whose name is that of a known one, or of a method, that it is not."""
    known = ARMS.get(arm.name)
    if known and any(getattr(arm, key) != getattr(known, key) for key in (*WHOLE_METHOD, "settings")):
        raise ConfigError(
            f"arm {arm.name!r} has the name of one of gaard's ({known.in_words()}) and is another ({arm.in_words()}): "
            "name it otherwise"
        )
    if GAA.name in PARTS.split(arm.name.lower()) and not arm.method.observes.of_likely_tokens:
        raise ConfigError(
            f"arm {arm.name!r} is called {GAA.name}, and its method, {arm.method.name}, looks at no greedy token: name "
            "it otherwise"
        )


def _found(given: Any) -> Arm:
    """What is given as an arm, whatever its name."""
    if isinstance(given, Arm):
        return given
    if isinstance(given, Mapping):
        return _stated(given)
    if not isinstance(given, str):
        raise ConfigError(f"arms: {given!r} is neither a name nor a mapping of name, base and settings")
    if given in ARMS:
        return ARMS[given]
    if given in METHODS:
        raise ConfigError(
            f"arms: {given!r} is a method with several readings: choose from "
            f"{', '.join(name for name, arm in ARMS.items() if arm.method.name == given)}"
        )
    found = in_python_file(given, Arm, f"arms: {given!r}", _of_method)
    if found is None:
        raise ConfigError(
            f"arms: {given!r} is not known: {suggest(given, ARMS, '`gaard arms`')}; a Python file of your own is named "
            "by its path"
        )
    return found


def _of_method(held: Any) -> Arm | None:
    """An arm of what a user's file holds, if that is a method of the user's own."""
    if not isinstance(held, type) or not issubclass(held, Method) or file_of(held) is None:
        return None
    return Arm(held.name, (held.__doc__ or "").strip().partition("\n")[0], f"{file_of(held)}:{held.__qualname__}")


def _stated(given: Mapping[str, Any]) -> Arm:
    """An arm of a study's file."""
    settings = dict(given)
    name, base = settings.pop("name", None), settings.pop("base", None)
    if name is None:
        raise ConfigError(f"arms: {dict(given)!r} has no name: give it one")
    if base is None and "method" not in settings:
        raise ConfigError(f"arm {name!r} states no method: give it one, such as method: fold, or a base")
    start = replace(find_arm(base), name=name) if base else Arm(name)
    summary = settings.pop("summary", None)
    whole = {key: settings.pop(key) for key in WHOLE_METHOD if key in settings}
    try:
        arm = replace(start, settings=layered(start.settings, settings), **whole)
        return replace(arm, summary=arm.in_words() if summary is None else str(summary))
    except ConfigError as error:
        message = str(error)
        raise ConfigError(message if message.startswith("arm ") else f"arm {name!r}: {message}") from None


def find_arms(given: object) -> list[Arm]:
    """The arms of a comparison.

    Args:
        given: A list of what :func:`find_arm` takes.

    Returns:
        The arms in that order.

    Raises:
        ConfigError: For none, one that is not known, or two of one name.
    """
    if not isinstance(given, list | tuple) or not given:
        raise ConfigError(f"arms={given!r} is no list of arms: name some, such as {PPO.name},{RECOMMENDED_ARM}")
    arms = [find_arm(one) for one in given]
    names = [arm.name for arm in arms]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ConfigError(f"arms names {twice!r} twice")
    return arms
