"""Every setting means something, and is documented."""

import dataclasses
import json
import re
import time

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from fields import FIELDS, OPTIONS, chosen
from gaard import GAAConfig
from gaard.errors import CheckpointError, RewardError
from gaard.lab.spec import RunSpec
from gaard.methods import METHODS
from gaard.rewards import honeypot
from gaard.training import update
from gaard.training.identity import NOT_IDENTITY
from marks import slow_but
from tiny import CERTIFIED, bait_reward, tiny_trainer, words_reward

EVERY_DAY = ["ppo", "gaa"]  # the default, and the one with a second term; the other methods are slow tests
ANYWHERE = [name for name, method in METHODS.items() if not method().observes.reward_features]
BY_METHOD = slow_but(EVERY_DAY, {name: name for name in ANYWHERE})
BAIT = {"reward": bait_reward}  # so that gaa finds a gap
BAITED = honeypot(words_reward, word="bait")
ENSEMBLE = {"ensemble": (words_reward, bait_reward)}
DETECTED = {"reward": honeypot(words_reward, word="w2")}

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
    "method.signcert.quantile": (0.75, CERTIFIED),
    **{f"method.{name}.threshold": (0.5, {}) for name in ("drop", "clip")},
    "method.gaa.reading": ("code", {}),
    "method.gaa.greedy_ratio": ("sampled", BAIT),
    "method.gaa.granularity": ("minibatch", BAIT),
    "method.gaa.scaled_terms": ("objective", BAIT),
    "method.gaa.greedy_clip": ("inside", {**BAIT, "cliprange": 0.02}),
    "method.gaa.greedy_value": ("critic", BAIT),
    "method.gaa.candidates": (4, BAIT),
    "method.gaa.eta_scale": (0.5, BAIT),
    "method.gaa.sigma_scale": (1.0, BAIT),
    "method.gaa.trust_judge": (True, {**BAIT, "judge": bait_reward}),
    "advantages.gae.gamma": (0.9, {}),
    "advantages.gae.lam": (0.5, {}),
    "advantages.gae.value_learning_rate": (2e-3, {}),
    "advantages.gae.vf_coef": (0.1, {}),
    "advantages.gae.cliprange_value": (1e-4, {}),
    **{f"advantages.{name}.num_generations": (4, {"method": "ppo"}) for name in ("grpo", "dr_grpo", "rloo")},
    "regularizers.gradient-norm.coef": (0.5, {}),
    "regularizers.gradient-norm.radius": (0.1, {}),
    "regularizers.sam.radius": (0.1, {}),
    "regularizers.reference-resets.steps": (1, {}),
    "regularizers.kl-budget.limit": (1e-9, {}),
    "regularizers.par.completions": (2, {}),
    "regularizers.chi2.coef": (1.0, {}),
    "regularizers.chi2.level": ("token", {}),
    "regularizers.max-min.correlation": (0.8, {}),
    "regularizers.max-min.completions": (2, {}),
    # The KL is far below its target here: a coefficient that starts at 0.1 is 0 at once, whatever the gains.
    "regularizers.pid-kl.target": (1e-4, {}),
    "regularizers.pid-kl.kp": (50.0, {"kl_coef": 5.0}),
    "regularizers.pid-kl.ki": (0.0, {}),
    "regularizers.pid-kl.kd": (50.0, {"kl_coef": 5.0}),
    "regularizers.pid-kl.smoothing": (0.0, {"kl_coef": 5.0}),
    "regularizers.adaptive-kl.target": (1e-9, {}),
    "regularizers.adaptive-kl.gain": (1.0, {}),
    "regularizers.ensemble.objective": ("worst-case", ENSEMBLE),
    "regularizers.ensemble.coef": (9.0, ENSEMBLE),
    "regularizers.policy-filtration.keep": ("best-worst", {}),
    "regularizers.policy-filtration.num_generations": (8, {}),
    "regularizers.imperfect-detector.action": ("screening", DETECTED),
    "regularizers.imperfect-detector.true_positive_rate": (0.0, DETECTED),
    "regularizers.imperfect-detector.false_positive_rate": (0.9, DETECTED),
    "regularizers.imperfect-detector.penalty": (5.0, DETECTED),
    "regularizers.imperfect-detector.detector_seed": (1, DETECTED),
    "regularizers.length-residual.coef": (0.5, {}),
    "regularizers.length-residual.fraction": (0.3, {}),
}


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


@pytest.mark.parametrize("method", BY_METHOD)
@pytest.mark.parametrize("name", CHANGES_LEARNING)
def test_the_field_changes_what_is_learned_by_every_method(name, method, tmp_path, with_defaults):
    value, context = CHANGES_LEARNING[name]
    value = "gaa" if name == "method" and method == "fold" else value
    context = {"method": method, **(BAIT if name == "method" else {}), **context}
    assert differ(with_defaults(context), learned(tmp_path, **(context | {name: value})))


@pytest.mark.parametrize("name", CHANGES_WITH)
def test_the_option_changes_what_is_learned(name, tmp_path, with_defaults):
    value, context = CHANGES_WITH[name]
    with_default = with_defaults({**context, **chosen(name)})
    assert differ(with_default, learned(tmp_path, **context, **chosen(name, given=value)))


@pytest.mark.parametrize("method", BY_METHOD)
@pytest.mark.parametrize("name", [option for option in CHANGES_WITH if option.startswith("advantages.gae.")])
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
        results[size], forwards[size] = trainer.train(), [len(part.greedy_ids) for part in calls]
    assert forwards[None] == [8] * 4
    assert forwards[3] == [3, 3, 2] * 4
    assert results[None] == pytest.approx(results[3], abs=1e-9)


def changes_gradient_checkpointing(tmp_path, **_):
    """The last layer runs twice an update in place of once, and every number is the same to the last bit."""
    runs = {}
    for choice in (False, True):
        trainer = tiny_trainer(tmp_path / str(choice), max_steps=1, gradient_checkpointing=choice)
        runs[choice] = 0

        def count(module, inputs, choice=choice):
            runs[choice] += torch.is_grad_enabled()

        trainer.policy.lm.transformer.h[-1].mlp.register_forward_pre_hook(count)
        trainer.train()
    assert runs == {False: 4, True: 8}
    rows = [(tmp_path / str(choice) / "metrics.jsonl").read_bytes() for choice in (False, True)]
    assert rows[0] == rows[1]


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


def changes_eval_steps(tmp_path, **_):
    learned(tmp_path, max_steps=3, eval_steps=2)
    assert (tmp_path / "evaluations.jsonl").read_text().startswith('{"step": 2')


def changes_reward_timeout(tmp_path, **_):
    def slow(completions, **_):
        time.sleep(1.5)
        return words_reward(completions)

    learned(tmp_path / "long", max_steps=1, reward=slow)
    with pytest.raises(RewardError, match=r"'slow' gave no answer within 0\.3 s"):
        learned(tmp_path / "short", max_steps=1, reward=slow, reward_timeout=0.3)


def changes_on_divergence(tmp_path, **_):
    """Only a way back needs a checkpoint of before the first step; tests/oracle/test_diverging.py goes it."""
    for way, expected in (("stop", ["step-000002"]), ("rollback", ["step-000000", "step-000002"])):
        learned(tmp_path / way, max_steps=2, on_divergence=way)
        assert kept_checkpoints(tmp_path / way) == expected


def changes_sharpness_steps(tmp_path, **_):
    learned(tmp_path, max_steps=5, sharpness_steps=2)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "sharpness" in row] == [2, 4]


def changes_save_steps(tmp_path, **_):
    for steps, expected in ((2, ["step-000002", "step-000004", "step-000005"]), (3, ["step-000003", "step-000005"])):
        learned(tmp_path / str(steps), max_steps=5, save_steps=steps, save_total_limit=9)
        assert kept_checkpoints(tmp_path / str(steps)) == expected


def changes_save_total_limit(tmp_path, **_):
    for limit, expected in ((1, ["step-000003"]), (2, ["step-000002", "step-000003"])):
        learned(tmp_path / str(limit), save_steps=1, save_total_limit=limit)
        assert kept_checkpoints(tmp_path / str(limit)) == expected


def changes_save_only_model(tmp_path, **_):
    for only, expected in ((False, [True, True]), (True, [True, False])):
        learned(tmp_path / str(only), save_steps=2, save_only_model=only)
        saved = [tmp_path / str(only) / "checkpoints" / name for name in kept_checkpoints(tmp_path / str(only))]
        assert [(one / "optimizer.safetensors").exists() for one in saved] == expected


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


def changes_accept_changed_rewards(tmp_path, **_):
    """A run whose reward has changed is gone on with."""

    def others(completions, **kwargs):
        return [float(len(text)) for text in completions]

    tiny_trainer(tmp_path, max_steps=1).train()
    with pytest.raises(CheckpointError, match="accept_changed_rewards=True"):
        tiny_trainer(tmp_path, max_steps=1, reward=others).train()
    tiny_trainer(tmp_path, max_steps=1, reward=others, accept_changed_rewards=True).train()


OWN_OBSERVATIONS = {name[len("changes_") :]: f for name, f in globals().items() if name.startswith("changes_")}


@pytest.mark.parametrize("name", OWN_OBSERVATIONS)
def test_the_field_changes_what_it_says(name, tmp_path, monkeypatch, capfd):
    OWN_OBSERVATIONS[name](tmp_path=tmp_path, monkeypatch=monkeypatch, capfd=capfd)


def test_every_field_and_every_option_has_an_observation():
    assert sorted([*CHANGES_LEARNING, *OWN_OBSERVATIONS]) == sorted(FIELDS)
    assert sorted(CHANGES_WITH) == sorted(OPTIONS)
    assert not NOT_IDENTITY & set(CHANGES_LEARNING)


def documented(config) -> list[str]:
    """The names in the Attributes section of a docstring."""
    return re.findall(r"^        (\w+): \S", config.__doc__.partition("Attributes:\n")[2], flags=re.MULTILINE)


def test_every_field_is_documented_once_and_in_order():
    assert documented(GAAConfig) == list(FIELDS)
    assert documented(RunSpec) == [f.name for f in dataclasses.fields(RunSpec) if f.name not in FIELDS]
    for kind in dict.fromkeys(OPTIONS.values()):
        assert documented(kind) == [f.name for f in dataclasses.fields(kind)]
