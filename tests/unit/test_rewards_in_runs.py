"""What reward functions are told in a run, as in TRL, and what a run keeps of what they log."""

import math

import pytest
import torch
from test_trl_rewards import batch, characters, curriculum, of_task
from transformers import TrainerState

from gaard import GAAConfig, GAATrainer
from gaard.errors import ConfigError, RewardError
from gaard.lab.check.completions import pay, sample
from gaard.rewards import combine, honeypot, score
from gaard.training.reward_log import RewardLog
from tiny import WORDS, tiny_lm, tiny_trainer, word_tokenizer

# What a run tells, and what it keeps ----------------------------------------------------------------------------------


def test_a_function_reads_where_the_run_is(tmp_path):
    seen = []

    def reads(completions, trainer_state, **kwargs):
        seen.append(trainer_state)
        return characters(completions)

    # 16 completions a step of 3 prompts
    trainer = tiny_trainer(tmp_path, reward=honeypot(reads, word="bait"), max_steps=3, prompts=["w1", "w2", "w3"])
    trainer.train()
    trainer.evaluate(16)
    assert all(isinstance(state, TrainerState) for state in seen)
    told = sorted({(state.global_step, state.max_steps, state.epoch, state.num_train_epochs) for state in seen})
    assert told == [(step, 3, step * 16 / 3, 16) for step in range(4)]


def test_an_epoch_is_of_prompts_where_each_has_several_completions(tmp_path):
    epochs = []

    def reads(completions, trainer_state, **kwargs):
        epochs.append(trainer_state.epoch)
        return characters(completions)

    advantages = {"name": "grpo", "num_generations": 4}  # 4 prompts a step
    tiny_trainer(tmp_path, reward=reads, method="ppo", advantages=advantages, prompts=["w1", "w2"], max_steps=2).train()
    assert epochs == [0.0, 2.0]


def test_a_curriculum_runs(tmp_path):
    trainer = tiny_trainer(tmp_path, reward=[curriculum, characters], max_steps=2)
    trainer.train()
    means = [row["rewards/curriculum/mean"] for row in trainer.run.log.read("metrics.jsonl")]
    assert means == [0.0, 0.5]


def logging_run(folder, **options):
    """Metrics and samples of a run whose rewards log."""

    def lengths(completions, log_metric, log_extra, trainer_state, **kwargs):
        log_metric("longest", torch.tensor(float(max(map(len, completions)))))
        log_metric("longest", 0)
        log_metric("unknown", float("nan"))
        log_metric("reward", 5)
        log_extra("length", torch.tensor([len(text) for text in completions]))
        log_extra("parts", [{"words": text.split(), "odd": {1}} for text in completions])
        if trainer_state.global_step == 1:
            log_metric("second", 1.0)
        return characters(completions)

    trainer = tiny_trainer(folder, reward=lengths, max_steps=2, log_completions=4, **options)
    trainer.train()
    return trainer.run.log.read("metrics.jsonl"), trainer.run.log.read("samples.jsonl")


def test_what_functions_log_is_kept(tmp_path):
    metrics, samples = logging_run(tmp_path)
    for row in samples:
        words = {"words": row["completion"].split(), "odd": "{1}"}
        assert row["extra"] == {"length": len(row["completion"]), "parts": words}
    first = [row["extra"]["length"] for row in samples if row["step"] == 1]
    assert len(first) == 4
    assert metrics[0]["longest"] >= max(first) / 2  # the mean of two calls
    assert ("second" in metrics[0], metrics[1]["second"]) == (False, 1.0)
    assert all("unknown" not in row and row["reward-2"] == 5.0 != row["reward"] for row in metrics)


def test_what_is_asked_beside_the_rollout_and_at_the_end_is_not_logged(tmp_path):
    """`gaa` in its reading `text` asks about other texts; so does the evaluation."""
    calls = []

    def counts(completions, log_metric, log_extra, **kwargs):
        calls.append(len(completions))
        log_metric("calls", len(calls))
        log_extra("call", [len(calls)] * len(completions))
        return characters(completions)

    trainer = tiny_trainer(tmp_path, reward=counts, max_steps=2)
    first = trainer.training_step()
    assert len(calls) == 2
    assert first["calls"] == 1
    trainer.evaluate(16)
    assert trainer.training_step()["calls"] == 4
    assert {row["extra"]["call"] for row in trainer.run.log.read("samples.jsonl")} == {1, 4}


@pytest.mark.parametrize(
    ("log", "words"),
    [
        (lambda log_extra, **_: log_extra("a", [1]), r"log_extra\('a', …\) got 1 values for 16 completions"),
        (lambda log_metric, **_: log_metric("a", "b"), r"log_metric\('a', 'b'\): give one number"),
        (lambda log_metric, **_: log_metric("a", torch.ones(2)), r"log_metric\('a', tensor.*give one number"),
    ],
)
def test_what_cannot_be_logged_is_refused(log, words, tmp_path):
    def wrong(completions, log_metric, log_extra, **kwargs):
        log(log_metric=log_metric, log_extra=log_extra)
        return characters(completions)

    with pytest.raises(RewardError, match=words):
        tiny_trainer(tmp_path, reward=wrong, max_steps=1).train()


def test_what_is_not_finite_is_logged_as_not_known():
    log = RewardLog(3)
    log.extra("a", [math.nan, -math.inf, {"b": torch.tensor([math.nan, 1.0])}])
    log.metric("c", math.nan)
    assert (log.columns, log.metrics) == ({"a": [None, None, {"b": [None, 1.0]}]}, {})


def test_what_processes_log_is_joined_in_their_order(monkeypatch):
    """Two processes, of which only one logs a column, and each its own metric."""
    one = RewardLog(2, {"a": [1.0, 2.0], "c": [7.0]}, {"x": ["p", "q"]})
    other = RewardLog(1, {"a": [6.0], "b": [5.0]}, {})
    monkeypatch.setattr("gaard.training.reward_log.gather_object", lambda mine: [*mine, other])
    processes = type("Accelerator", (), {"num_processes": 2})()
    whole = one.gathered(processes)
    assert whole.columns == {"x": ["p", "q", None]}
    assert list(whole.means({"c": 0.0}).items()) == [("a", 3.0), ("b", 5.0), ("c-2", 7.0)]


def test_outside_of_a_run_a_function_that_asks_for_its_state_is_told_so():
    with pytest.raises(RewardError, match=r"needs 'trainer_state', which is not there outside of a run: .* Give the"):
        score(curriculum, **batch())


def test_a_function_may_pass_its_keywords_on(tmp_path):
    def passes_on(prompts, completions, completion_ids, **columns):
        assert {"trainer_state", "log_metric", "log_extra"} <= columns.keys()
        given = {"prompts": prompts, "completions": completions, "completion_ids": completion_ids}
        return combine([curriculum, characters])(**given, **columns)

    tiny_trainer(tmp_path, reward=passes_on, max_steps=1).train()


def test_the_look_before_training_asks_such_functions_too(tmp_path):
    trainer = tiny_trainer(tmp_path, reward=lambda completions, trainer_state, log_metric, log_extra: [1.0, 2.0] * 8)
    assert pay(trainer.scorer.proxy, sample(trainer, 16)).failures == []


# Several functions and tasks ------------------------------------------------------------------------------------------


def test_functions_of_several_tasks_are_weighed_and_their_means_are_of_what_they_score(tmp_path):
    rows = [{"prompt": "w1", "task": "math"}, {"prompt": "w2", "task": "coding"}]
    math, coding = of_task("math"), of_task("coding")
    args = GAAConfig(str(tmp_path), max_steps=1, batch_size=16, max_completion_length=4, use_cpu=True, progress=False)
    tokenizer = word_tokenizer(WORDS)
    trainer = GAATrainer(tiny_lm(), [math, coding], args, rows, reward_weights=[2.0, 4.0], processing_class=tokenizer)
    metrics = trainer.train()
    assert metrics["rewards/one_task/mean"] == metrics["rewards/one_task-2/mean"] == 1.0
    assert metrics["reward"] == 3.0  # eight rows of each task


def test_a_row_of_no_function_is_named_where_trl_leaves_it_out(tmp_path):
    rows = [{"prompt": "w1", "task": "math"}, {"prompt": "w2", "task": "code"}]
    with pytest.raises(RewardError, match=r"no reward function \(one_task, one_task\) scores completion \d+ .*'w2'"):
        tiny_trainer(tmp_path, reward=[of_task("math"), of_task("coding")], prompts=rows, max_steps=1).train()


def test_a_function_that_logs_before_it_fails_is_blamed_for_its_completion(tmp_path):
    def fails(completions, log_extra, log_metric, prompts, **_):
        log_extra("length", [len(text) for text in completions])
        log_metric("length", 1.0)
        return [1 / (prompt != "w2") for prompt in prompts]

    with pytest.raises(RewardError, match=r"'fails' raised ZeroDivisionError: .* on completion \d+ \(prompt 'w2'"):
        tiny_trainer(tmp_path, reward=fails, prompts=["w1", "w2"], max_steps=1).train()


# What is not there ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("argument", ["tools", "environment_factory", "rollout_func"])
def test_what_calls_tools_is_refused_in_clear_words(argument, tmp_path):
    with pytest.raises(ConfigError, match=rf"{argument}=…\): .*TRL's, not there: (a completion is one text|gaard sam)"):
        GAATrainer(tiny_lm(), characters, GAAConfig(str(tmp_path)), ["w1"], **{argument: []})


@pytest.mark.parametrize("column", ["trainer_state", "log_metric", "log_extra", "prompts", "prompt_messages"])
def test_a_column_with_a_keywords_name_is_refused(column, tmp_path):
    with pytest.raises(ConfigError, match=f"train_dataset has a column '{column}', a name that gaard gives to rewards"):
        tiny_trainer(tmp_path, prompts=[{"prompt": "w1", column: 1}])


def test_a_model_is_no_function_and_is_told_its_place(tmp_path):
    with pytest.raises(ConfigError, match=r"reward_funcs\[0\] is the model GPT2LMHeadModel: .*ClassifierReward"):
        tiny_trainer(tmp_path, reward=[tiny_lm()])
