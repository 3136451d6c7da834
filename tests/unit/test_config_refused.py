"""Every setting is refused by name where it cannot be run."""

from typing import get_args

import pytest
import torch

from fields import FIELDS, OPTIONS, chosen, kinds
from gaard import GAAConfig
from gaard.errors import ConfigError
from gaard.lab.spec import CHOSEN
from gaard.methods import GAE

NAMES = [*(name for name in FIELDS if name not in CHOSEN), *OPTIONS]
WHOLE = [name for name in NAMES if int in kinds(name)]
REAL = [name for name in NAMES if float in kinds(name)]
FLAGS = [name for name in NAMES if bool in kinds(name)]
CHOICES = [name for name in NAMES if any(isinstance(kind, str) or get_args(kind) for kind in kinds(name))]
CHOICES = [name for name in CHOICES if name != "report_to"]


def test_the_kinds_are_found():
    assert (len(WHOLE), len(REAL), len(FLAGS), len(CHOICES)) == (23, 40, 11, 14)
    assert {*WHOLE, *REAL, *FLAGS, *CHOICES} | {"output_dir", "report_to"} == set(NAMES)


def configured(name, value) -> GAAConfig:
    """A configuration with one field or option given."""
    given = chosen(name, given=value) if name in OPTIONS else {name: value}
    context = {"advantages": "dr_grpo"} if name.startswith("method.signcert") else {}
    return GAAConfig(**({"output_dir": "x"} | context | given))


def refused(name, value) -> str:
    """The message about one wrong value; it names the field, or the choice and its option, and the value."""
    with pytest.raises(ConfigError) as caught:
        configured(name, value)
    message = str(caught.value)
    *_, choice, last = ("", *name.split("."))
    kind = OPTIONS[name].kind if name in OPTIONS else ""
    assert message.startswith(f"{kind} {choice!r}: {last}={value!r} " if kind else f"{last}={value!r} ")
    return message


@pytest.mark.parametrize("name", [*WHOLE, *REAL])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), True, "1", [1]], ids=str)
def test_what_is_not_a_finite_number_is_refused(name, value):
    assert "must be" in refused(name, value)


@pytest.mark.parametrize("name", WHOLE)
def test_a_fraction_is_no_count(name):
    assert "must be a whole number" in refused(name, 2.5)


@pytest.mark.parametrize("name", FLAGS)
@pytest.mark.parametrize("value", ["false", 1, None], ids=str)
def test_a_switch_is_true_or_false(name, value):
    if value is None and type(None) in kinds(name):
        assert getattr(configured(name, value), name) is None  # as the estimator says
    else:
        assert "True or False" in refused(name, value)


@pytest.mark.parametrize("name", CHOICES)
def test_an_unknown_choice_names_the_nearest(name):
    known = next(kind if isinstance(kind, tuple) else get_args(kind) for kind in (kinds(name), *kinds(name)))
    known = known if isinstance(known[0], str) else get_args(known[0])
    message = refused(name, known[-1] + "x")
    assert f"did you mean {known[-1]!r}?" in message
    assert all(choice in message for choice in known)
    configured(name, known[-1])


@pytest.mark.parametrize("field", ["method", "advantages"])
def test_an_unknown_name_names_the_nearest(field):
    known = list(CHOSEN[field])
    with pytest.raises(ConfigError) as caught:
        GAAConfig("x", **{field: known[-1] + "x"})
    message = str(caught.value)
    assert message.startswith(f"{field}='{known[-1]}x' is not known: did you mean {known[-1]!r}?")
    assert all(name in message for name in known)


def test_an_unknown_regularizer_names_the_nearest():
    with pytest.raises(ConfigError) as caught:
        GAAConfig("x", regularizers=["gradient-nrom"])
    assert str(caught.value).startswith("regularizers='gradient-nrom' is not known: did you mean 'gradient-norm'?")


@pytest.mark.parametrize("name", ["method", "advantages", "kl_estimator", "lr_scheduler_type"])
def test_a_choice_cannot_be_left_open(name):
    with pytest.raises(ConfigError, match=rf"^{name}=None (is not known|is neither a name nor a mapping)"):
        GAAConfig("x", **{name: None})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"method": {"name": "gaa", "threshold": 3}},
            "method 'gaa' has no option 'threshold': it is an option of fold",
        ),
        (
            {"method": {"name": "ppo", "reading": "text"}},
            "method 'ppo' has no option 'reading': it is an option of gaa",
        ),
        (
            {"method": {"name": "fold", "treshold": 3}},
            "method 'fold' has no option 'treshold': did you mean 'threshold'",
        ),
        ({"method": {"name": "ppo", "treshold": 3}}, "method 'ppo' has no option 'treshold': it has none"),
        (
            {"method": {"threshold": 3}},
            r"method=\{'threshold': 3\} has no name: choose from clip, drop, fold, gaa, ppo",
        ),
        ({"method": 3}, "method=3 is neither a name nor a mapping of name and options"),
        ({"method": GAE()}, "method=GAE.* is neither a name nor a mapping"),
        ({"advantages": {"lamb": 1}}, "advantages 'gae' has no option 'lamb': did you mean 'lam'"),
        ({"regularizers": ["sam", {"name": "sam"}]}, "regularizers names 'sam' twice: leave one out"),
        (
            {"regularizers": [{"name": "sam", "coef": 1.0}]},
            "'sam' has no option 'coef': it is an option of gradient-norm and chi2",
        ),
        ({"regularizers": [3]}, "regularizers=3 is neither a name nor a mapping"),
    ],
)
def test_an_option_of_another_is_an_error_that_says_whose_it_is(settings, message):
    with pytest.raises(ConfigError, match=message):
        GAAConfig("x", **settings)


ABOVE_ZERO = ["batch_size", "num_ppo_epochs", "num_mini_batches", "max_completion_length", "temperature"]
ABOVE_ZERO += ["learning_rate", "adam_epsilon", "max_grad_norm", "cliprange", "save_steps", "save_total_limit"]
ABOVE_ZERO += [
    "eval_steps",
    "reward_timeout",
    "sharpness_steps",
    "per_device_train_batch_size",
    "reward_clip",
    "method.fold.threshold",
    "method.gaa.candidates",
]
ABOVE_ZERO += ["advantages.gae.value_learning_rate", "advantages.gae.cliprange_value", "regularizers.sam.radius"]
ABOVE_ZERO += ["regularizers.gradient-norm.radius", "regularizers.reference-resets.steps"]
ABOVE_ZERO += ["regularizers.kl-budget.limit", "regularizers.par.completions", "regularizers.max-min.correlation"]
ABOVE_ZERO += ["regularizers.max-min.completions", "regularizers.pid-kl.target", "regularizers.adaptive-kl.target"]
ABOVE_ZERO += ["regularizers.adaptive-kl.gain"]
FROM_ZERO = ["max_steps", "seed", "weight_decay", "warmup_steps", "entropy_coef", "kl_coef", "eval_completions"]
FROM_ZERO += ["log_completions", "method.gaa.eta_scale", "method.gaa.sigma_scale", "advantages.gae.gamma"]
FROM_TWO = [f"advantages.{name}.num_generations" for name in ("grpo", "dr_grpo", "rloo")]
FROM_ZERO += ["advantages.gae.lam", "advantages.gae.vf_coef", "regularizers.gradient-norm.coef"]
FROM_ZERO += ["regularizers.chi2.coef", *(f"regularizers.pid-kl.{gain}" for gain in ("kp", "ki", "kd", "smoothing"))]
FROM_ZERO += ["method.signcert.quantile", "regularizers.ensemble.coef", "regularizers.length-residual.coef"]
ABOVE_ZERO += ["method.drop.threshold", "method.clip.threshold", "regularizers.length-residual.fraction"]
FROM_ZERO += [f"regularizers.imperfect-detector.{name}" for name in ("penalty", "detector_seed")]
FROM_ZERO += [f"regularizers.imperfect-detector.{kind}_positive_rate" for kind in ("true", "false")]
FROM_TWO += ["regularizers.policy-filtration.num_generations"]


def test_every_number_has_a_range():
    assert sorted(ABOVE_ZERO + FROM_ZERO + FROM_TWO) == sorted(WHOLE + REAL)


@pytest.mark.parametrize("name", ABOVE_ZERO)
def test_zero_is_too_little_where_a_run_could_not_go_on(name):
    assert "greater than 0" in refused(name, 0)
    assert "greater than 0" in refused(name, -1)


@pytest.mark.parametrize("name", FROM_ZERO)
def test_zero_switches_off_and_less_is_refused(name):
    configured(name, 0)
    assert "must be 0 or more" in refused(name, -1)


@pytest.mark.parametrize("name", FROM_TWO)
def test_one_alone_is_no_group(name):
    configured(name, 2)
    assert "must be 2 or more" in refused(name, 1)


@pytest.mark.parametrize("name", ["advantages.gae.gamma", "advantages.gae.lam"])
def test_discounts_end_at_one(name):
    configured(name, 1)
    assert "must be 1 or less" in refused(name, 1.01)


def test_a_seed_that_no_generator_takes_is_refused():
    torch.Generator().manual_seed(2**40 + GAAConfig("x", seed=2**63 - 1).seed)
    with pytest.raises(ConfigError, match=f"seed={2**64} is too large"):
        GAAConfig("x", seed=2**64)


def test_a_batch_that_cannot_be_cut_is_refused():
    with pytest.raises(ConfigError, match=r"batch_size=10 cannot be cut into num_mini_batches=4 .* a multiple of 4"):
        GAAConfig("x", batch_size=10, num_mini_batches=4)
    assert GAAConfig("x", batch_size=12, num_mini_batches=4).mini_batch_size == 3


def test_a_batch_that_is_not_of_whole_groups_is_refused():
    message = (
        r"batch_size=12 cannot be cut into groups of num_generations=8 completions: make batch_size a multiple of 8"
    )
    with pytest.raises(ConfigError, match=message):
        GAAConfig("x", batch_size=12, advantages="grpo")


@pytest.mark.parametrize("name", ["grpo", "dr_grpo", "rloo"])
@pytest.mark.parametrize("method", [{"reading": "text"}, {"reading": "code"}, {"greedy_value": "critic"}], ids=str)
def test_what_values_greedy_tokens_by_a_critic_needs_one(name, method):
    message = f"values greedy tokens by a critic, and advantages '{name}' have none: use advantages gae, or of gaa"
    with pytest.raises(ConfigError, match=message):
        GAAConfig("x", method={"name": "gaa", **method}, advantages=name)
    GAAConfig("x", method="gaa", advantages=name)


@pytest.mark.parametrize("value", ["", "  ", None, 7], ids=repr)
def test_a_run_needs_a_folder_of_its_own(value):
    assert "runs/mine" in refused("output_dir", value)


@pytest.mark.parametrize(
    ("value", "words"), [("tensorbord", "did you mean 'tensorboard'"), ([3], "mlflow, tensorboard, trackio, wandb")]
)
def test_an_unknown_tracker_is_refused(value, words):
    with pytest.raises(ConfigError, match=words):
        GAAConfig("x", report_to=value)


def test_trackers_may_be_one_or_none():
    assert GAAConfig("x", report_to="wandb").report_to == ["wandb"]
    assert GAAConfig("x", report_to="none").report_to == []
    assert GAAConfig("x", report_to=None).report_to == []
