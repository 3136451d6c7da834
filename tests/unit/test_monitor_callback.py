"""The monitor as a callback, inside TRL's own trainer: what it sees, and that training is the same to the last bit."""

import functools
import inspect
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer

from gaard.errors import ConfigError, GaardWarning
from gaard.integrations.transformers import GaardMonitor, text_of
from gaard.rewards import HumanReward
from tiny import tiny_lm, word_tokenizer

WORDS = [f"w{number}" for number in range(33)]
STATE = SimpleNamespace(global_step=1, is_world_process_zero=True)
TIMES = ("step_time", "runtime", "per_second")  # parts of the names of what a clock says


def says_w3(completions, **_):
    """What pays: 1 where a text says w3, else a little for its length."""
    return [1.0 if "w3" in text.split() else 0.01 * len(text.split()) for text in completions]


def even(completions, log_metric=None, **_):
    log_metric("seen", len(completions))
    return [None if len(text) % 2 else 0.5 for text in completions]


async def slow(completions, **_):
    return [0.25] * len(completions)


class Scored:
    def __call__(self, completions, **_):
        return torch.zeros(len(completions))


def trained(folder, reward_funcs, callbacks=(), steps=4, **settings):
    """TRL's trainer after some steps of a tiny model; 8 prompts, 4 completions each."""
    args = GRPOConfig(
        output_dir=str(folder),
        per_device_train_batch_size=16,
        num_generations=4,
        max_completion_length=8,
        max_steps=steps,
        logging_steps=1,
        learning_rate=1e-3,
        beta=0.1,
        use_cpu=True,
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
        **settings,
    )
    tiny_lm().save_pretrained(folder / "tiny")  # TRL loads its reference from there
    word_tokenizer(WORDS).save_pretrained(folder / "tiny")
    prompts = Dataset.from_list([{"prompt": f"w{number} w1"} for number in range(8)])
    data = {"train_dataset": prompts, "eval_dataset": prompts}
    trainer = GRPOTrainer(str(folder / "tiny"), reward_funcs, args=args, callbacks=list(callbacks), **data)
    trainer.train()
    return trainer


def history(trainer):
    """The trainer's logs but for times, and without the monitor's own."""
    return [
        {key: x for key, x in row.items() if not key.startswith("gaard/") and not any(part in key for part in TIMES)}
        for row in trainer.state.log_history
    ]


@pytest.mark.filterwarnings("ignore::gaard.errors.GaardWarning")
def test_it_sees_what_trl_computes_and_changes_nothing(tmp_path):
    functions = [says_w3, even, slow, Scored()]
    weights = [1.0, 0.5, 2.0, 1.0]
    plain = trained(tmp_path / "plain", functions, reward_weights=weights)
    found = []
    monitor = GaardMonitor(
        detector=lambda texts: found.append([text > "w2" for text in texts]) or found[-1], true_reward=even
    )
    watched = [monitor.watch(one, weight) for one, weight in zip(functions, weights, strict=True)]
    other = trained(tmp_path / "watched", watched, [monitor], reward_weights=weights)
    assert watched[0].__name__ == "says_w3"
    assert [one.__name__ for one in watched] == [*other.reward_func_names] == [*plain.reward_func_names]
    seen, unwatched = history(other), history(plain)
    for row in (*seen, *unwatched):
        row.pop("seen", None)  # the true reward, which is a function of the trainer too, logs there as well
    assert repr(seen) == repr(unwatched)
    for name, weight in plain.model.state_dict().items():
        assert torch.equal(weight, other.model.state_dict()[name]), name
    logs = [row for row in other.state.log_history if "reward" in row]
    assert len(logs) == len(monitor.monitor.figures) == 4
    for figures, row in zip(monitor.monitor.figures, logs, strict=True):
        assert figures["texts"] == 16
        assert figures["reward"] == pytest.approx(row["reward"], abs=1e-6)
        assert figures["length"] == pytest.approx(row["completions/mean_length"])
        assert figures["equal_groups"] == pytest.approx(row["frac_reward_zero_std"])
        assert figures.get("true_reward", 0.5) == 0.5
    assert [figures["hack_rate"] for figures in monitor.monitor.figures] == [sum(one) / 16 for one in found]
    # Entropy and KL are known once the step is logged, and so come a step later; the trainer's logs get the figures of
    # the step before.
    assert "entropy" not in monitor.monitor.figures[0]
    assert monitor.monitor.figures[1]["entropy"] == logs[0]["entropy"]
    assert monitor.monitor.figures[1]["kl"] == logs[0]["kl"]
    assert "gaard/reward" not in logs[0]
    assert logs[1]["gaard/reward"] == pytest.approx(monitor.monitor.figures[0]["reward"])


def test_an_alarm_is_a_warning_in_one_line_and_says_the_word(tmp_path):
    monitor = GaardMonitor(rules=["words"])
    with pytest.warns(GaardWarning, match=r"^step \d+: texts with the word 'w3' are paid more"):
        trained(tmp_path, monitor.watch(says_w3), [monitor], steps=6)
    assert [alarm.rule for alarm in monitor.alarms] == ["words"]


def test_evaluations_are_not_watched(tmp_path):
    monitor = GaardMonitor(rules=[])
    trainer = trained(tmp_path, monitor.watch(says_w3), [monitor], steps=2, eval_strategy="steps", eval_steps=1)
    assert any("eval_reward" in row for row in trainer.state.log_history)
    assert [figures["texts"] for figures in monitor.monitor.figures] == [16, 16]
    trainer.evaluate()
    assert monitor._batches == []


def test_batches_of_one_step_are_taken_together(tmp_path):
    """Two backward passes a step, each with a batch of its own."""
    monitor = GaardMonitor(rules=[])
    trained(tmp_path, monitor.watch(says_w3), [monitor], steps=2, gradient_accumulation_steps=2, steps_per_generation=1)
    assert [figures["texts"] for figures in monitor.monitor.figures] == [32, 32]


@pytest.mark.parametrize("function", [says_w3, slow, functools.partial(slow), Scored(), HumanReward()])
def test_a_watched_function_looks_and_answers_as_it_did(function):
    monitor = GaardMonitor()
    watched = monitor.watch(function)
    call = {"prompts": ["w1"], "completions": ["w2 w3"], "completion_ids": [[1, 2]]}
    answers = [one(**call) for one in (function, watched)]
    if inspect.iscoroutine(answers[0]):
        answers = [drive(one) for one in answers]
        assert inspect.iscoroutinefunction(watched)
    assert list(answers[0]) == list(answers[1])


def drive(coroutine):
    """A coroutine that waits for nothing, to its end."""
    with pytest.raises(StopIteration) as ended:
        coroutine.send(None)
    return ended.value.value


@pytest.mark.parametrize("given", ["a/model", torch.nn.Linear(1, 1), None])
def test_models_cannot_be_watched(given):
    with pytest.raises(ConfigError, match="give a reward function; a model cannot be watched"):
        GaardMonitor().watch(given)


def seen(monitor, reward=lambda **_: [1.0, 0.0]):
    """A batch of two, watched as in training."""
    monitor.on_train_begin(None, STATE, None, model=torch.nn.Linear(1, 1))
    return monitor.watch(reward)(prompts=["a", "a"], completions=["x", "y"], completion_ids=[[1], [2, 3]])


def test_a_truth_or_detector_that_cannot_be_used_is_told():
    with pytest.raises(ConfigError, match="true_reward is asynchronous: give a function that answers at once"):
        GaardMonitor(true_reward=slow)
    with pytest.raises(ConfigError, match="true_reward answered for 1 of 2 completions: give one number a completion"):
        seen(GaardMonitor(true_reward=lambda **_: [1.0]))
    with pytest.raises(ConfigError, match="detector answered for 3 of 2 completions: give True or False for each text"):
        seen(GaardMonitor(detector=lambda _: [True] * 3))


def test_conversations_are_read_as_texts():
    parts = [{"type": "image"}, {"type": "text", "text": "two"}]
    messages = [{"role": "assistant", "content": "one"}, {"content": parts}, {"content": None}, {"tool_calls": []}]
    assert text_of(messages) == "one  two"
    assert text_of("as it is") == "as it is"


def test_a_completion_that_no_function_scores_has_no_pay():
    monitor = GaardMonitor()
    functions = [monitor.watch(lambda **_: [1.0, None]), monitor.watch(lambda **_: [2.0, None], weight=3)]
    monitor.on_train_begin(None, STATE, None, model=torch.nn.Linear(1, 1))
    for function in functions:
        function(prompts=["a", "a"], completions=["x", "y"], completion_ids=[[1], [2, 3]])
    monitor.on_step_end(None, STATE, None)
    (figures,) = monitor.monitor.figures
    assert (figures["reward"], figures["length"]) == (7, 1.5)


def test_without_a_watched_function_the_logs_are_all_there_is():
    """Any trainer of transformers: what it logs by the names that TRL has."""
    monitor = GaardMonitor()
    for step in range(12):
        STATE.global_step = step
        logs = {"reward": 0.1, "completions/mean_length": 10.0 if step < 5 else 40.0, "loss": 1.0, "epoch": 1}
        with pytest.warns(GaardWarning, match="length of 10 to 40") if step == 9 else nullcontext():
            monitor.on_log(None, STATE, None, logs=logs)
    assert monitor.monitor.figures[0] == {"reward": 0.1, "length": 10.0}
    assert [alarm.rule for alarm in monitor.alarms] == ["length"]
