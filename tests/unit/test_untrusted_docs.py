"""docs/untrusted-input.md promises nothing without a test."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/untrusted-input.md").read_text(encoding="utf-8")
ROWS = [line for line in PAGE.splitlines() if re.search(r"`test_\w+` \|$", line)]
TESTS = {
    name
    for path in (ROOT / "tests").rglob("test_*.py")
    for name in re.findall(r"^(?:async )?def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
}


def test_the_table_is_found():
    assert len(ROWS) >= 20


@pytest.mark.parametrize("row", ROWS)
def test_each_row_names_a_test_that_there_is(row):
    assert re.findall(r"`(test_\w+)`", row)[0] in TESTS


def test_audits_leave_out_what_the_page_explains_and_nothing_else():
    left_out = re.search(r"^skips = \[(.*?)\]", (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.M | re.S)
    explained = PAGE.partition("## Audits")[2]
    assert set(re.findall(r"B\d+", left_out[1])) == set(re.findall(r"B\d+", explained))
