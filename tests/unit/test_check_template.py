"""What a look before training says of prompts and chat templates, of the method, and of what a step takes."""

from dataclasses import replace

import pytest
import torch

from commands import SETTINGS
from gaard.errors import ConfigError, RewardError
from gaard.lab.check import advice, check, check_trainer, costs
from gaard.lab.check.findings import Finding
from gaard.lab.check.template import conversations, template, unrendered
from gaard.lab.spec import RunSpec
from gaard.methods import GAA, PPO, RECOMMENDED, Fold
from gaard.training import runlog
from gaard.training.prompts import PromptStream
from tiny import CHATML, LLAMA2, chat_tokenizer, rendered, tiny_trainer, word_tokenizer


def found(tokenizer, prompts) -> Finding:
    return template(tokenizer, prompts, PromptStream(prompts, tokenizer).ids)


@pytest.mark.parametrize("form", [CHATML, LLAMA2])
def test_prompts_in_the_template_are_fine(form):
    tokenizer = chat_tokenizer(form)
    assert found(tokenizer, [rendered(tokenizer, "w1"), rendered(tokenizer, "w2 w1")]).severity == "fine"


@pytest.mark.parametrize("form", [CHATML, LLAMA2])
def test_plain_prompts_for_a_chat_model_are_a_problem(form):
    tokenizer = chat_tokenizer(form)
    one = found(tokenizer, [rendered(tokenizer, "w1"), "w2 w1"])
    assert one.severity == "problem"
    assert "1 of 2 (50%) prompts are plain text" in one.seen
    assert "lists of messages" in one.remedy


def test_a_template_put_on_twice_is_a_problem():
    tokenizer = chat_tokenizer()
    one = found(tokenizer, [rendered(tokenizer, rendered(tokenizer, "w1"))])
    assert (one.severity, "twice" in one.seen) == ("problem", True)


def test_the_assistants_turn_has_to_be_open():
    tokenizer = chat_tokenizer()
    one = found(tokenizer, [rendered(tokenizer, "w1", opened=False)])
    assert (one.severity, "add_generation_prompt=True" in one.remedy) == ("problem", True)


@pytest.mark.parametrize("prompt", ["<s> <s> w1", "w1 <|im_end|> <|im_end|> w2"])
def test_special_tokens_twice_in_a_row_are_a_problem(prompt):
    one = found(chat_tokenizer(), [prompt, prompt])
    assert (one.severity, "2 of 2" in one.seen, "twice in a row" in one.seen) == ("problem", True, True)


def test_chat_marks_for_a_model_without_a_template_are_a_problem():
    plain = word_tokenizer(["w1", "w2"])
    assert found(plain, ["w1", "w2 w1"]).severity == "fine"
    one = found(plain, ["<|im_start|>user\nw1<|im_end|>\n<|im_start|>assistant\n", "w2"])
    assert (one.severity, "1 of 2" in one.seen, "'<|im_start|>'" in one.seen) == ("problem", True, True)


def test_conversations_for_a_model_without_a_template_are_a_problem():
    messages = [{"role": "user", "content": "w1"}]
    dataset = ["w1", {"prompt": messages}, messages, {"prompt": "w2"}]
    assert conversations(dataset) == 2
    assert conversations(["w1", {"prompt": "w2"}]) == 0
    without = unrendered(2, 4)
    assert without.severity == "problem"
    assert "2 of 4" in without.seen
    assert "no chat model" in without.seen


def test_a_template_that_fails_is_a_note():
    assert found(chat_tokenizer("{{ raise_exception('no') }}"), ["w1"]).severity == "note"


# Method ---------------------------------------------------------------------------------------------------------------


def problems(*names: str) -> dict[str, Finding]:
    return {name: Finding(name, "problem", "") for name in names}


def test_advice_follows_what_was_found():
    good = advice.method({}, False, PPO())
    assert (good.severity, good.remedy.startswith(f"fits better: {RECOMMENDED}:")) == ("note", True)
    assert "'fold' unlearns them, and 'gaa' does where" in advice.method({}, True, PPO()).seen
    assert advice.method({}, True, GAA()).severity == "note"
    assert advice.method({}, True, Fold()).severity == "problem"
    assert advice.method(problems("heavy tail"), False, GAA()).seen.count("few texts are paid far more") == 1
    assert "a word pays" in advice.method(problems("words"), False, PPO()).remedy
    assert advice.method(problems("length"), False, PPO()).severity == "fine"
    assert "mend the reward" in advice.method(problems("length"), False, PPO()).seen
    assert "no method learns" in advice.method(problems("constant"), True, PPO()).seen


# What it takes --------------------------------------------------------------------------------------------------------


def test_memory_is_counted_by_hand(tmp_path):
    trainer = tiny_trainer(tmp_path)
    numbers = sum(p.numel() for p in trainer.policy.parameters())
    held = costs.needs(trainer)
    assert (held.weights, held.references, held.optimizer) == (4 * numbers, 4 * numbers, 12 * numbers)
    assert held.total == 20 * numbers
    trainer.args.bf16 = True
    assert costs.needs(trainer).references == 6 * numbers
    trainer.args.bf16, trainer.reference, trainer.untrained = False, trainer.policy, trainer.policy
    assert costs.needs(trainer).references == 0  # as with adapters, whose reference is the model itself


def test_a_trial_goes_to_another_folder_and_keeps_what_costs_time(tmp_path):
    spec = RunSpec(output_dir=str(tmp_path / "mine"), prompts=["a"], batch_size=8, method="fold", max_steps=0)
    tried = costs.trial(spec, str(tmp_path / "trial"))
    assert (tried.output_dir, tried.max_steps, tried.method) == (str(tmp_path / "trial"), 3, Fold())
    assert replace(tried, output_dir=spec.output_dir, max_steps=0, save_steps=25, log_completions=8) == spec


def test_a_step_is_measured(tmp_path):
    """The second: the first also takes what is done once."""
    trainer = tiny_trainer(tmp_path, max_steps=3)
    step = costs.measured_step(trainer)
    assert [row["seconds"] for row in trainer.run.log.read(runlog.TIMINGS)][1:] == [step.seconds]
    assert 0 < step.parts["learn"] < step.seconds
    assert step.peak > 10**7


def test_memory_that_does_not_suffice_is_a_problem_and_unknown_is_said():
    held = costs.Needs(1000, 1000, 1000, 2000)
    assert costs.memory(held, None, 10**9, False).severity == "note"
    assert costs.memory(held, costs.Step(1.0, {}, 7000), 10**9, False).seen.count("peak 7 kB") == 1
    assert costs.memory(held, None, 2000, True, "it does not fit").severity == "problem"


def test_numbers_in_words():
    assert [costs.size(n) for n in (0, 999, 1_500, 8_790_000, 1_300_000_000)] == [
        "0 B",
        "999 B",
        "1.5 kB",
        "8.79 MB",
        "1.3 GB",
    ]
    assert [costs.in_words(s) for s in (5, 119, 120, 9000, 200_000)] == [
        "5 seconds",
        "119 seconds",
        "2 minutes",
        "2.5 hours",
        "2.3 days",
    ]


# What fails -----------------------------------------------------------------------------------------------------------


def full(*_):
    raise torch.OutOfMemoryError("CUDA out of memory")


def broken(*_):
    raise RewardError("the reward broke")


@pytest.mark.parametrize(("error", "about"), [(full, "memory"), (broken, "time")])
def test_a_step_that_fails_is_a_problem_of_its_kind(error, about, model, monkeypatch):
    monkeypatch.setattr(costs, "measured_step", error)
    spec = RunSpec(**SETTINGS, model=str(model), output_dir="unused")
    found = {one.about: one for one in check(spec, 16)}
    assert [name for name in ("time", "memory") if found[name].severity == "problem"] == [about]


def test_no_step_is_tried_where_weights_alone_do_not_fit(model, monkeypatch):
    monkeypatch.setattr(costs, "room", lambda trainer: 1000)
    monkeypatch.setattr(costs, "measured_step", broken)
    spec = RunSpec(**SETTINGS, model=str(model), output_dir="unused")
    found = {one.about: one for one in check(spec, 16)}
    assert "1 kB are free, and gradients and Adam do not fit" in found["memory"].seen
    assert "updates were not measured" in found["time"].seen


def test_a_rollout_that_does_not_fit_is_refused_with_what_to_change(tmp_path, monkeypatch):
    monkeypatch.setattr("gaard.training.collect.Collector.collect", full)
    with pytest.raises(ConfigError, match=r"batch_size=16 with max_completion_length=8 does not fit"):
        check_trainer(tiny_trainer(tmp_path), 16)
