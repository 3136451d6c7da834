"""The one registry of measures: what each number is called, what it means, and how it is shown and compared.

Statistics, tables, charts, the page and docs/metrics.md read it. ``OF_RUN`` holds what is measured after a run,
``OF_STEP`` what is logged of a training step, ``OF_TOKEN`` what is kept of a sampled token.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import inf
from typing import Literal

HACKED = 0.5  # a run is hacked if more than this share of its completions hack


@dataclass(frozen=True)
class Measure:
    """One number and all that is to be known to show it.

    Attributes:
        name: Its key in the files of runs and studies.
        label: What charts and tables call it.
        unit: Of what it counts; empty where it has none.
        meaning: A phrase, in Markdown.
        low: The least that it can be.
        high: The most that it can be.
        digits: After the decimal point, in tables.
        compared: Whether each arm is tested against the baseline by it.
        better: Which way is better; None where neither is.
        terminal: Whether the terminal shows it: in a comparison's tables, or beside the progress of a run.
        page: Whether the page of a study shows it: as a column of its table, a curve, or a colour of tokens.
    """

    name: str
    label: str
    unit: str = ""
    meaning: str = ""
    low: float = -inf
    high: float = inf
    digits: int = 3
    compared: bool = False
    better: Literal["higher", "lower"] | None = None
    terminal: bool = False
    page: bool = False

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the most that it can be."""
        return self.low, self.high

    @property
    def difference_bounds(self) -> tuple[float, float]:
        """The same of a difference of two."""
        return self.low - self.high, self.high - self.low

    @property
    def title(self) -> str:
        """Of an axis or a chart: label and unit."""
        return f"{self.label} ({self.unit})" if self.unit else self.label

    def text(self, number: float) -> str:
        """A number as tables have it."""
        return f"{number:.{self.digits}f}"


def _named(*measures: Measure) -> dict[str, Measure]:
    return {measure.name: measure for measure in measures}


def _share(name: str, label: str, unit: str, meaning: str, *, terminal: bool = False, page: bool = False) -> Measure:
    """A number from 0 to 1."""
    return Measure(name, label, unit, meaning, low=0.0, high=1.0, terminal=terminal, page=page)


REWARD, NATS, STD, TOKENS = "reward", "nats a token", "standard deviations", "share of tokens"
TEXTS, HACKS = "share of completions", "hacks, as the detector finds them; only where there is one"

# fmt: off
OF_RUN = _named(
    Measure("hack_rate", "hack rate", TEXTS, HACKS, low=0.0, high=1.0, compared=True,
            better="lower", terminal=True, page=True),
    Measure("hack_count", "hacks", "completions", "how many hacks there are", low=0.0, digits=0, better="lower"),
    Measure("true_reward", "true reward", REWARD, "mean of what was meant; only where that was declared",
            compared=True, better="higher", terminal=True, page=True),
    Measure("judge_reward", "independent judge", REWARD,
            "mean of a reward that nothing trains on; only where one was declared",
            compared=True, better="higher", terminal=True, page=True),
    Measure("proxy_reward", "proxy reward", REWARD, "mean of the reward that trains", terminal=True, page=True),
    Measure("kl_untrained", "KL to untrained", NATS, "exact KL(π‖π_untrained) over the vocabulary, whatever the "
            "reference of training was", low=0.0, compared=True, terminal=True, page=True),
    Measure("entropy", "entropy", NATS, "mean entropy of the policy (G10)", low=0.0, terminal=True, page=True),
    Measure("completion_length", "length", "tokens", "mean tokens a completion, end-of-sequence included", low=0.0,
            digits=1, page=True),
    _share("distinct_1", "distinct tokens", "share of tokens",
           "distinct tokens among all (Li et al., arXiv 1510.03055); low where texts are alike"),
    _share("distinct_2", "distinct pairs", "share of pairs of tokens", "distinct pairs of tokens among all", page=True),
    Measure("untrained_perplexity", "perplexity", "", "of a token, under the untrained model at the run's temperature; "
            "high where texts no longer read as its own", low=0.0, digits=2, page=True),
    Measure("frontier_area", "frontier area", REWARD, "what the run could have had, stopped at its best: the area "
            "under honest share against true reward gained ([lab.md](lab.md#frontier))", low=0.0, compared=True,
            better="higher", page=True),
    Measure("seconds_per_step", "seconds a step", "s", "median of `timings.jsonl` without the first step", low=0.0,
            digits=2, better="lower", terminal=True, page=True),
)

OF_STEP = _named(
    Measure("step", "training step", "", "from 1", low=1.0, digits=0),
    Measure("reward", "proxy reward", REWARD, "mean proxy reward, as the reward functions returned it",
            terminal=True, page=True),
    Measure("reward_std", "spread of the proxy", REWARD, "its standard deviation over completions", low=0.0),
    Measure("trained_reward", "trained reward", "", "mean of what trains: the proxy, what a regularizer makes of it, "
            "or the truth (`trained_reward`)"),
    Measure("true_reward", "true reward", REWARD, "mean true reward; only where one was declared",
            better="higher", terminal=True, page=True),
    Measure("reward_gap", "reward gap", REWARD, "`reward` − `true_reward`: what the proxy pays beyond the truth"),
    Measure("judge_reward", "independent judge", REWARD,
            "mean of a reward that nothing trains on; only where one was declared", better="higher", page=True),
    Measure("hack_rate", "hack rate", TEXTS, HACKS, low=0.0, high=1.0, better="lower", terminal=True, page=True),
    Measure("kl_ref", "KL to the reference", NATS, "KL(π_old‖π_ref) at the sampled tokens, by the k3 estimator",
            low=0.0, terminal=True, page=True),
    Measure("entropy", "entropy", NATS, "mean entropy of π_old (G10)", low=0.0, terminal=True, page=True),
    Measure("completion_length", "length", "tokens", "mean tokens a completion, end-of-sequence included", low=0.0,
            page=True),
    _share("eta", "η", "probability of the greedy token", "mean η (G6)"),
    _share("greedy_agreement", "greedy tokens sampled", TOKENS, "where the sampled token is the greedy one"),
    Measure("value", "value", STD, "mean V(x_<t), on the scale of normalised rewards"),
    Measure("explained_variance", "explained variance", "",
            "1 − var(returns − V) / var(returns); this, `value` and `value_loss` only with a critic", high=1.0,
            better="higher"),
    Measure("sigma", "σ", STD, "mean σ (G6); this and the next four only where the method looks at a greedy token"),
    Measure("sigma_positive", "max(σ, 0)", STD, "mean of max(σ, 0)", low=0.0),
    _share("sigma_saturated", "σ clamped", TOKENS, "where the scaled σ is clamped at 1"),
    _share("greedy_raised", "greedy token raised", TOKENS, "where σ > 0 and A(x\\*) < 0, so that b·∇J_x\\* makes the "
           "greedy token more likely"),
    Measure("greedy_advantage", "greedy advantage", STD, "mean A(x\\*), whitened, or what J_x\\* has in its place"),
    _share("kept", "kept", "share of completions", "those that the update learns from; only with a regularizer that "
           "leaves some out"),
    _share("turned", "turned", TOKENS, "where an advantage stood out so far that the method made it its negative"),
    Measure("loss", "loss", "", "mean loss of the step's updates"),
    Measure("policy_loss", "policy loss", "", "mean of −(a·J_x + b·J_x\\*)"),
    Measure("value_loss", "value loss", "", "mean clipped squared error of the critic, halved", low=0.0),
    _share("clip_fraction", "clipped", TOKENS, "where the ratio left 1 ± ε"),
    Measure("old_kl", "KL within the step", NATS, "KL(π_old‖π_θ) of the updates, by k3: how far the policy moved",
            low=0.0),
    Measure("a", "a", "", "mean a (G7) over tokens and updates", low=0.0, high=2.0),
    Measure("b", "b", "", "mean b (G8)", low=-1.0, high=0.0),
    Measure("penalty", "penalty", "", "mean of what regularizers add to the loss, part of `loss`; only with `chi2`"),
    Measure("grad_norm", "gradient norm", "", "mean gradient norm before clipping", low=0.0),
    Measure("sharpness", "sharpness", "", "how much the loss rises at 0.05 up its gradient, in the step's first "
            "update; this and the next two only every `sharpness_steps` steps", page=True),
    Measure("curvature", "curvature", "", "second difference of the loss along its gradient, at ± 0.05", page=True),
    Measure("policy_curvature", "curvature of the policy loss", "",
            "the same of `policy_loss` along the same direction", page=True),
    Measure("kl_coef", "KL coefficient", "", "weight of the KL in this step; only where a regularizer sets it",
            low=0.0),
    Measure("learning_rate", "learning rate", "", "of the policy, in this step", low=0.0),
)

OF_TOKEN = _named(
    _share("eta", "η", "probability of the greedy token", "π(x\\*) (G6)", page=True),
    Measure("advantage", "advantage", STD, "of the sampled token, as the update used it", page=True),
    _share("turned", "turned", "", "1 where the method made the advantage its negative", page=True),
    Measure("a", "a", "weight of the sampled token", "G7, as if the rollout were one minibatch", low=0.0, high=2.0,
            page=True),
    Measure("b", "b", "weight of the greedy token", "G8, likewise", low=-1.0, high=0.0, page=True),
    Measure("sigma", "σ", STD, "the gap (G6); only where the method looks at a greedy token", page=True),
    Measure("greedy_advantage", "greedy advantage", STD, "of the greedy token; likewise", page=True),
)
# fmt: on


def compared() -> list[Measure]:
    """What each arm is tested against the baseline by."""
    return [measure for measure in OF_RUN.values() if measure.compared]


def on_terminal(measures: Mapping[str, Measure]) -> list[Measure]:
    """Those that the terminal shows."""
    return [measure for measure in measures.values() if measure.terminal]


def on_page(measures: Mapping[str, Measure]) -> list[Measure]:
    """Those that the page of a study shows."""
    return [measure for measure in measures.values() if measure.page]


def markdown(measures: Iterable[Measure]) -> str:
    """A table of measures for docs/metrics.md.

    Args:
        measures: For example ``OF_RUN.values()``.

    Returns:
        Lines of a Markdown table: key, meaning, unit and range.
    """
    rows = [f"| `{one.name}` | {one.meaning} | {one.unit} | {_range(one)} |" for one in measures]
    return "\n".join(["| key | meaning | unit | range |", "|---|---|---|---|", *rows]) + "\n"


def _range(measure: Measure) -> str:
    """What it can be, in signs."""
    low, high = (f"{end:g}".replace("-", "−") for end in measure.bounds)
    if measure.low == -inf:
        return "" if measure.high == inf else f"≤ {high}"
    return f"≥ {low}" if measure.high == inf else f"{low}…{high}"
