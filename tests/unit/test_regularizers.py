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
from gaard.methods.experience import Observation
from gaard.regularizers import (
    PAR,
    REGULARIZERS,
    SAM,
    GradientNorm,
    KLBudget,
    ReferenceResets,
    Regularizer,
    find_regularizers,
)
from tiny import TEXT, tiny_trainer


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
        ([{"name": "par"}, PAR(completions=1)], "regularizers names 'par' twice"),
        ([3], "regularizers=3 is neither a name nor a mapping"),
        ({"radius": 1}, r"regularizers=\{'radius': 1\} has no name: choose from gradient-norm, kl-budget"),
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
}


@pytest.mark.parametrize(("name", "option"), BOUNDS)
def test_an_option_that_cannot_be_is_refused_by_name(name, option):
    for value in BOUNDS[name, option]:
        with pytest.raises(ConfigError, match=f"regularizer '{name}': {option}=.* must be") as caught:
            REGULARIZERS[name](**{option: value})
        assert repr(value) in str(caught.value)


# Every one, and every option of it, does something --------------------------------------------------------------------

CHANGES = {
    ("gradient-norm", "coef"): (1.0, {}),
    ("gradient-norm", "radius"): (1.0, {}),
    ("sam", "radius"): (0.1, {}),
    ("reference-resets", "steps"): (1, {}),
    ("kl-budget", "limit"): (1e-9, {}),
    ("par", "completions"): (2, {}),
}


def test_every_option_has_a_row():
    options = {(name, option) for name, own in OPTIONS.items() for option in own}
    assert options == set(CHANGES) == set(BOUNDS)


@pytest.fixture(scope="module")
def plain_run(tmp_path_factory):
    """Three steps with a regulariser as it comes, or none; run once for each."""

    @functools.cache
    def run(name):
        return short_run(tmp_path_factory.mktemp("plain"), regularizers=name)

    return run


@pytest.mark.parametrize(("name", "option"), CHANGES)
def test_an_option_changes_what_is_learned(name, option, tmp_path, plain_run):
    value, context = CHANGES[name, option]
    changed = short_run(tmp_path, regularizers={"name": name, option: value}, **context)
    assert changed != plain_run(name)
    assert changed != plain_run(None)


@pytest.mark.parametrize("name", sorted({"gradient-norm", "sam", "par"}))
def test_one_as_it_comes_changes_what_is_learned(name, plain_run):
    assert plain_run(name)[-1]["loss"] != plain_run(None)[-1]["loss"]


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
