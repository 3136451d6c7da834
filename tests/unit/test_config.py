"""Every setting means something, is documented, and is refused by name where it cannot be run."""

import dataclasses
import json
import re
from typing import get_args, get_type_hints

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from gaard import GAAConfig
from gaard.errors import CheckpointError, ConfigError
from gaard.lab.spec import CHOSEN, RunSpec
from gaard.methods import GAA, GAE, METHODS, PPO, RECOMMENDED, Fold
from gaard.methods.gaa import Answers
from gaard.regularizers import PAR, REGULARIZERS, SAM, GradientNorm, KLBudget, ReferenceResets
from gaard.rewards import honeypot
from gaard.settings import check_keys
from gaard.training import update
from gaard.training.identity import NOT_IDENTITY, determining_settings, difference
from tiny import tiny_trainer, words_reward

FIELDS = {field.name: field for field in dataclasses.fields(GAAConfig)}
# field.name.option → the class that has it
OPTIONS = {
    f"{field}.{name}.{option.name}": kind
    for field in CHOSEN
    for name, kind in CHOSEN[field].items()
    for option in dataclasses.fields(kind)
}

BAITED = honeypot(words_reward, word="bait")

# Field → another value that must change what is learned, and what else that takes to be seen.
CHANGES_LEARNING = {
    "method": ({"name": "fold", "threshold": 0.5}, {}),
    "advantages": ({"lam": 0.5}, {}),
    "regularizers": (["sam"], {}),
    "seed": (1, {}),
    "batch_size": (8, {}),
    "num_ppo_epochs": (1, {}),
    "num_mini_batches": (4, {}),
    "max_completion_length": (6, {}),
    "temperature": (0.7, {}),
    "learning_rate": (2e-3, {}),
    "adam_epsilon": (1e-2, {}),
    "weight_decay": (0.5, {}),
    "lr_scheduler_type": ("linear", {}),
    "warmup_steps": (2, {}),
    "max_grad_norm": (1e-4, {}),
    "cliprange": (0.01, {}),
    "entropy_coef": (0.05, {}),
    "kl_coef": (0.0, {}),
    "kl_estimator": ("k3", {}),
    "normalize_rewards": (False, {}),
    "whiten_advantages": (False, {}),
    "bf16": (True, {}),
    "trained_reward": ("true", {"reward": BAITED}),
    "reward_clip": (0.5, {}),
}
# Option → the same.
CHANGES_WITH = {
    "method.fold.threshold": (0.5, {}),
    "method.gaa.reading": ("code", {}),
    "method.gaa.greedy_ratio": ("sampled", {}),
    "method.gaa.granularity": ("minibatch", {}),
    "method.gaa.scaled_terms": ("objective", {}),
    "method.gaa.greedy_clip": ("inside", {"cliprange": 0.02}),
    "method.gaa.eta_scale": (0.5, {}),
    "method.gaa.sigma_scale": (1.0, {}),
    "advantages.gae.gamma": (0.9, {}),
    "advantages.gae.lam": (0.5, {}),
    "advantages.gae.value_learning_rate": (2e-3, {}),
    "advantages.gae.vf_coef": (0.1, {}),
    "advantages.gae.cliprange_value": (1e-4, {}),
    "regularizers.gradient-norm.coef": (0.5, {}),
    "regularizers.gradient-norm.radius": (0.1, {}),
    "regularizers.sam.radius": (0.1, {}),
    "regularizers.reference-resets.steps": (1, {}),
    "regularizers.kl-budget.limit": (1e-9, {}),
    "regularizers.par.completions": (2, {}),
}


def chosen(option, **value):
    """The setting that chooses what has an option, the option perhaps given."""
    field, name, last = option.split(".")
    one = {"name": name} | ({last: value["given"]} if value else {})
    return {field: [one] if field == "regularizers" else one}


def learned(folder, **options):
    """The metrics of three steps, without the rate that is logged as it was set."""
    AcceleratorState._reset_state(reset_partial_state=True)  # one process, another precision
    trainer = tiny_trainer(folder, **({"max_steps": 3} | options))
    trainer.train()
    rows = trainer.run.log.read("metrics.jsonl")
    return [{key: value for key, value in row.items() if key != "learning_rate"} for row in rows]


@pytest.fixture(scope="module")
def with_defaults(tmp_path_factory):
    """What is learned with nothing but some context changed; run once for each."""
    known = {}

    def run(context):
        key = repr(context)
        if key not in known:
            known[key] = learned(tmp_path_factory.mktemp("default"), **context)
        return known[key]

    return run


def differ(one, other) -> bool:
    """Whether two runs came to another end; a run may also end sooner."""
    shared = one[-1].keys() & other[-1].keys() - {"step"}
    return any(one[-1][key] != other[-1][key] for key in shared)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", CHANGES_LEARNING)
def test_the_field_changes_what_is_learned_by_every_method(name, method, tmp_path, with_defaults):
    value, context = CHANGES_LEARNING[name]
    value = "gaa" if name == "method" and method == "fold" else value
    context = {"method": method, **context}
    assert differ(with_defaults(context), learned(tmp_path, **(context | {name: value})))


@pytest.mark.parametrize("name", CHANGES_WITH)
def test_the_option_changes_what_is_learned(name, tmp_path, with_defaults):
    value, context = CHANGES_WITH[name]
    with_default = with_defaults({**context, **chosen(name)})
    assert differ(with_default, learned(tmp_path, **context, **chosen(name, given=value)))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", [option for option in CHANGES_WITH if option.startswith("advantages.")])
def test_the_critics_options_change_what_every_method_learns(name, method, tmp_path, with_defaults):
    value, _ = CHANGES_WITH[name]
    assert differ(with_defaults({"method": method}), learned(tmp_path, method=method, **chosen(name, given=value)))


def changes_output_dir(tmp_path, **_):
    learned(tmp_path / "here")
    assert (tmp_path / "here" / "metrics.jsonl").exists()
    assert not (tmp_path / "there").exists()
    learned(tmp_path / "there")
    assert (tmp_path / "there" / "metrics.jsonl").exists()


def changes_max_steps(tmp_path, **_):
    assert len(learned(tmp_path / "two", max_steps=2)) == 2
    assert len(learned(tmp_path / "three", max_steps=3)) == 3


def changes_per_device_train_batch_size(tmp_path, monkeypatch, **_):
    """Three forwards for a minibatch of eight in place of one, and the same numbers."""
    results, forwards, plain = {}, {}, update._forward
    for size in (None, 3):
        calls = []
        monkeypatch.setattr(update, "_forward", lambda *given, calls=calls: calls.append(given[1]) or plain(*given))
        trainer = tiny_trainer(tmp_path / str(size), max_steps=1, per_device_train_batch_size=size, dtype=torch.float64)
        results[size], forwards[size] = trainer.train(), [len(rollout.completion_ids) for rollout in calls]
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
    assert "gaa seed 0 3/3" in capfd.readouterr().err


def changes_cpu_kernels(tmp_path, **_):
    """The same numbers but for rounding."""
    plain, fast = (learned(tmp_path / str(choice), cpu_kernels=choice, dtype=torch.float64) for choice in (False, True))
    for row, other in zip(plain, fast, strict=True):
        assert row == pytest.approx(other, abs=1e-9)


OWN_OBSERVATIONS = {name[len("changes_") :]: f for name, f in globals().items() if name.startswith("changes_")}


@pytest.mark.parametrize("name", OWN_OBSERVATIONS)
def test_the_field_changes_what_it_says(name, tmp_path, monkeypatch, capfd):
    OWN_OBSERVATIONS[name](tmp_path=tmp_path, monkeypatch=monkeypatch, capfd=capfd)


def test_every_field_and_every_option_has_an_observation():
    assert sorted([*CHANGES_LEARNING, *OWN_OBSERVATIONS]) == sorted(FIELDS)
    assert sorted(CHANGES_WITH) == sorted(OPTIONS)


def documented(config) -> list[str]:
    """The names in the Attributes section of a docstring."""
    return re.findall(r"^        (\w+): \S", config.__doc__.partition("Attributes:\n")[2], flags=re.MULTILINE)


def test_every_field_is_documented_once_and_in_order():
    assert documented(GAAConfig) == list(FIELDS)
    assert documented(RunSpec) == [f.name for f in dataclasses.fields(RunSpec) if f.name not in FIELDS]
    for kind in dict.fromkeys(OPTIONS.values()):
        assert documented(kind) == [f.name for f in dataclasses.fields(kind)]


# What is refused ------------------------------------------------------------------------------------------------------


def kinds(name):
    """The types that the annotation of a field or an option allows."""
    annotation = get_type_hints(OPTIONS.get(name, GAAConfig))[name.rpartition(".")[2]]
    return get_args(annotation) or (annotation,)


NAMES = [*(name for name in FIELDS if name not in CHOSEN), *OPTIONS]
WHOLE = [name for name in NAMES if int in kinds(name)]
REAL = [name for name in NAMES if float in kinds(name)]
FLAGS = [name for name in NAMES if bool in kinds(name)]
CHOICES = [name for name in NAMES if any(isinstance(kind, str) or get_args(kind) for kind in kinds(name))]
CHOICES = [name for name in CHOICES if name != "report_to"]


def test_the_kinds_are_found():
    assert (len(WHOLE), len(REAL), len(FLAGS), len(CHOICES)) == (14, 21, 7, 8)
    assert {*WHOLE, *REAL, *FLAGS, *CHOICES} | {"output_dir", "report_to"} == set(NAMES)


def configured(name, value) -> GAAConfig:
    """A configuration with one field or option given."""
    given = chosen(name, given=value) if name in OPTIONS else {name: value}
    return GAAConfig(**({"output_dir": "x"} | given))


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
    assert str(caught.value).startswith("regularizer='gradient-nrom' is not known: did you mean 'gradient-norm'?")
    assert all(name in str(caught.value) for name in REGULARIZERS)


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
        ({"method": {"threshold": 3}}, r"method=\{'threshold': 3\} has no name: choose from fold, gaa, ppo"),
        ({"method": 3}, "method=3 is neither a name nor a mapping of name and options"),
        ({"method": GAE()}, "method=GAE.* is neither a name nor a mapping"),
        ({"advantages": {"lamb": 1}}, "advantages 'gae' has no option 'lamb': did you mean 'lam'"),
        ({"regularizers": ["sam", {"name": "sam"}]}, "regularizers names 'sam' twice: leave one out"),
        (
            {"regularizers": [{"name": "sam", "coef": 1.0}]},
            "'sam' has no option 'coef': it is an option of gradient-norm",
        ),
        ({"regularizers": [3]}, "regularizer=3 is neither a name nor a mapping"),
    ],
)
def test_an_option_of_another_is_an_error_that_says_whose_it_is(settings, message):
    with pytest.raises(ConfigError, match=message):
        GAAConfig("x", **settings)


ABOVE_ZERO = ["batch_size", "num_ppo_epochs", "num_mini_batches", "max_completion_length", "temperature"]
ABOVE_ZERO += ["learning_rate", "adam_epsilon", "max_grad_norm", "cliprange", "save_steps", "save_total_limit"]
ABOVE_ZERO += ["per_device_train_batch_size", "reward_clip", "method.fold.threshold"]
ABOVE_ZERO += ["advantages.gae.value_learning_rate", "advantages.gae.cliprange_value", "regularizers.sam.radius"]
ABOVE_ZERO += ["regularizers.gradient-norm.radius", "regularizers.reference-resets.steps"]
ABOVE_ZERO += ["regularizers.kl-budget.limit", "regularizers.par.completions"]
FROM_ZERO = ["max_steps", "seed", "weight_decay", "warmup_steps", "entropy_coef", "kl_coef", "eval_completions"]
FROM_ZERO += ["log_completions", "method.gaa.eta_scale", "method.gaa.sigma_scale", "advantages.gae.gamma"]
FROM_ZERO += ["advantages.gae.lam", "advantages.gae.vf_coef", "regularizers.gradient-norm.coef"]


def test_every_number_has_a_range():
    assert sorted(ABOVE_ZERO + FROM_ZERO) == sorted(WHOLE + REAL)


@pytest.mark.parametrize("name", ABOVE_ZERO)
def test_zero_is_too_little_where_a_run_could_not_go_on(name):
    assert "greater than 0" in refused(name, 0)
    assert "greater than 0" in refused(name, -1)


@pytest.mark.parametrize("name", FROM_ZERO)
def test_zero_switches_off_and_less_is_refused(name):
    configured(name, 0)
    assert "must be 0 or more" in refused(name, -1)


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


# Methods --------------------------------------------------------------------------------------------------------------

READINGS = {"text": ("own", "token", "surrogate", "outside"), "code": ("sampled", "minibatch", "objective", "outside")}


@pytest.mark.parametrize("reading", READINGS)
def test_a_reading_answers_what_is_left_open(reading):
    config = GAAConfig("x", method={"name": "gaa", "reading": reading})
    assert config.method.answers == READINGS[reading]


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("option", Answers._fields)
def test_an_option_that_is_given_stays(reading, option):
    literal = next(kind for kind in kinds(f"method.gaa.{option}") if get_args(kind))
    answers = dict(zip(Answers._fields, READINGS[reading], strict=True))
    other = next(choice for choice in get_args(literal) if choice != answers[option])
    method = GAAConfig("x", method={"name": "gaa", "reading": reading, option: other}).method
    assert method.answers._asdict() == answers | {option: other}


def test_the_default_is_ppo_and_what_gaard_recommends_is_chosen_by_name():
    assert GAAConfig("x").method == PPO()
    assert isinstance(GAAConfig("x", method=RECOMMENDED).method, Fold)
    assert not any(kind().observes.greedy_branch for kind in (PPO, Fold))
    assert GAA().observes.greedy_branch


@pytest.mark.parametrize(
    "given", [Fold(threshold=3.0), Fold, "fold", {"name": "fold"}, {"name": "fold", "threshold": 3}]
)
def test_a_method_is_an_object_a_name_or_a_mapping(given):
    assert GAAConfig("x", method=given).method == Fold(threshold=3.0)


def test_regularizers_are_objects_names_or_mappings():
    given = [GradientNorm(coef=0.1), "sam", {"name": "par", "completions": 2}]
    given += [ReferenceResets(steps=5), {"name": "kl-budget", "limit": 1}]
    expected = (GradientNorm(coef=0.1), SAM(), PAR(completions=2), ReferenceResets(steps=5), KLBudget(limit=1.0))
    assert GAAConfig("x", regularizers=given).regularizers == expected
    assert GAAConfig("x", regularizers="sam").regularizers == (SAM(),)
    assert GAAConfig("x").regularizers == GAAConfig("x", regularizers=None).regularizers == ()


METHOD_SETTINGS = ["ppo", "fold", {"name": "fold", "threshold": 0.5}, "gaa", {"name": "gaa", "reading": "code"}]


@pytest.mark.parametrize("before", METHOD_SETTINGS, ids=str)
@pytest.mark.parametrize("after", METHOD_SETTINGS, ids=str)
def test_replacing_the_method_gives_exactly_that_method(before, after, tmp_path):
    """A method's options go with it: nothing of the first is left, in any direction."""
    replaced = dataclasses.replace(GAAConfig("x", method=before), method=after)
    assert replaced == GAAConfig("x", method=after)
    assert replaced.record() == GAAConfig("x", method=after).record()


def test_a_written_record_read_back_with_another_method_is_exactly_that_method():
    record = json.loads(json.dumps(GAAConfig("x", method=GAA(reading="code"), regularizers=["sam"]).record()))
    assert GAAConfig(**record) == GAAConfig("x", method=GAA(reading="code"), regularizers=["sam"])
    assert GAAConfig(**{**record, "method": "fold"}).method == Fold()


OWN_METHOD = """
from dataclasses import dataclass
from gaard.methods import Method

@dataclass(frozen=True)
class Halved(Method):
    \"\"\"Half of every advantage.\"\"\"
    name = "halved"
    factor: float = 0.5

    def shape(self, estimates, mask):
        return self.factor * estimates.advantages
"""


def test_a_method_of_a_users_file_is_told_apart_by_its_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "halved.py").write_text(OWN_METHOD)
    record = GAAConfig("x", method={"name": "halved.py", "factor": 0.25}).record()["method"]
    assert (record["name"], record["factor"]) == ("halved", 0.25)
    assert GAAConfig("x", method="./halved.py:Halved").record()["method"]["code"] == record["code"]
    (tmp_path / "halved.py").write_text(OWN_METHOD.replace("self.factor *", "2 * self.factor *"))
    assert GAAConfig("x", method="halved.py").record()["method"]["code"] != record["code"]
    with pytest.raises(ConfigError, match=r"halved\.py holds no 'Halvd'\. Did you mean 'Halved'\?"):
        GAAConfig("x", method="halved.py:Halvd")
    with pytest.raises(ConfigError, match=r"names the file .*nowhere\.py, which does not exist"):
        GAAConfig("x", method="nowhere.py")


def test_a_batch_of_one_is_refused():
    """Its one score has no spread: no weight would ever move."""
    with pytest.raises(ConfigError, match=r"batch_size=1 would never move a weight.*Make batch_size 2 or more"):
        GAAConfig("x", batch_size=1, num_mini_batches=1)


@pytest.mark.parametrize("name", ["sam", "gradient-norm"])
def test_small_steps_are_not_taken_in_bfloat16(name):
    with pytest.raises(ConfigError, match=f"regularizers holds '{name}' with bf16=True.*leave one of the two out"):
        GAAConfig("x", bf16=True, regularizers=["kl-budget", name])


def test_the_home_folder_has_a_sign(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert GAAConfig("~/run").output_dir == str(tmp_path / "run")


# What makes a run that run --------------------------------------------------------------------------------------------


def test_the_identity_leaves_out_only_what_changes_no_result():
    record = RunSpec("x").record()
    assert set(record) == {field.name for field in dataclasses.fields(RunSpec)}
    assert set(record) - set(determining_settings(record)) == NOT_IDENTITY
    by_content = {f.name for f in dataclasses.fields(RunSpec)} - set(
        FIELDS
    )  # the record holds hashes of what they name
    assert {
        "output_dir",
        "overwrite",
        "report_to",
        "save_steps",
        "save_total_limit",
        "progress",
    } | by_content == NOT_IDENTITY
    assert not NOT_IDENTITY & set(CHANGES_LEARNING)


def test_a_difference_shows_both_values():
    lines = difference({"a": 1, "b": "x", "c": 3}, {"a": 1, "b": "y", "d": 4})
    assert lines == ["b: 'x' there, 'y' now", "c: 3 there, None now", "d: None there, 4 now"]


def test_an_unknown_key_names_file_and_neighbour():
    check_keys(["seed"], FIELDS, "run.yaml")
    with pytest.raises(ConfigError, match=r"run\.yaml: unknown key 'sede': did you mean 'seed'\?"):
        check_keys(["seed", "sede"], FIELDS, "run.yaml")
