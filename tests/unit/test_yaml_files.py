"""YAML as its readers mean it."""

import pytest

from gaard.errors import ConfigError
from gaard.yaml_files import read_mapping


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("010", 10),
        ("-07", -7),
        ("0", 0),
        ("1_000", 1000),
        ("0x1F", "0x1F"),
        ("1:30", "1:30"),
        ("1e-5", 1e-5),
        ("1.5", 1.5),
        ("08", 8),
        ("1_", "1_"),
        ("yes", True),
        ("'010'", "010"),
    ],
)
def test_numbers_are_what_they_look_like(tmp_path, written, meant):
    """A leading nought is no octal, and 1:30 no number of seconds."""
    (tmp_path / "run.yaml").write_text(f"seed: {written}\n")
    found = read_mapping(tmp_path / "run.yaml", "--config run.yaml")["seed"]
    assert (found, type(found)) == (meant, type(meant))


def test_a_tilde_is_the_home_folder_and_a_byte_order_mark_is_no_key(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "run.yaml").write_text("seed: 1\n", encoding="utf-8-sig")
    assert read_mapping("~/run.yaml", "--config ~/run.yaml") == {"seed": 1}
    with pytest.raises(ConfigError, match="no such home folder"):
        read_mapping("~no-such-user-here/run.yaml", "--config")


def test_a_merged_key_is_not_given_twice(tmp_path):
    (tmp_path / "run.yaml").write_text("a: &a {x: 1}\nb: &b {<<: *a, x: 2}\nc: {<<: *b, x: 3}\n")
    assert read_mapping(tmp_path / "run.yaml", "run.yaml")["c"] == {"x": 3}
