"""Regularisers as objects: how they are given, what they refuse, that every option does something, hooks by hand."""

import dataclasses
import functools
import json
import math

import pytest
import torch

from gaard import GAAConfig
from gaard.errors import ConfigError
from gaard.lab.arms import Arm
from gaard.methods.experience import Observation, Rollout
from gaard.regularizers import (
    PAR,
    PIDKL,
    REGULARIZERS,
    SAM,
    AdaptiveKL,
    Chi2,
    GradientNorm,
    KLBudget,
    MaxMin,
    ReferenceResets,
    Regularizer,
    find_regularizers,
)
from gaard.rewards import honeypot
from tiny import TEXT, bait_reward, tiny_trainer, words_reward


def short_run(folder, **options):
    """The metrics of three steps."""
    trainer = tiny_trainer(folder, **({"max_steps": 3, "method": "ppo"} | options))
    trainer.train()
    return trainer.run.log.read("metrics.jsonl")


# How they are given ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (None, ()),
        ([], ()),
        ("sam", (SAM(radius=0.01),)),
        (SAM, (SAM(),)),
        (SAM(radius=2), (SAM(radius=2.0),)),
        ({"name": "sam", "radius": 2}, (SAM(radius=2.0),)),
        (["par", {"name": "gradient-norm", "coef": 1}], (PAR(completions=8), GradientNorm(coef=1.0, radius=0.01))),
        (
            ["chi2", MaxMin(correlation=1)],
            (Chi2(coef=0.0008, level="sequence"), MaxMin(correlation=1.0, completions=8)),
        ),
        ("adaptive-kl", (AdaptiveKL(target=0.25, gain=0.1),)),
        ((KLBudget(limit=3), "reference-resets"), (KLBudget(limit=3.0), ReferenceResets(steps=20))),
    ],
    ids=repr,
)
def test_one_or_several_by_name_or_made(given, found):
    assert find_regularizers(given) == found
    config = GAAConfig("x", regularizers=given)
    assert config.regularizers == found
    assert GAAConfig(**json.loads(json.dumps(config.record()))).regularizers == found


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("samm", "regularizers='samm' is not known: did you mean 'sam'"),
        (["par", "par"], "regularizers names 'par' twice"),
        (
            ["gradient-norm", "par", "sam"],
            "regularizers 'gradient-norm' and 'sam' each take a second gradient, .*: leave one out",
        ),
        (
            ["pid-kl", "adaptive-kl"],
            "regularizers 'pid-kl' and 'adaptive-kl' each set the KL coefficient: leave one out",
        ),
        ([{"name": "par"}, PAR(completions=1)], "regularizers names 'par' twice"),
        ([3], "regularizers=3 is neither a name nor a mapping"),
        ({"radius": 1}, r"regularizers=\{'radius': 1\} has no name: choose from adaptive-kl, chi2, ensemble"),
    ],
    ids=repr,
)
def test_what_is_none_is_refused(given, words):
    with pytest.raises(ConfigError, match=words):
        GAAConfig("x", regularizers=given)


OPTIONS = {name: [field.name for field in dataclasses.fields(kind)] for name, kind in REGULARIZERS.items()}
STRANGE = [
    (name, option)
    for name, own in OPTIONS.items()
    for option in {option for options in OPTIONS.values() for option in options} - set(own)
]


@pytest.mark.parametrize(("name", "option"), sorted(STRANGE))
def test_an_option_of_another_is_an_error_that_says_whose_it_is(name, option):
    owners = " and ".join(other for other, options in OPTIONS.items() if option in options)
    words = f"regularizer '{name}' has no option '{option}': it is an option of {owners}"
    with pytest.raises(ConfigError, match=words):
        GAAConfig("x", regularizers={"name": name, option: 1})
    with pytest.raises(ConfigError, match=words):
        Arm("mine", regularizers=[{"name": name, option: 1}])
    with pytest.raises(TypeError, match=option):
        REGULARIZERS[name](**{option: 1})


POSITIVE = [0, -1, math.inf, math.nan, "1", None, True]
BOUNDS = {
    ("gradient-norm", "coef"): [-1, math.inf, math.nan, "1", None, True],
    ("gradient-norm", "radius"): POSITIVE,
    ("sam", "radius"): POSITIVE,
    ("reference-resets", "steps"): [*POSITIVE, 1.5],
    ("kl-budget", "limit"): POSITIVE,
    ("par", "completions"): [*POSITIVE, 1.5],
    ("chi2", "coef"): [-1, math.inf, math.nan, "1", None, True],
    ("max-min", "correlation"): [*POSITIVE, 1.01],
    ("max-min", "completions"): [*POSITIVE, 1.5],
    ("pid-kl", "target"): POSITIVE,
    **{("pid-kl", gain): [-1, math.inf, math.nan, "1", None, True] for gain in ("kp", "ki", "kd")},
    ("pid-kl", "smoothing"): [-0.1, 1, math.nan, "1", None, True],
    ("adaptive-kl", "target"): POSITIVE,
    ("adaptive-kl", "gain"): [*POSITIVE, 5],  # at 5 a KL far below its target leaves 0
    ("ensemble", "objective"): ["least", 1],
    ("ensemble", "coef"): [-1, math.inf, math.nan, "1", None, True],
    ("policy-filtration", "keep"): ["best", 1],
    ("policy-filtration", "num_generations"): [1, 0, 2.5, None],
    ("imperfect-detector", "action"): ["punish", 1],
    **{("imperfect-detector", f"{kind}_positive_rate"): [-0.1, 1.1, math.nan, "1"] for kind in ("true", "false")},
    ("imperfect-detector", "penalty"): [-1, math.inf, math.nan, "1"],
    ("imperfect-detector", "detector_seed"): [-1, 1.5, "1", None],
    ("length-residual", "coef"): [-1, math.inf, math.nan, "1", None, True],
    ("length-residual", "fraction"): [0, -0.5, 1.1, math.nan, "1"],
}


@pytest.mark.parametrize(("name", "option"), BOUNDS)
def test_an_option_that_cannot_be_is_refused_by_name(name, option):
    for value in BOUNDS[name, option]:
        with pytest.raises(ConfigError, match=f"regularizer '{name}': {option}=.* (must be|is not known)") as caught:
            REGULARIZERS[name](**{option: value})
        assert repr(value) in str(caught.value)


# Every one, and every option of it, does something --------------------------------------------------------------------

ENSEMBLE = {"ensemble": (words_reward, bait_reward)}
DETECTED = {"reward": honeypot(words_reward, word="w2")}
CHANGES = {
    ("gradient-norm", "coef"): (1.0, {}),
    ("gradient-norm", "radius"): (1.0, {}),
    ("sam", "radius"): (0.1, {}),
    ("reference-resets", "steps"): (1, {}),
    ("kl-budget", "limit"): (1e-9, {}),
    ("par", "completions"): (2, {}),
    ("chi2", "coef"): (1.0, {}),
    ("chi2", "level"): ("token", {}),
    ("max-min", "correlation"): (0.8, {}),
    ("max-min", "completions"): (2, {}),
    ("pid-kl", "target"): (1e-4, {}),
    ("pid-kl", "kp"): (50.0, {"kl_coef": 5.0}),
    ("pid-kl", "ki"): (0.0, {}),
    ("pid-kl", "kd"): (50.0, {"kl_coef": 5.0}),
    ("pid-kl", "smoothing"): (0.0, {"kl_coef": 5.0}),
    ("adaptive-kl", "target"): (1e-9, {}),
    ("adaptive-kl", "gain"): (1.0, {}),
    ("ensemble", "objective"): ("worst-case", ENSEMBLE),
    ("ensemble", "coef"): (9.0, ENSEMBLE),
    ("policy-filtration", "keep"): ("best-worst", {}),
    ("policy-filtration", "num_generations"): (8, {}),
    ("imperfect-detector", "action"): ("screening", DETECTED),
    ("imperfect-detector", "true_positive_rate"): (0.0, DETECTED),
    ("imperfect-detector", "false_positive_rate"): (0.9, DETECTED),
    ("imperfect-detector", "penalty"): (5.0, DETECTED),
    ("imperfect-detector", "detector_seed"): (1, DETECTED),
    ("length-residual", "coef"): (0.5, {}),
    ("length-residual", "fraction"): (0.3, {}),
}
CHOSEN = {("chi2", "level")}  # from a list, which tests of configurations go through


CONTEXTS = {"ensemble": (("ensemble", (words_reward, bait_reward)),), "imperfect-detector": (*DETECTED.items(),)}


def test_every_option_has_a_row():
    options = {(name, option) for name, own in OPTIONS.items() for option in own}
    assert options == set(CHANGES) == set(BOUNDS) | CHOSEN


@pytest.fixture(scope="module")
def plain_run(tmp_path_factory):
    """Three steps with a regulariser as it comes, or none; run once for each."""

    @functools.cache
    def run(name, *context):
        return short_run(tmp_path_factory.mktemp("plain"), regularizers=name, **dict(context))

    return run


@pytest.mark.parametrize(("name", "option"), CHANGES)
def test_an_option_changes_what_is_learned(name, option, tmp_path, plain_run):
    value, context = CHANGES[name, option]
    changed = short_run(tmp_path, regularizers={"name": name, option: value}, **context)
    assert changed != plain_run(name, *CONTEXTS.get(name, ()))
    assert changed != plain_run(None, *CONTEXTS.get(name, ()))


@pytest.mark.parametrize("name", sorted(set(REGULARIZERS) - {"reference-resets", "kl-budget"}))
def test_one_as_it_comes_changes_what_is_learned(name, plain_run):
    context = CONTEXTS.get(name, ())
    assert plain_run(name, *context)[-1]["loss"] != plain_run(None, *context)[-1]["loss"]


def test_one_that_has_nothing_to_do_yet_changes_nothing(plain_run):
    """Twenty steps, or a tenth of a nat, are not reached in three steps."""
    assert plain_run("reference-resets") == plain_run(None)
    assert plain_run("kl-budget") == plain_run(None)


def test_two_stand_side_by_side(tmp_path):
    """The rewards are PAR's, and training ends after the first step as the budget has it."""
    both = short_run(tmp_path / "both", regularizers=["par", KLBudget(limit=1e-12), SAM(radius=0.1)])
    par = short_run(tmp_path / "par", regularizers=["par"])
    assert both[0]["trained_reward"] == par[0]["trained_reward"]
    assert both[0]["loss"] != par[0]["loss"]
    assert len(both) == 2  # at the first step the policy is the reference still


# Each hook by hand ----------------------------------------------------------------------------------------------------


def test_without_hooks_nothing_is_changed():
    @dataclasses.dataclass(frozen=True)
    class Idle(Regularizer):
        name = "idle"

    idle, scores = Idle(), torch.randn(4)
    assert idle.baseline_completions == 0
    assert torch.equal(idle.shape_scores(scores, torch.zeros(4, 0)), scores)
    rollout = Rollout(**{field.name: torch.randn(4) for field in dataclasses.fields(Rollout)})
    shaped = idle.shape(rollout, torch.Generator())
    assert all(torch.equal(getattr(shaped, f.name), getattr(rollout, f.name)) for f in dataclasses.fields(rollout))
    assert [idle.penalizes, idle.controls_kl, idle.needs_kl] == [False] * 3
    for ask in (lambda: idle.costs(scores, scores, scores > 0), lambda: idle.control([1.0], 0.1)):
        with pytest.raises(NotImplementedError, match="'idle'"):
            ask()
    assert idle.change_gradient([], [], pytest.fail) is None
    assert not any(idle.resets_reference(step) for step in range(1, 50))
    assert not idle.ends({"kl_ref": 1e9})


def test_par_by_hand():
    """Scores 0 and ln 3 against 0 and ln 3: ½ and ¼, mean ⅜; then ¾ and ½, mean ⅝."""
    scores, baseline = torch.tensor([0.0, math.log(3)]), torch.tensor([[0.0, math.log(3)]] * 2)
    assert PAR(completions=2).shape_scores(scores, baseline).tolist() == pytest.approx([3 / 8, 5 / 8])


def test_par_asks_for_as_many_completions_as_it_is_told():
    assert PAR(completions=3).baseline_completions == 3
    config = GAAConfig("x", method=TEXT, regularizers=["sam", PAR(completions=3)], kl_coef=0.0)
    assert config.observes == Observation(greedy_branch=True, baseline_completions=3)
    assert GAAConfig("x", regularizers="sam", kl_coef=0.0).observes == Observation()


def test_a_budget_is_spent_at_its_limit():
    budget = KLBudget(limit=0.25)
    assert [budget.ends({"kl_ref": kl}) for kl in (0.0, 0.2499, 0.25, 0.3)] == [False, False, True, True]


def test_the_reference_is_reset_after_every_so_many_steps():
    assert [step for step in range(1, 10) if ReferenceResets(steps=3).resets_reference(step)] == [3, 6, 9]
    assert all(ReferenceResets(steps=1).resets_reference(step) for step in range(1, 10))


def test_what_each_needs_of_a_run():
    assert [name for name, kind in REGULARIZERS.items() if kind.moves_reference] == ["reference-resets"]
    assert [name for name, kind in REGULARIZERS.items() if kind.needs_float32] == ["gradient-norm", "sam"]


def test_a_coefficient_of_zero_is_nothing_to_multiply():
    with pytest.raises(ConfigError, match="kl_coef=0 with 'adaptive-kl', which multiplies it"):
        GAAConfig("x", regularizers=AdaptiveKL(), kl_coef=0.0)
    assert GAAConfig("x", regularizers=PIDKL(), kl_coef=0.0).exact_kl  # a PID coefficient may rise from 0
    assert not GAAConfig("x", kl_coef=0.0).exact_kl


OWN = '''"""Ends after one step."""
from dataclasses import dataclass

from gaard.regularizers import Regularizer


@dataclass(frozen=True)
class Short(Regularizer):
    name = "short"

    def ends(self, metrics):
        return metrics["step"] >= 1
'''


def test_one_of_ones_own_is_a_file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(OWN)
    assert len(short_run(tmp_path / "run", regularizers=["par", str(path)])) == 1
    record = json.loads((tmp_path / "run" / "run.json").read_text())["config"]["regularizers"]
    assert [one["name"] for one in record] == ["par", "short"]
    assert record[1] == find_regularizers(str(path))[0].record()
    assert record[1]["code"]
