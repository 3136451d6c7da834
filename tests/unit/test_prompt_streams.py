"""Data sets of ``datasets``, in memory and streamed, as train_dataset."""

import itertools

import pytest

from gaard.errors import ConfigError
from gaard.training import prompts
from gaard.training.prompts import PromptStream
from tiny import WORDS, chat_tokenizer, tiny_trainer, word_tokenizer

datasets = pytest.importorskip("datasets", reason="needs datasets")
ROWS = [{"prompt": f"w{i}", "answer": i} for i in range(5)]
SPOKEN = [{"prompt": [{"role": "user", "content": f"w{i}"}], "answer": i} for i in (1, 2)]


def stream(rows):
    """An IterableDataset: it does not tell its length."""
    return datasets.IterableDataset.from_generator(lambda: iter(rows))


@pytest.mark.parametrize("made", [datasets.Dataset.from_list, stream, iter])
def test_a_data_set_is_its_rows_whether_it_is_streamed_or_not(made):
    found, expected = (PromptStream(rows, word_tokenizer(WORDS)) for rows in (made(ROWS), ROWS))
    assert (found.texts, found.columns, found.fingerprint) == (expected.texts, expected.columns, expected.fingerprint)


def test_a_stream_is_prepared_as_its_library_does_it():
    found = PromptStream(stream(ROWS).map(lambda row: {"answer": -row["answer"]}).take(3), word_tokenizer(WORDS))
    assert found.columns == {"answer": [0, -1, -2]}


@pytest.mark.parametrize("made", [datasets.Dataset.from_list, stream])
def test_conversations_of_a_data_set_are_rendered_and_reach_rewards_as_messages(made):
    found = PromptStream(made(SPOKEN), chat_tokenizer())
    assert found.texts[0] == "<|im_start|> user w1 <|im_end|> <|im_start|> assistant "
    assert found.columns == {"answer": [1, 2], "prompt_messages": [row["prompt"] for row in SPOKEN]}


def answered(completions, answer, log_extra, **columns):
    log_extra("answer", answer)
    return [float(len(text)) for text in completions]


def test_a_streamed_data_set_trains_and_goes_on(tmp_path):
    tiny_trainer(tmp_path, reward=answered, prompts=stream(ROWS), max_steps=1).train()
    whole = tiny_trainer(tmp_path, reward=answered, prompts=stream(ROWS), max_steps=2)
    assert whole.train()["step"] == 2
    for row in whole.run.log.read("samples.jsonl"):
        assert row["prompt"] == f"w{row['extra']['answer']}"


def test_a_stream_without_end_is_refused_and_a_long_list_is_not(monkeypatch):
    monkeypatch.setattr(prompts, "LONGEST_STREAM", 4)
    endless = ({"prompt": f"w{i % 9}"} for i in itertools.count())
    for rows in (endless, stream(ROWS)):
        with pytest.raises(ConfigError, match=r"a stream of more than 4 rows.*list\(train_dataset\.take\(10_000\)\)"):
            PromptStream(rows, word_tokenizer(WORDS))
    assert len(PromptStream(ROWS, word_tokenizer(WORDS)).texts) == 5
    assert len(PromptStream(stream(ROWS).take(4), word_tokenizer(WORDS)).texts) == 4


def test_several_splits_are_no_rows():
    splits = datasets.DatasetDict(train=datasets.Dataset.from_list(ROWS), test=datasets.Dataset.from_list(ROWS))
    with pytest.raises(ConfigError, match="train_dataset is a DatasetDict of 'train', 'test': give a list of prompts"):
        PromptStream(splits, word_tokenizer(WORDS))
