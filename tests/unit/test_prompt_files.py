"""Prompts from files: which are read, how, and what is said of those that are not."""

import json
import re

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
        ("p.csv", "", "holds no prompt: its first line names the columns, one of them 'prompt'"),
        (
            "p.csv",
            "prompt,a\n1,2\n\n1,2,3\n",
            "has 3 columns in line 4, and 2 in its first line: .* into double quotes",
        ),
        ("p.csv", "prompt\nhello, you\n", "has 2 columns in line 2, and 1 in its first line"),
        ("p.csv", 'prompt\n"a\n', "is no table with commas .*: check that every double quote is closed"),
        ("p.csv", "prompt\n\udce9t\udce9\n", "is not text in UTF-8 .*: save it as such"),
        ("p.csv", "prompt;answer\na, b;2\n", "seems to be separated by ';': save it with commas"),
        ("p.csv", "prompt\tanswer\n1\t2\n", "seems to be separated by tabs: save it with commas"),
        ("p.parquet", "no", "is no Parquet file, or a damaged one: write it anew, or as .jsonl"),
        ("p.parquet", "", "is no Parquet file, or a damaged one"),
        ("gone/p.csv", None, "No such file or directory: give a list, or the path of a file"),
        ("gone/p.parquet", None, "No such file or directory: give a list, or the path of a file"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(tmp_path, name, text, words):
    path = tmp_path / name
    if text is not None:
        path.write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(ConfigError, match=rf"^prompts='{path}'.*{words}") as caught:
        read_prompts(path)
    assert not re.search(r"Error|engine\.py|[Ss]chema|dtype", str(caught.value))


def test_a_folder_with_a_files_ending_is_none(tmp_path):
    (tmp_path / "p.csv").mkdir()
    with pytest.raises(ConfigError, match=r"Is a directory"):
        read_prompts(tmp_path / "p.csv")


def test_signs_of_a_pattern_in_a_files_name_are_letters(tmp_path):
    assert read_prompts(written(tmp_path / "p[1]*.csv", "prompt\none\n")) == [{"prompt": "one"}]


@pytest.mark.parametrize(
    "name", ["data/prompts.json", "data/p.tsv", "data/p.csv.gz", "data/p.csv:train", "data/p.xlsx"]
)
def test_a_mistyped_file_is_not_looked_for_on_the_hub(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("gaard.training.prompt_files._data_set", lambda *_: pytest.fail("asked the hub"))
    with pytest.raises(ConfigError, match=rf"prompts='{name}' is nothing that gaard reads prompts from"):
        read_prompts(name)


def test_a_data_set_may_have_a_dot_in_its_name(monkeypatch):
    monkeypatch.setattr("gaard.training.prompt_files._data_set", lambda name, split, where: [name, split])
    assert read_prompts("owner/set-v1.5:test") == ["owner/set-v1.5", "test"]


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
