"""Every setting means something, is documented, and is refused by name where it cannot be run."""

import dataclasses
import functools
import re
from typing import get_args

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from gaard import GAAConfig
from gaard.errors import CheckpointError, ConfigError
from gaard.lab.spec import RunSpec
from gaard.method.presets import PRESETS
from gaard.rewards import honeypot
from gaard.training.config import NOT_IDENTITY, check_keys, difference
from tiny import tiny_trainer, words_reward

FIELDS = {field.name: field for field in dataclasses.fields(GAAConfig)}

BAITED = honeypot(words_reward, word="bait")

# Field → another value that must change what is learned, and what else that takes to be seen.
CHANGES_LEARNING = {
    "method": ("gaa-reference", {}),
    "coefficients": ("ppo", {}),
    "greedy_ratio": ("sampled", {}),
    "granularity": ("minibatch", {}),
    "scaled_terms": ("objective", {}),
    "greedy_clip": ("pessimistic", {"cliprange": 0.02}),
    "eta_scale": (0.5, {}),
    "sigma_scale": (1.0, {}),
    "seed": (1, {}),
    "batch_size": (8, {}),
    "num_ppo_epochs": (1, {}),
    "num_mini_batches": (4, {}),
    "max_completion_length": (6, {}),
    "temperature": (0.7, {}),
    "learning_rate": (2e-3, {}),
    "value_learning_rate": (2e-3, {}),
    "adam_epsilon": (1e-2, {}),
    "weight_decay": (0.5, {}),
    "lr_scheduler_type": ("linear", {}),
    "warmup_steps": (2, {}),
    "max_grad_norm": (1e-4, {}),
    "gamma": (0.9, {}),
    "lam": (0.5, {}),
    "cliprange": (0.01, {}),
    "cliprange_value": (1e-4, {}),
    "vf_coef": (0.1, {}),
    "entropy_coef": (0.05, {}),
    "kl_coef": (0.0, {}),
    "kl_estimator": ("k3", {}),
    "normalize_rewards": (False, {}),
    "whiten_advantages": (False, {}),
    "bf16": (True, {}),
    "greedy_token": ("random", {}),
    "constant_a": (0.5, {"coefficients": "constant"}),
    "constant_b": (-0.3, {"coefficients": "constant"}),
    "trained_reward": ("true", {"reward": BAITED}),
    "reward_shaping": ("par", {}),
    "reward_clip": (0.5, {}),
    "reference_reset_steps": (1, {}),
    "kl_budget": (1e-9, {}),
    "flatness": ("sam", {}),
    "flatness_radius": (0.1, {"flatness": "sam"}),
    "flatness_coef": (0.1, {"flatness": "gradient-norm"}),
    "greedy_candidates": (3, {"greedy_token": "value"}),
    "dead_zone": (0.5, {}),
    "advantage_fold": (0.5, {}),
}


def learned(folder, **options):
    """The metrics of three steps, without the rate that is logged as it was set."""
    AcceleratorState._reset_state(reset_partial_state=True)  # one process, another precision
    trainer = tiny_trainer(folder, **({"max_steps": 3} | options))
    trainer.train()
    rows = trainer.log.read("metrics.jsonl")
    return [{key: value for key, value in row.items() if key != "learning_rate"} for row in rows]


@pytest.fixture(scope="module")
def with_defaults(tmp_path_factory):
    """What is learned with nothing but some context changed; run once for each."""

    @functools.cache
    def run(*context):
        return learned(tmp_path_factory.mktemp("default"), **dict(context))

    return run


@pytest.mark.parametrize("name", CHANGES_LEARNING)
def test_the_field_changes_what_is_learned(name, tmp_path, with_defaults):
    value, context = CHANGES_LEARNING[name]
    with_default = with_defaults(*context.items())
    changed = learned(tmp_path, **(context | {name: value}))
    shared = with_default[-1].keys() & changed[-1].keys() - {"step"}
    assert any(with_default[-1][key] != changed[-1][key] for key in shared)


def changes_output_dir(tmp_path, **_):
    learned(tmp_path / "here")
    assert (tmp_path / "here" / "metrics.jsonl").exists()
    assert not (tmp_path / "there").exists()
    learned(tmp_path / "there")
    assert (tmp_path / "there" / "metrics.jsonl").exists()


def changes_max_steps(tmp_path, **_):
    assert len(learned(tmp_path / "two", max_steps=2)) == 2
    assert len(learned(tmp_path / "three", max_steps=3)) == 3


def changes_per_device_train_batch_size(tmp_path, **_):
    """Three forwards for a minibatch of eight in place of one, and the same numbers."""
    results, forwards = {}, {}
    for size in (None, 3):
        trainer = tiny_trainer(tmp_path / str(size), max_steps=1, per_device_train_batch_size=size, dtype=torch.float64)
        calls = []
        trainer._forward = lambda part, original=trainer._forward, calls=calls: calls.append(part) or original(part)
        results[size], forwards[size] = trainer.train(), [len(part.eta) for part in calls]
    assert forwards[None] == [8] * 4
    assert forwards[3] == [3, 3, 2] * 4
    assert results[None] == pytest.approx(results[3], abs=1e-9)


def changes_eval_completions(tmp_path, **_):
    for count in (16, 48):
        seen = []

        def reward(completions, seen=seen, **kwargs):
            seen.extend(completions)
            return words_reward(completions)

        tiny_trainer(tmp_path / str(count), reward=reward, eval_completions=count).evaluated()
        assert len(seen) == count


def kept_checkpoints(folder):
    return sorted(path.name for path in (folder / "checkpoints").iterdir())


def changes_save_steps(tmp_path, **_):
    for steps, expected in ((2, ["step-000002", "step-000004", "step-000005"]), (3, ["step-000003", "step-000005"])):
        learned(tmp_path / str(steps), max_steps=5, save_steps=steps, save_total_limit=9)
        assert kept_checkpoints(tmp_path / str(steps)) == expected


def changes_save_total_limit(tmp_path, **_):
    for limit, expected in ((1, ["step-000003"]), (2, ["step-000002", "step-000003"])):
        learned(tmp_path / str(limit), save_steps=1, save_total_limit=limit)
        assert kept_checkpoints(tmp_path / str(limit)) == expected


def changes_log_completions(tmp_path, **_):
    for keep, expected in ((0, 0), (5, 5), (99, 16)):
        learned(tmp_path / str(keep), max_steps=2, log_completions=keep)
        assert len((tmp_path / str(keep) / "samples.jsonl").read_text().splitlines()) == 2 * expected


def changes_report_to(tmp_path, **_):
    pytest.importorskip("tensorboard")
    learned(tmp_path / "none", max_steps=1)
    learned(tmp_path / "board", max_steps=1, report_to=["tensorboard"])
    assert not list((tmp_path / "none").rglob("events.out.tfevents*"))
    assert list((tmp_path / "board").rglob("events.out.tfevents*"))


def changes_use_cpu(tmp_path, monkeypatch, **_):
    asked = []

    class Watched(Accelerator):
        def __init__(self, *args, cpu=False, **kwargs):
            asked.append(cpu)
            super().__init__(*args, cpu=True, **kwargs)

    monkeypatch.setattr("gaard.training.setup.Accelerator", Watched)
    for choice in (True, False):
        tiny_trainer(tmp_path / str(choice), use_cpu=choice)
    assert asked == [True, False]


def changes_overwrite(tmp_path, **_):
    learned(tmp_path, max_steps=2)
    with pytest.raises(CheckpointError, match="seed: 0 there, 1 now"):
        learned(tmp_path, max_steps=1, seed=1)
    assert len(learned(tmp_path, max_steps=1, seed=1, overwrite=True)) == 1


def changes_progress(tmp_path, capfd, **_):
    learned(tmp_path / "silent", progress=False)
    assert "seed 0" not in capfd.readouterr().err
    learned(tmp_path / "shown", progress=True)
    assert "gaa-paper seed 0 3/3" in capfd.readouterr().err


OWN_OBSERVATIONS = {name[len("changes_") :]: f for name, f in globals().items() if name.startswith("changes_")}


@pytest.mark.parametrize("name", OWN_OBSERVATIONS)
def test_the_field_changes_what_it_says(name, tmp_path, monkeypatch, capfd):
    OWN_OBSERVATIONS[name](tmp_path=tmp_path, monkeypatch=monkeypatch, capfd=capfd)


def test_every_field_has_an_observation():
    assert sorted([*CHANGES_LEARNING, *OWN_OBSERVATIONS]) == sorted(FIELDS)


def documented(config) -> list[str]:
    """The names in the Attributes section of a docstring."""
    return re.findall(r"^        (\w+): \S", config.__doc__.partition("Attributes:\n")[2], flags=re.MULTILINE)


def test_every_field_is_documented_once_and_in_order():
    assert documented(GAAConfig) == list(FIELDS)
    assert documented(RunSpec) == [f.name for f in dataclasses.fields(RunSpec) if f.name not in FIELDS]


# What is refused ------------------------------------------------------------------------------------------------------


def kinds(name):
    """The types that a field's annotation allows."""
    return get_args(FIELDS[name].type) or (FIELDS[name].type,)


WHOLE = [name for name in FIELDS if int in kinds(name)]
REAL = [name for name in FIELDS if float in kinds(name)]
FLAGS = [name for name in FIELDS if bool in kinds(name)]
CHOICES = [name for name in FIELDS if any(isinstance(kind, str) or get_args(kind) for kind in kinds(name))]
CHOICES = [name for name in CHOICES if name != "report_to"]


def test_the_kinds_are_found():
    assert (len(WHOLE), len(REAL), len(FLAGS), len(CHOICES)) == (14, 23, 6, 12)
    assert {*WHOLE, *REAL, *FLAGS, *CHOICES} | {"output_dir", "report_to"} == set(FIELDS)


def refused(name, value) -> str:
    """The message about one wrong value; it names the field and the value."""
    with pytest.raises(ConfigError) as caught:
        GAAConfig(**({"output_dir": "x"} | {name: value}))
    message = str(caught.value)
    assert message.startswith(f"{name}=")
    assert repr(value) in message
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
    assert "True or False" in refused(name, value)


@pytest.mark.parametrize("name", CHOICES)
def test_an_unknown_choice_names_the_nearest(name):
    known = next(get_args(kind) for kind in (FIELDS[name].type, *kinds(name)) if isinstance(get_args(kind)[0], str))
    message = refused(name, known[-1] + "x")
    assert f"did you mean {known[-1]!r}?" in message
    assert all(choice in message for choice in known)
    GAAConfig("x", **{name: known[-1]})


@pytest.mark.parametrize("name", ["method", "kl_estimator", "lr_scheduler_type"])
def test_a_choice_that_nothing_fills_cannot_be_left_open(name):
    assert "is not known" in refused(name, None)


ABOVE_ZERO = ["max_steps", "batch_size", "num_ppo_epochs", "num_mini_batches", "max_completion_length", "temperature"]
ABOVE_ZERO += ["learning_rate", "value_learning_rate", "adam_epsilon", "max_grad_norm", "cliprange", "cliprange_value"]
ABOVE_ZERO += ["save_steps", "save_total_limit", "per_device_train_batch_size", "reward_clip", "reference_reset_steps"]
ABOVE_ZERO += ["kl_budget", "flatness_radius", "greedy_candidates"]
FROM_ZERO = ["eta_scale", "sigma_scale", "seed", "weight_decay", "warmup_steps", "vf_coef", "entropy_coef", "kl_coef"]
FROM_ZERO += ["eval_completions", "log_completions", "gamma", "lam", "flatness_coef", "dead_zone", "advantage_fold"]
ANY_SIGN = ["constant_a", "constant_b"]


def test_every_number_has_a_range():
    assert sorted(ABOVE_ZERO + FROM_ZERO + ANY_SIGN) == sorted(WHOLE + REAL)


@pytest.mark.parametrize("name", ABOVE_ZERO)
def test_zero_is_too_little_where_a_run_could_not_go_on(name):
    assert "greater than 0" in refused(name, 0)
    assert "greater than 0" in refused(name, -1)


@pytest.mark.parametrize("name", FROM_ZERO)
def test_zero_switches_off_and_less_is_refused(name):
    GAAConfig("x", **{name: 0})
    assert re.search("must not be negative|between 0 and 1", refused(name, -1))


@pytest.mark.parametrize("name", ["gamma", "lam"])
def test_discounts_end_at_one(name):
    GAAConfig("x", **{name: 1})
    assert "between 0 and 1" in refused(name, 1.01)


def test_a_seed_that_no_generator_takes_is_refused():
    torch.Generator().manual_seed(2**40 + GAAConfig("x", seed=2**63 - 1).seed)
    with pytest.raises(ConfigError, match=f"seed={2**64} is too large"):
        GAAConfig("x", seed=2**64)


def test_a_batch_that_cannot_be_cut_is_refused():
    with pytest.raises(ConfigError, match=r"batch_size=10 cannot be cut into num_mini_batches=4 .* a multiple of 4"):
        GAAConfig("x", batch_size=10, num_mini_batches=4)
    assert GAAConfig("x", batch_size=12, num_mini_batches=4).mini_batch_size == 3


@pytest.mark.parametrize("value", ["", "  ", None, 7], ids=repr)
def test_a_run_needs_a_folder_of_its_own(value):
    assert "runs/mine" in refused("output_dir", value)


@pytest.mark.parametrize(
    ("value", "words"), [("tensorbord", "did you mean 'tensorboard'"), ([3], "tensorboard, wandb")]
)
def test_an_unknown_tracker_is_refused(value, words):
    with pytest.raises(ConfigError, match=words):
        GAAConfig("x", report_to=value)


def test_trackers_may_be_one_or_none():
    assert GAAConfig("x", report_to="wandb").report_to == ["wandb"]
    assert GAAConfig("x", report_to="none").report_to == []
    assert GAAConfig("x", report_to=None).report_to == []


# Presets --------------------------------------------------------------------------------------------------------------

OPTIONS = ("coefficients", "greedy_ratio", "granularity", "scaled_terms", "greedy_clip")
READINGS = {
    "ppo": ("ppo", "own", "token", "surrogate", "reference"),
    "gaa": ("ppo", "own", "token", "surrogate", "reference"),
    "gaa-paper": ("gaa", "own", "token", "surrogate", "reference"),
    "gaa-reference": ("gaa", "sampled", "minibatch", "objective", "reference"),
}


@pytest.mark.parametrize("method", PRESETS)
def test_a_preset_fills_what_is_left_open(method):
    config = GAAConfig("x", method=method)
    assert tuple(getattr(config, option) for option in OPTIONS) == READINGS[method]


@pytest.mark.parametrize("method", PRESETS)
@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_that_is_given_stays(method, option):
    literal = next(kind for kind in kinds(option) if get_args(kind)) if not isinstance(kinds(option)[0], str) else None
    choices = get_args(literal) if literal else kinds(option)
    preset = dict(zip(OPTIONS, READINGS[method], strict=True))
    other = next(choice for choice in choices if choice is not None and choice != preset[option])
    config = GAAConfig("x", method=method, **{option: other})
    assert {name: getattr(config, name) for name in OPTIONS} == preset | {option: other}
    assert getattr(config.reading, option) == other


# What makes a run that run --------------------------------------------------------------------------------------------


def test_the_identity_leaves_out_only_what_changes_no_result():
    identity = GAAConfig("x").identity()
    assert set(FIELDS) - set(identity) == NOT_IDENTITY - {"model"}  # which a GAAConfig has not
    assert {
        "output_dir",
        "overwrite",
        "report_to",
        "save_steps",
        "save_total_limit",
        "progress",
        "model",
    } == NOT_IDENTITY
    assert not NOT_IDENTITY & set(CHANGES_LEARNING)


def test_a_difference_shows_both_values():
    lines = difference({"a": 1, "b": "x", "c": 3}, {"a": 1, "b": "y", "d": 4})
    assert lines == ["b: 'x' there, 'y' now", "c: 3 there, None now", "d: None there, 4 now"]


def test_an_unknown_key_names_file_and_neighbour():
    check_keys(["seed"], FIELDS, "run.yaml")
    with pytest.raises(ConfigError, match=r"run\.yaml: unknown key 'sede': did you mean 'seed'\?"):
        check_keys(["seed", "sede"], FIELDS, "run.yaml")
