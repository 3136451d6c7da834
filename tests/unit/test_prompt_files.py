"""Prompts from files: which are read, how, and what is said of those that are not."""

import json

import polars as pl
import pytest

from gaard.errors import ConfigError
from gaard.training.prompt_files import read_prompts


def written(path, text, encoding="utf-8"):
    path.write_text(text, encoding=encoding)
    return str(path)


def test_a_list_stays_as_it_is():
    rows = ["w1", {"prompt": "w2", "label": 1}]
    assert read_prompts(rows) == rows


def test_a_text_has_a_prompt_a_line(tmp_path):
    """Blank lines are none, spaces at the ends count, and a line separator inside a prompt is no new line."""
    assert read_prompts(written(tmp_path / "p.txt", " one \n\n  \ntwo\u2028three\r\nfour")) == [
        " one ",
        "two\u2028three",
        "four",
    ]


def test_rows_of_json_keep_their_columns(tmp_path):
    rows = [{"prompt": "a", "label": [1, 2]}, {"prompt": "b"}, "c"]
    assert read_prompts(written(tmp_path / "p.jsonl", "\n".join(map(json.dumps, rows)))) == rows


@pytest.mark.parametrize(("name", "text"), [("p.txt", "one\ntwo"), ("p.jsonl", '"one"\n"two"')])
def test_a_byte_order_mark_is_no_part_of_the_first_prompt(tmp_path, name, text):
    assert read_prompts(written(tmp_path / name, text, "utf-8-sig")) == ["one", "two"]


@pytest.mark.parametrize("name", ["p.json", "prompts", "p.txt.gz"])
def test_a_file_of_another_kind_is_refused_with_the_kinds_that_are_read(tmp_path, name):
    with pytest.raises(ConfigError) as caught:
        read_prompts(written(tmp_path / name, '[{"prompt": "one"}]'))
    for part in (name, ".txt", ".jsonl"):
        assert part in str(caught.value)


def test_a_table_is_read_by_its_columns_and_not_by_its_lines(tmp_path):
    """A prompt with a comma, quotes and a line end; a number stays the text that stands there."""
    path = written(tmp_path / "p.csv", 'label,prompt\n01,"one, ""two""\nthree"\n2,four\n')
    rows = [{"label": "01", "prompt": 'one, "two"\nthree'}, {"label": "2", "prompt": "four"}]
    assert read_prompts(path) == rows
    pl.DataFrame(rows).write_parquet(tmp_path / "p.parquet")
    assert read_prompts(tmp_path / "p.parquet") == rows


def test_a_table_keeps_conversations(tmp_path):
    rows = [{"prompt": [{"role": "user", "content": "hello"}], "answer": 3}]
    pl.DataFrame(rows).write_parquet(tmp_path / "p.parquet")
    assert read_prompts(tmp_path / "p.parquet") == rows


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("p.csv", "text\none\n", "no column 'prompt', only text"),
        ("p.csv", "prompt\n", "holds no prompt"),
        ("p.csv", "", "NoDataError"),
        ("p.parquet", "no", "ComputeError"),
        ("gone/p.csv", None, "FileNotFoundError|No such file"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(tmp_path, name, text, words):
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=words):
        read_prompts(path)


def test_a_data_set_is_read_by_its_split(tmp_path, monkeypatch):
    """As the datasets library reads a folder, where the hub cannot be reached."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "owner" / "name").mkdir(parents=True)
    pl.DataFrame({"prompt": ["one", "two"], "label": [1, 2]}).write_parquet(tmp_path / "owner/name/test.parquet")
    monkeypatch.setattr("gaard.training.prompt_files.Path.exists", lambda path: False)
    assert read_prompts("owner/name:test") == [{"prompt": "one", "label": 1}, {"prompt": "two", "label": 2}]


def test_without_the_library_or_the_data_set_it_is_said_what_to_do(monkeypatch):
    monkeypatch.setattr("gaard.training.prompt_files.importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'gaard\[datasets\]'"):
        read_prompts("owner/name")


def test_the_case_of_an_ending_does_not_matter(tmp_path):
    assert read_prompts(written(tmp_path / "P.TXT", "one")) == ["one"]
    assert read_prompts(written(tmp_path / "P.JSONL", '"one"')) == ["one"]


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    written(tmp_path / "p.txt", "one")
    assert read_prompts("~/p.txt") == ["one"]
    with pytest.raises(ConfigError, match="~no-such-user-here"):
        read_prompts("~no-such-user-here/p.txt")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        (b"", "holds no prompt"),
        (b"\n \n", "holds no prompt"),
        (b"\xff\xfeo\x00n\x00e\x00", "not text in UTF-8"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, content, message):
    path = tmp_path / "p.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=message) as caught:
        read_prompts(str(path))
    assert str(path) in str(caught.value)


def test_a_line_that_is_no_json_is_named_by_its_number(tmp_path):
    with pytest.raises(ConfigError, match=r"line 3 .*not JSON"):
        read_prompts(written(tmp_path / "p.jsonl", '"one"\n\n{"prompt": \n"two"'))


def test_no_prompts_are_refused():
    for nothing in ([], ""):
        with pytest.raises(ConfigError, match="prompts is empty"):
            read_prompts(nothing)
