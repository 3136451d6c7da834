"""docs/reliability.md lists the kinds of faults that are tried, each with a test that is there, and counts them."""

import ast
import re

from killing import PLACES, RESULTS
from kinds import KINDS

from pages import ROOT, read

PAGE = "docs/reliability.md"
LEAST = 60


def rows():
    """Kind → test, as the page has them."""
    section = read(PAGE).partition("## Faults")[2].partition("\n## ")[0]
    cells = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in section.splitlines() if "`" in line]
    return {row[0]: row[-1].strip("`") for row in cells if len(row) == 3 and row[-1].startswith("`")}


def test_the_page_lists_what_is_tried_and_nothing_else():
    assert list(rows()) == list(KINDS)
    assert {kind: test.partition("::")[0] for kind, test in KINDS.items()} == rows()


def test_the_page_counts_them_right():
    assert f"**{len(KINDS)} kinds of faults**" in read(PAGE)
    assert len(KINDS) >= LEAST


def test_every_test_of_the_table_is_there():
    for test in set(KINDS.values()):
        file, _, function = test.partition("::")
        name, _, parameter = function.partition("[")
        names = [one.name for one in ast.walk(ast.parse(read(f"tests/{file}"))) if isinstance(one, ast.FunctionDef)]
        assert name in names, test
        assert not parameter or parameter.rstrip("]") in names, test


def test_every_place_where_a_process_is_killed_is_a_kind():
    assert {f"killed in {place}" for place in (*PLACES, RESULTS)} <= set(KINDS)


def test_the_figures_of_the_long_run_stand_with_their_commands():
    text = read(PAGE)
    assert re.search(r"\| `make kills` \| .*\b200 kills\b", text)
    assert "| `make soak` |" in text
    assert (ROOT / "tests" / "soak.py").exists()
