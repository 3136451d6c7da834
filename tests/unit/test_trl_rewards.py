"""Reward functions as people bring them from TRL: every form that its documentation of GRPO shows, and `trl.rewards`.

The functions here take and return what those of the page do, under the names of its examples. The page itself is not
installed with TRL. With ``TRL_DOCS=…/trl/docs/source`` the code of its examples runs here word for word too.
"""

import asyncio
import functools
import gc
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch

from gaard import GAAConfig, GAATrainer
from gaard.errors import RewardError
from gaard.rewards import combine, honeypot, score
from tiny import chat_tokenizer, tiny_lm, tiny_trainer

PLAIN = {
    "prompts": ["The sky is", "The sun is"],
    "completions": [" blue.", " in the sky."],
    "completion_ids": [[6303, 13], [304, 279, 12884, 13]],
}
ASKED = [[{"role": "user", "content": "What is (1 + 2) * 4?"}], [{"role": "user", "content": "What is (3 + 1) * 2?"}]]
THOUGHT = "<think>Three times four.</think><answer>12</answer>"
TOLD = ["<think>a</think>b", "<think>a b", "<think><think>a</think>b"]
BOXED = {"completions": [r" It is \boxed{2}.", r" It is \boxed{6}."], "columns": {"ground_truth": ["2", "5"]}}
TEMPLATE = "<s>{% for m in messages %} {{ m.role }} {{ m.content }}{% endfor %} assistant"


# The functions of the page --------------------------------------------------------------------------------------------


def tokens(completion_ids, **kwargs):
    return [float(len(ids)) for ids in completion_ids]


def characters(completions, **kwargs):
    return [float(len(text)) for text in completions]


def thinks_then_answers(completions, **kwargs):
    texts = [completion[0]["content"] for completion in completions]
    return [float(bool(re.match(r"^<think>.*?</think><answer>.*?</answer>$", text))) for text in texts]


def boxed(text):
    found = re.search(r"\\boxed\{(.*?)\}", text)
    return found.group(1) if found else "[none]"


def as_reference(completions, ground_truth, **kwargs):
    return [float(boxed(text) == truth) for text, truth in zip(completions, ground_truth, strict=True)]


def of_task(wanted):
    def one_task(prompts, completions, task, **kwargs):
        return [1.0 if name == wanted else None for name in task]

    return one_task


async def waits(prompts, completions, **kwargs):
    await asyncio.sleep(0.001)
    return [1.0 if completion else 0.0 for completion in completions]


def logs(completions, ground_truth, log_extra=None, log_metric=None, **kwargs):
    rewards = as_reference(completions, ground_truth)
    if log_extra:
        log_extra("golden_answer", list(ground_truth))
        log_extra("extracted_answer", [boxed(text) for text in completions])
    if log_metric:
        log_metric("accuracy", sum(rewards) / len(rewards))
    return rewards


def curriculum(completions, trainer_state, **kwargs):
    return [trainer_state.global_step / trainer_state.max_steps] * len(completions)


def batch(**given):
    """Of two plain completions, with what is given in the place of theirs."""
    return {**PLAIN, "columns": {}, **given}


OF_THE_PAGE = {
    "Example 1: Reward longer completions": (tokens, batch(), [2.0, 4.0]),
    "Example 1.1: Reward longer completions (based on the number of characters)": (characters, batch(), [6.0, 12.0]),
    "Example 2: Reward completions with a specific format": (
        thinks_then_answers,
        batch(completions=[THOUGHT, "12"], columns={"prompt_messages": ASKED}),
        [1.0, 0.0],
    ),
    "Example 3: Reward completions based on a reference": (as_reference, batch(**BOXED), [1.0, 0.0]),
    "Example 4: Multi-task reward functions": (
        combine([of_task("math"), of_task("coding")]),
        batch(columns={"task": ["math", "coding"]}),
        [1.0, 1.0],
    ),
    "Example 5: Asynchronous reward functions": (waits, batch(), [1.0, 1.0]),
    "Example 6: Logging extra columns and metrics": (logs, batch(**BOXED), [1.0, 0.0]),
}


@pytest.mark.parametrize("example", OF_THE_PAGE)
def test_a_function_of_trls_page_gives_the_answers_of_the_page(example):
    function, given, expected = OF_THE_PAGE[example]
    assert score(function, **given).tolist() == expected


DOCS = os.environ.get("TRL_DOCS")


@pytest.mark.skipif(not DOCS, reason="set TRL_DOCS to the folder docs/source of TRL's repository")
def test_the_code_of_the_page_gives_the_answers_that_it_prints():
    """Every block of a section that defines functions, asked what the block after it asks."""
    page = (Path(str(DOCS)) / "grpo_trainer.md").read_text(encoding="utf-8")
    sections = re.split(r"^#### ", page.partition("### Using a custom reward function")[2], flags=re.MULTILINE)
    examples = {part.split("\n")[0]: re.findall(r"```python\n(.*?)```", part, re.DOTALL) for part in sections}
    examples = {name: code for name, code in examples.items() if name.startswith("Example")}
    assert examples.keys() == OF_THE_PAGE.keys()
    for name, code in examples.items():
        functions = re.findall(r"^(?:import .*|(?:async )?def .*(?:\n(?:    .*)?)*)", code[0], re.MULTILINE)
        space = {"check_math_solution": lambda *_: True, "test_code_solution": lambda *_: True}
        exec("\n".join(functions), space)
        found = [value for key, value in space.items() if key.endswith(("reward_func", "format_reward_func"))]
        _, given, expected = OF_THE_PAGE[name]
        assert score(combine(found), **given).tolist() == expected, name


# trl.rewards ----------------------------------------------------------------------------------------------------------


SOLUTIONS = {"solution": [r"\frac{1}{3}"] * 3, "prompt_messages": [ASKED[0]] * 3}
ANSWERS = [r"It is \boxed{\frac{1}{3}}", r"It is \boxed{\frac{1}{2}}", "no idea"]
IDS = [[1] * 90, [1] * 50, [1, 2, 3, 4]]
OF_TRL = {  # the function's name → what makes it, if it is not the function itself; completions; rewards
    "accuracy_reward": (None, ANSWERS, [1.0, 0.0, 0.0]),
    "reasoning_accuracy_reward": (None, [f"</think> {ANSWERS[0]}", *ANSWERS[1:]], [1.0, 0.0, 0.0]),
    "get_cosine_scaled_reward": ({"max_len": 100}, ANSWERS, [0.51223, -0.75, -0.99803]),
    "think_format_reward": (None, TOLD, [1.0, 0.0, 0.0]),
    "get_repetition_penalty_reward": ({"ngram_size": 2}, ANSWERS, [-1 + 1 / 89, -1 + 1 / 49, 0.0]),
    "get_soft_overlong_punishment": ({"max_completion_len": 100, "soft_punish_cache": 20}, ANSWERS, [-0.5, 0.0, 0.0]),
}
NEEDS_MATH_VERIFY = ("accuracy_reward", "reasoning_accuracy_reward", "get_cosine_scaled_reward")


def of_trl(name):
    """A reward of TRL's; skips where it needs a package that is not there."""
    rewards = pytest.importorskip("trl.rewards", reason="needs trl")
    if name in NEEDS_MATH_VERIFY:
        pytest.importorskip("math_verify", reason=f"{name} needs math_verify")
    options = OF_TRL[name][0]
    return getattr(rewards, name) if options is None else getattr(rewards, name)(**options)


def test_every_reward_of_trls_is_tried_here():
    trl_rewards = pytest.importorskip("trl.rewards")
    names = {name for names in trl_rewards._import_structure.values() for name in names}
    assert names == OF_TRL.keys()


@pytest.mark.parametrize("name", OF_TRL)
def test_a_reward_of_trls_scores_conversations_unchanged(name):
    _, completions, expected = OF_TRL[name]
    given = {"prompts": ["w1"] * 3, "completions": completions, "completion_ids": IDS, "columns": SOLUTIONS}
    assert score(of_trl(name), **given).tolist() == pytest.approx(expected, abs=1e-5)


def test_a_solution_that_cannot_be_read_is_not_scored():
    given = {"prompts": ["w1"], "completions": [ANSWERS[0]], "completion_ids": [[1]]}
    columns = {"solution": ["no mathematics"], "prompt_messages": [ASKED[0]]}
    assert score(of_trl("accuracy_reward"), **given, columns=columns).isnan().all()


@pytest.mark.parametrize("name", OF_TRL)
def test_a_reward_of_trls_trains(name, tmp_path):
    row = {"prompt": [{"role": "user", "content": "w1 w2"}], "solution": "$1$"}
    trainer = conversing(tmp_path, [of_trl(name), lambda completions, **_: [0.0] * len(completions)], [row])
    assert {f"rewards/{f}/mean" for f in trainer.scorer.proxy.parts} <= trainer.train().keys()
    if name in ("accuracy_reward", "reasoning_accuracy_reward"):
        samples = trainer.run.log.read("samples.jsonl")
        assert all(sample["extra"].keys() == {"solution", "gold_parsed", "answer_parsed"} for sample in samples)


def conversing(folder, rewards, rows, **options):
    """A trainer of a tiny chat model."""
    settings = {"max_steps": 1, "batch_size": 4, "num_mini_batches": 1, "max_completion_length": 4, "progress": False}
    args = GAAConfig(output_dir=str(folder), use_cpu=True, **settings)
    return GAATrainer(tiny_lm(vocab_size=39), rewards, args, rows, processing_class=chat_tokenizer(TEMPLATE), **options)


# Asynchronous functions -----------------------------------------------------------------------------------------------


def meeting():
    """Two functions, neither of which ends before the other has begun."""
    begun = {"a": asyncio.Event(), "b": asyncio.Event()}

    def one(own, other):
        async def meets(completions, **kwargs):
            begun[own].set()
            await asyncio.wait_for(begun[other].wait(), 30)
            return [1.0] * len(completions)

        return meets

    return [one("a", "b"), one("b", "a")]


def test_asynchronous_functions_wait_at_the_same_time():
    assert score(combine(meeting()), **batch()).tolist() == [2.0, 2.0]


def test_they_do_in_a_run_beside_others(tmp_path):
    trainer = tiny_trainer(tmp_path, reward=[characters, *meeting()], max_steps=1)
    metrics = trainer.train()
    assert (metrics["rewards/meets/mean"], metrics["rewards/meets-2/mean"]) == (1.0, 1.0)
    assert metrics["reward"] == pytest.approx(metrics["rewards/characters/mean"] + 2.0)


def test_they_keep_one_loop_and_run_where_a_loop_runs_already():
    loops = []

    class Kept:
        async def __call__(self, completions, **kwargs):
            loops.append(asyncio.get_running_loop())
            return torch.ones(len(completions))

    async def notebook():
        return score(Kept(), **batch()).tolist()

    assert asyncio.run(notebook()) == [1.0, 1.0]
    assert score(functools.partial(Kept()), **batch()).tolist() == [1.0, 1.0]
    assert score(honeypot(Kept(), word="blue"), **batch()).tolist() == [1.0, 0.5]
    assert loops[0] is loops[1] is loops[2]


def test_one_that_fails_is_blamed_for_its_completion():
    async def fragile(completions, **kwargs):
        return [1 / (len(text) - 12) for text in completions]

    with pytest.raises(RewardError, match=r"'fragile' raised ZeroDivisionError: .* on completion 1 \(prompt 'The sun"):
        score(combine([waits, fragile]), **batch())


def test_nothing_is_left_unawaited_by_one_that_fails_beside_it():
    def fails(**kwargs):
        raise ValueError("no")

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with pytest.raises(RewardError, match="'fails' raised ValueError: no") as caught:
            score(combine([waits, fails]), **batch())
        del caught  # its frames hold the coroutine, which warns once it is let go
        gc.collect()
    assert not told


def test_one_that_would_wait_for_itself_is_told_so():
    async def outer(completions, **kwargs):
        return score(waits, **batch()).tolist()

    with pytest.raises(RewardError, match="would wait for itself: await the other function there"):
        score(outer, **batch())


def test_one_that_ends_the_process_ends_it_and_the_loop_goes_on():
    async def ends(completions, **kwargs):
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        score(ends, **batch())
    assert score(waits, **batch()).tolist() == [1.0, 1.0]


def test_a_forked_process_ends_without_a_word(tmp_path):
    script = tmp_path / "forks.py"
    script.write_text(
        "import os\n"
        "from gaard.rewards import score\n"
        "async def waits(completions, **kwargs):\n"
        "    return [1.0]\n"
        "batch = {'prompts': ['a'], 'completions': ['b'], 'completion_ids': [[1]], 'columns': {}}\n"
        "score(waits, **batch)\n"
        "child = os.fork()\n"
        "if child:\n"
        "    os.waitpid(child, 0)\n"
        "print(score(waits, **batch).tolist())\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr) == ("[1.0]\n" * 2, "")
