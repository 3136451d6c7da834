"""Methods as objects: what each looks at, how it is named, what it refuses, and that every option does something."""

import dataclasses
import functools
from pathlib import Path

import pytest

from gaard import GAAConfig
from gaard.errors import ConfigError
from gaard.lab.arms import ARMS, Arm
from gaard.lab.given_arms import find_arm
from gaard.lab.study import read_study
from gaard.methods import (
    ESTIMATORS,
    GAA,
    GAE,
    GRPO,
    METHODS,
    PPO,
    RECOMMENDED,
    RLOO,
    Clip,
    DrGRPO,
    Drop,
    Fold,
    SignCert,
)
from gaard.methods.gaa import READINGS
from gaard.regularizers import REGULARIZERS
from gaard.rewards import honeypot
from gaard.training import collect
from tiny import CERTIFIED, TEXT, LinearReward, bait_reward, tiny_trainer, words_reward

STUDIES = sorted((Path(__file__).parents[2] / "studies").glob("*/study.yaml"))


def short_run(folder, **options):
    """The metrics of three steps."""
    trainer = tiny_trainer(folder, **({"max_steps": 3} | options))
    trainer.train()
    return trainer.run.log.read("metrics.jsonl")


# What each looks at ---------------------------------------------------------------------------------------------------


@pytest.fixture
def looks(monkeypatch):
    """Counts the greedy branches that are looked at."""
    calls, plain = [], collect.greedy_values
    monkeypatch.setattr(collect, "greedy_values", lambda *given: calls.append(1) or plain(*given))
    return calls


@pytest.mark.parametrize("name", METHODS)
def test_a_method_looks_at_the_greedy_token_if_its_name_says_gaa(name, looks, tmp_path):
    steps = short_run(tmp_path, method=name, max_steps=2, **(CERTIFIED if name == "signcert" else {}))
    assert len(steps) == 2
    assert len(looks) == (2 if METHODS[name]().observes.greedy_branch else 0)
    assert METHODS[name]().observes.of_likely_tokens == ("gaa" in name)


def test_the_fold_looks_at_no_greedy_token_and_gaa_does_in_every_reading():
    assert [Fold().observes.of_likely_tokens, PPO().observes.of_likely_tokens] == [False, False]
    assert all(GAA(reading=reading).observes.of_likely_tokens for reading in READINGS)
    assert [GAA(reading=reading).observes.greedy_branch for reading in READINGS] == [True, True, False]
    assert GAA(reading="expected").observes.candidates == 8


@pytest.mark.parametrize("name", ARMS)
def test_an_arm_looks_at_the_greedy_token_if_its_name_says_gaa(name, looks, tmp_path):
    base = LinearReward() if "signcert" in name else words_reward
    reward = honeypot(base, word="w5")  # has a truth, for the arm that trains on it
    ensemble = (reward, words_reward) if "ensemble" in name else None
    settings = ARMS[name].over({"batch_size": 8})
    tiny_trainer(tmp_path, reward=reward, ensemble=ensemble, max_steps=1, **settings).train()
    seen = ARMS[name].method.observes
    assert seen.of_likely_tokens == ("gaa" in name)
    assert len(looks) == seen.greedy_branch  # in expectation the batch's own samples say what x* is worth


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.parent.name)
def test_an_arm_of_a_study_whose_name_says_gaa_looks_at_the_greedy_token(path):
    for arm in read_study(path).arms:
        assert "gaa" not in arm.name or arm.method.observes.of_likely_tokens, arm.name


def test_a_class_is_listed_by_its_own_name():
    for table in (METHODS, ESTIMATORS, REGULARIZERS):
        assert [kind.name for kind in table.values()] == list(table)
    named = {"PPO": "ppo", "Fold": "fold", "GAA": "gaa", "Drop": "drop", "Clip": "clip", "SignCert": "signcert"}
    assert {kind.__name__: name for name, kind in METHODS.items()} == named | {"RobustScaling": "robust-scaling"}
    assert METHODS[RECOMMENDED] is GAA
    assert GAA() == GAA(reading="expected")  # of the three the one that prevents hacks
    assert GAAConfig("x").method == PPO()  # a safeguard is chosen by name


# What a method is given -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["fold", {"name": "fold"}, Fold, Fold()], ids=repr)
def test_a_method_is_named_or_made(given):
    assert GAAConfig("x", method=given).method == Fold(threshold=3.0)


def test_options_stand_beside_the_name():
    assert GAAConfig("x", method={"name": "fold", "threshold": 2}).method == Fold(threshold=2.0)
    config = GAAConfig("x", advantages={"lam": 0.5})
    assert config.advantages == GAE(gamma=1.0, lam=0.5, value_learning_rate=1e-3, vf_coef=0.5, cliprange_value=0.2)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("ppp", "method='ppp' is not known: did you mean 'ppo'"),
        ("gaa-expected", "method='gaa-expected' is not known: .* is no method: did you mean 'gaa'"),
        (3, "method=3 is neither a name nor a mapping"),
        (None, "method=None is neither a name nor a mapping"),
        ({"threshold": 3}, r"method=\{'threshold': 3\} has no name: choose from clip, drop, fold, gaa, ppo"),
        ({"name": "gaa", "readings": "text"}, "method 'gaa' has no option 'readings': did you mean 'reading'"),
        ({"name": "gaa", "reading": "texts"}, "method 'gaa': reading='texts' is not known: did you mean 'text'"),
        ("nowhere/mine.py", "nowhere/mine.py.*does not exist"),
    ],
)
def test_what_is_no_method_is_refused(given, words):
    with pytest.raises(ConfigError, match=words):
        GAAConfig("x", method=given)


OPTIONS = {name: [field.name for field in dataclasses.fields(kind)] for name, kind in METHODS.items()}
STRANGE = [
    (name, other, option)
    for name in METHODS
    for other in METHODS
    for option in OPTIONS[other]
    if option not in OPTIONS[name]
]


@pytest.mark.parametrize(("name", "owner", "option"), STRANGE)
def test_an_option_of_another_method_is_an_error_that_says_whose_it_is(name, owner, option):
    given = {"name": name, option: 3}
    advantages = "dr_grpo" if owner == "signcert" else "gae"
    owners = " and ".join(one for one in METHODS if option in OPTIONS[one])
    words = f"method '{name}' has no option '{option}': it is an option of {owners}"
    with pytest.raises(ConfigError, match=words):
        GAAConfig("x", method=given)
    with pytest.raises(ConfigError, match=words):
        dataclasses.replace(GAAConfig("x", method=owner, advantages=advantages), method=given)
    with pytest.raises(ConfigError, match=words):
        Arm("mine", method=given)
    with pytest.raises(ConfigError, match=f"arm 'mine': {words}"):
        find_arm({"name": "mine", "method": given})
    with pytest.raises(ConfigError, match=f"arm 'mine': {words}"):
        find_arm({"name": "mine", "base": "ppo", "method": given})
    with pytest.raises(TypeError, match=option):
        METHODS[name](**{option: 3})


BOUNDS = [  # option, what cannot be, what the error says
    *((kind, "threshold", [0, -1, float("inf"), float("nan")], "threshold=.* must be") for kind in (Fold, Drop, Clip)),
    *((kind, "threshold", ["3", None, True, [3]], "threshold=.* must be") for kind in (Fold, Drop, Clip)),
    (SignCert, "quantile", [-0.1, 1.1, float("nan"), "0.5", None], "quantile=.* must be"),
    (GAA, "eta_scale", [-0.1, float("inf"), float("nan"), "1", None], "eta_scale=.* must be"),
    (GAA, "sigma_scale", [-0.1, float("inf"), float("nan"), "1", None], "sigma_scale=.* must be"),
    (GAA, "reading", ["paper", "reference", 1, None], "reading=.* is not known: .*code, expected, text"),
    (GAA, "greedy_ratio", ["owns", 1], "greedy_ratio=.* is not known: .*own, sampled"),
    (GAA, "granularity", ["batch", 1], "granularity=.* is not known: .*minibatch, token"),
    (GAA, "scaled_terms", ["all", 1], "scaled_terms=.* is not known: .*objective, surrogate"),
    (GAA, "greedy_clip", ["reference", "pessimistic"], "greedy_clip=.* is not known: .*inside, outside"),
    (GAA, "greedy_value", ["values", 1], "greedy_value=.* is not known: .*critic, samples"),
    (GAA, "candidates", [0, -1, 1.5, "8"], "candidates=.* must be"),
    (GAA, "trust_judge", [1, "yes", None], "trust_judge=.* must be"),
    (GAE, "gamma", [-0.1, 1.1, float("nan"), "1"], "gamma=.* must be"),
    (GAE, "lam", [-0.1, 1.1, float("nan"), "1"], "lam=.* must be"),
    (GAE, "value_learning_rate", [0, -1e-3, float("inf"), "1e-3"], "value_learning_rate=.* must be"),
    (GAE, "vf_coef", [-0.1, float("inf"), None], "vf_coef=.* must be"),
    (GAE, "cliprange_value", [0, -0.1, float("inf"), None], "cliprange_value=.* must be"),
    *((kind, "num_generations", [1, 0, 2.5, None], "num_generations=.* must be") for kind in (GRPO, DrGRPO, RLOO)),
]


@pytest.mark.parametrize(("kind", "option", "values", "words"), BOUNDS)
def test_an_option_that_cannot_be_is_refused_by_name(kind, option, values, words):
    for value in values:
        with pytest.raises(ConfigError, match=f"{kind.kind} '{kind.name}': {words}") as caught:
            kind(**{option: value})
        assert repr(value) in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (Fold, {"threshold": 1e-6}),
        (GAA, {"eta_scale": 0, "sigma_scale": 0}),
        (GAE, {"gamma": 0, "lam": 0, "vf_coef": 0}),
        (GAE, {"gamma": 1, "lam": 1}),
    ],
)
def test_the_ends_of_a_range_are_allowed_and_whole_numbers_become_floats(kind, options):
    made = kind(**options)
    assert {name: getattr(made, name) for name in options} == options
    assert all(isinstance(getattr(made, name), float) for name in options)


# Every option does something ------------------------------------------------------------------------------------------

CHANGES = {  # class and option → another value, and what else it takes to be seen
    **{(name, "threshold"): (0.5, {}) for name in ("fold", "drop", "clip")},
    ("signcert", "quantile"): (0.75, CERTIFIED),
    ("gaa", "reading"): ("code", {}),
    ("gaa", "greedy_ratio"): ("sampled", {}),
    ("gaa", "granularity"): ("minibatch", {}),
    ("gaa", "scaled_terms"): ("objective", {}),
    ("gaa", "greedy_clip"): ("inside", {"cliprange": 0.02}),
    ("gaa", "greedy_value"): ("samples", {}),
    ("gaa", "candidates"): (4, {}),
    ("gaa", "eta_scale"): (0.5, {}),
    ("gaa", "sigma_scale"): (1.0, {}),
    ("gaa", "trust_judge"): (True, {"reward": bait_reward, "judge": bait_reward}),
    ("gae", "gamma"): (0.9, {}),
    ("gae", "lam"): (0.5, {}),
    ("gae", "value_learning_rate"): (2e-3, {}),
    ("gae", "vf_coef"): (0.1, {}),
    ("gae", "cliprange_value"): (1e-4, {}),
    **{(name, "num_generations"): (4, {"method": "ppo"}) for name in ("grpo", "dr_grpo", "rloo")},
}


def named(name, option=""):
    """A method or an estimator; of gaa the reading that shows an option in three short steps."""
    return TEXT if name == "gaa" and option != "trust_judge" else {"name": name}


def test_every_option_has_a_row():
    tables = METHODS | ESTIMATORS
    assert {(n, field.name) for n, kind in tables.items() for field in dataclasses.fields(kind)} == set(CHANGES)
    assert {(kind.name, option) for kind, option, *_ in BOUNDS} == set(CHANGES)


@pytest.fixture(scope="module")
def plain_run(tmp_path_factory):
    """Three steps with no option changed; run once for each context."""

    @functools.cache
    def run(name, option, *context):
        field = "method" if name in METHODS else "advantages"
        return short_run(tmp_path_factory.mktemp("plain"), **{field: named(name, option)}, **dict(context))

    return run


@pytest.mark.parametrize(("name", "option"), CHANGES)
def test_an_option_changes_what_is_learned(name, option, tmp_path, plain_run):
    value, context = CHANGES[name, option]
    field = "method" if name in METHODS else "advantages"
    changed = short_run(tmp_path, **{field: named(name, option) | {option: value}}, **context)
    assert changed[-1] != plain_run(name, option, *context.items())[-1]


def test_each_method_trains_another_policy(tmp_path):
    methods = ({"name": "fold", "threshold": 0.5}, "ppo", *({"name": "gaa", "reading": one} for one in READINGS))
    settings = {"batch_size": 64, "max_steps": 6}  # so many texts that some token is shown to be better
    losses = [short_run(tmp_path / str(i), method=method, **settings)[-1]["loss"] for i, method in enumerate(methods)]
    assert len(set(losses)) == len(methods)
