"""Prompts: tokenised once, padded on the left, drawn in an order that can be had again, and refused by index."""

import datetime as dt
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from gaard.errors import ConfigError, ModelError
from gaard.training.prompts import PromptStream
from tiny import WORDS, tiny_trainer, word_tokenizer

PROMPTS = ["w1 w2", "w3", "w4 w5 w6 w7", "w8", "w9 w10"]


def stream(dataset=PROMPTS):
    return PromptStream(dataset, word_tokenizer(WORDS))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def word_ids(text):
    """Ids by hand: four special tokens come first, and word w7 is the eighth word."""
    return [4 + int(word[1:]) for word in text.split()]


def test_prompts_end_where_the_completion_begins():
    prompts = stream()
    prompts.pad_token_id = 0
    batch = prompts.draw(5, seeded())
    assert batch.ids.shape == batch.mask.shape == (5, 4)
    assert batch.mask.dtype is torch.bool
    for text, ids, mask in zip(batch.texts, batch.ids.tolist(), batch.mask.tolist(), strict=True):
        expected = word_ids(text)
        padding = 4 - len(expected)
        assert ids == [0] * padding + expected
        assert mask == [False] * padding + [True] * len(expected)


def test_a_batch_is_as_wide_as_its_own_longest_prompt():
    prompts = stream()
    while "w4 w5 w6 w7" in (batch := prompts.draw(2, seeded(3))).texts:
        pass
    assert batch.ids.shape[1] == max(len(text.split()) for text in batch.texts) < prompts.longest[1] == 4


def test_a_part_of_a_batch_keeps_its_width_and_columns():
    rows = [{"prompt": text, "number": i} for i, text in enumerate(PROMPTS)]
    batch = stream(rows).draw(5, seeded())
    part = batch.rows(1, 3)
    assert part.texts == batch.texts[1:3]
    assert part.columns == {"number": [PROMPTS.index(text) for text in part.texts]}
    assert torch.equal(part.ids, batch.ids[1:3])
    assert torch.equal(part.mask, batch.mask[1:3])


def drawn(prompts, counts, generator):
    return [text for count in counts for text in prompts.draw(count, generator).texts]


def test_every_epoch_goes_round_the_dataset_once_whatever_the_batches():
    texts = drawn(stream(), [3, 4, 1, 7, 5, 10], seeded())
    epochs = [texts[i : i + 5] for i in range(0, 30, 5)]
    assert all(sorted(epoch) == sorted(PROMPTS) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1  # shuffled anew


def test_the_order_follows_from_the_generator_alone():
    torch.manual_seed(1)
    first = drawn(stream(), [4] * 5, seeded(0))
    torch.manual_seed(2)
    assert drawn(stream(), [4] * 5, seeded(0)) == first
    assert drawn(stream(), [4] * 5, seeded(1)) != first


@pytest.mark.parametrize("before", [[], [2], [5], [3, 3], [7]])
def test_a_restored_stream_goes_on_where_the_other_was(before):
    prompts, generator = stream(), seeded()
    drawn(prompts, before, generator)
    state, numbers = prompts.state(), generator.get_state()
    expected = drawn(prompts, [3] * 6, generator)
    other, fresh = stream(), torch.Generator()
    other.restore(state)
    fresh.set_state(numbers)
    assert drawn(other, [3] * 6, fresh) == expected


def test_a_fresh_stream_leaves_the_first_as_it_was():
    prompts = stream()
    prompts.draw(2, seeded())
    rest = prompts.state()
    drawn(prompts.fresh(), [4, 4], seeded(5))
    assert prompts.state() == rest
    assert len(rest) == 3


def test_rewards_get_the_columns_of_their_own_prompts(tmp_path):
    rows = [{"prompt": f"w{i}", "target": 100 + i, "note": f"for w{i}"} for i in range(7)]
    calls = []

    def reward(prompts, completions, target, note, **kwargs):
        calls.append(len(prompts))
        assert target == [100 + int(prompt[1:]) for prompt in prompts]
        assert note == [f"for {prompt}" for prompt in prompts]
        return [float(len(completion)) for completion in completions]

    tiny_trainer(tmp_path, reward=reward, prompts=rows, max_steps=2).train()
    assert calls[0] == 16
    assert any(size < 16 for size in calls)  # the greedy-ended texts are a part of the batch


def test_a_column_that_begins_in_a_later_row_is_kept():
    batch = stream([{"prompt": "w1"}, {"prompt": "w2", "label": "b"}]).draw(2, seeded())
    assert dict(zip(batch.texts, batch.columns["label"], strict=True)) == {"w1": None, "w2": "b"}


def test_another_dataset_has_another_fingerprint():
    rows = [{"prompt": "w1", "label": 0}]
    assert stream(rows).fingerprint == stream(rows).fingerprint
    datasets = [rows, [{"prompt": "w1", "label": 1}], [{"prompt": "w2", "label": 0}], ["w1"], ["w1", "w1"]]
    assert len({stream(dataset).fingerprint for dataset in datasets}) == 5


DAY = dt.date(2024, 5, 1)
PAIRS = [
    (np.array([1, 2]), np.array([1, 3])),
    (np.array([1, 2]), np.array([1.0, 2.0])),
    (np.zeros((2, 3)), np.zeros((3, 2))),
    (np.array(["a", None], dtype=object), np.array(["b", None], dtype=object)),
    (np.array(["2024-05-01"], dtype="datetime64[D]"), np.array(["2024-05-02"], dtype="datetime64[D]")),
    (np.float32(1), np.float32(2)),
    (torch.tensor([1, 2]), torch.tensor([1, 3])),
    (torch.zeros(2, dtype=torch.bfloat16), torch.zeros(2, dtype=torch.float16)),
    (DAY, DAY + dt.timedelta(days=1)),
    (dt.datetime(2024, 5, 1, 12), dt.datetime(2024, 5, 1, 12, tzinfo=dt.UTC)),
    (dt.timedelta(days=1), dt.timedelta(days=2)),
    ({1: "a", "b": 2}, {1: "a", "b": 3}),
    ({"nested": [np.array([1])]}, {"nested": [np.array([2])]}),
    ({"a", "b"}, {"a", "c"}),
    (b"one", b"two"),
    (float("nan"), float("inf")),
    (1, "1"),
]


@pytest.mark.parametrize(("first", "second"), PAIRS, ids=[f"{type(a).__name__}-{i}" for i, (a, _) in enumerate(PAIRS)])
def test_what_a_column_holds_counts_in_the_fingerprint(first, second):
    def of(value):
        return stream([{"prompt": "w1", "label": value}]).fingerprint

    assert of(first) == of(first)
    assert of(first) != of(second)


@pytest.mark.slow
def test_a_fingerprint_is_the_same_in_another_process():
    """Sets of text come in another order in every process."""
    script = (
        "from tiny import WORDS, word_tokenizer; from gaard.training.prompts import PromptStream; import numpy as np;"
        "rows = [{'prompt': 'w1', 'label': {'a', 'b', 'c', 'd'}, 'more': [np.arange(3), object()]}];"
        "print(PromptStream(rows, word_tokenizer(WORDS)).fingerprint)"
    )
    printed = set()
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-c", script]
        printed.add(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)
    assert len(printed) == 1


def test_a_tokenizer_that_closes_every_text_leaves_the_prompt_open():
    """The </s> that it puts behind a prompt would tell the policy that there is nothing to go on with."""
    from tokenizers.processors import TemplateProcessing

    tokenizer = word_tokenizer(WORDS)
    template = TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 3)])
    tokenizer.backend_tokenizer.post_processor = template
    assert tokenizer("w1 w2")["input_ids"] == [5, 6, 3]
    assert PromptStream(["w1 w2"], tokenizer).ids == [[5, 6]]


def test_a_token_that_begins_and_ends_texts_alike_is_kept():
    tokenizer = word_tokenizer(WORDS)
    tokenizer.bos_token = tokenizer.eos_token
    assert PromptStream(["w1 </s>"], tokenizer).ids == [[5, 3]]


def test_a_rendered_chat_brings_its_own_first_token():
    """A tokenizer that begins every text with <s> must not do so twice."""
    from tokenizers.processors import TemplateProcessing

    tokenizer = word_tokenizer(WORDS)
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 2)])
    assert PromptStream(["w1", "<s> w1"], tokenizer).ids == [[2, 5], [2, 5]]


REFUSED = [
    ([], ["train_dataset is empty", "at least one prompt"]),
    (iter([]), ["train_dataset is empty"]),
    (["w1", ""], ["train_dataset[1]['prompt']=''", "empty"]),
    (["w1", " \n"], [r"train_dataset[1]['prompt']=' \n'", "empty"]),
    (["w1", 7], ["train_dataset[1]['prompt']=7", "must be a string"]),
    (["w1", None], ["train_dataset[1]['prompt']=None", "must be a string"]),
    (["w1", b"w2"], ["train_dataset[1]['prompt']=b'w2'", "must be a string"]),
    ("w1 w2", ["'w1 w2'", "a list of prompts"]),
    (7, ["train_dataset is 7", "a list of prompts"]),
    (None, ["train_dataset is None", "a list of prompts"]),
    ({"prompt": ["w1"], "label": [1]}, ["a dict of 'prompt', 'label'", "'prompt' column"]),
    ({"w1"}, ["a set of 'w1'", "a list of prompts"]),
    ([{"text": "w1", "label": 1}], ["train_dataset[0] has no 'prompt' column", "text, label"]),
    ([{"prompt": "w1"}, {}], ["train_dataset[1] has no 'prompt' column"]),
    ([{"prompt": [{"role": "user", "content": "w1"}]}], ["train_dataset[0]['prompt']", "no chat template"]),
    ([{"prompt": "w1", "completions": "w2"}], ["column 'completions'", "rename"]),
    ([{"prompt": "w1"}, {"prompt": "w1", 1: "a", "b": "c"}], ["train_dataset[1]", "column 1", "int", "a text"]),
    ([{"prompt": "w1", None: "a"}], ["train_dataset[0]", "column None", "a text"]),
    (["w1", "w2 \ud800"], ["train_dataset[1]['prompt']", "\\ud800", "character 3", "not text"]),
]


@pytest.mark.parametrize(("dataset", "words"), REFUSED, ids=[words[0] for _, words in REFUSED])
def test_a_dataset_that_cannot_be_used_is_refused_by_place(dataset, words):
    with pytest.raises(ConfigError) as caught:
        stream(dataset)
    assert [word for word in words if word not in str(caught.value)] == []


def test_a_prompt_without_tokens_is_refused():
    from tokenizers import normalizers

    tokenizer = word_tokenizer(WORDS)
    tokenizer.backend_tokenizer.normalizer = normalizers.Replace("w2", "")
    with pytest.raises(ConfigError, match=r"train_dataset\[1\]\['prompt'\]='w2' has no token"):
        PromptStream(["w1", "w2"], tokenizer)


def test_a_prompt_longer_than_the_context_is_refused_before_anything_is_run(tmp_path):
    """128 positions, 8 of them for the completion."""

    def reward(**kwargs):
        raise AssertionError("nothing may be scored")

    longest = " ".join(["w1"] * 121)
    with pytest.raises(ModelError) as caught:
        tiny_trainer(tmp_path, reward=reward, prompts=["w2", longest])
    message = str(caught.value)
    assert "has 121 tokens" in message
    assert "needs 129" in message
    assert "max_position_embeddings=128" in message
    assert "shorten the prompt or lower max_completion_length" in message
    assert "train_dataset[1]" in message
    assert list(tmp_path.iterdir()) == []


def test_a_prompt_that_just_fits_is_trained_on(tmp_path):
    prompts = ["w2", " ".join(["w1"] * 120)]
    assert tiny_trainer(tmp_path, prompts=prompts, max_steps=1).train()["step"] == 1
