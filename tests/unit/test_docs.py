"""The documentation keeps step with the code."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
METHOD = (ROOT / "docs" / "method.md").read_text(encoding="utf-8")
EQUATIONS = [f"G{number}" for number in range(1, 13)]


@pytest.mark.parametrize("equation", EQUATIONS)
def test_every_equation_names_code_and_tests_that_exist(equation):
    row = re.search(rf"^\| {equation} \|.*$", METHOD, re.MULTILINE)
    assert row is not None
    cells = row.group().split(" | ")
    modules = re.findall(r"`([\w/]+\.py)`", cells[3])
    names = re.findall(r"`([\w.]+)`", re.sub(r"`[\w/]+\.py`", "", cells[3]))
    assert modules
    source = "".join((ROOT / "src" / "gaard" / module).read_text(encoding="utf-8") for module in modules)
    for name in names:
        assert re.search(rf"(def|class) {name.rsplit('.', maxsplit=1)[-1]}\b", source), name
    tests = re.findall(r"`([\w/]+\.py)`", cells[4])
    assert tests
    assert all((ROOT / "tests" / test).is_file() for test in tests)


@pytest.mark.parametrize("equation", EQUATIONS)
def test_every_equation_is_cited_in_code(equation):
    sources = (path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))
    assert any(re.search(rf"\b{equation}\b", source) for source in sources)


@pytest.mark.parametrize(
    "page", ["README.md", "CONTRIBUTING.md", *sorted(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))]
)
def test_what_a_page_links_to_comes_with_the_code(page):
    """Files, and figures, that a fresh clone has; `git ls-files` where there is a repository to ask."""
    text = (ROOT / page).read_text(encoding="utf-8")
    linked = {target.partition("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target}
    paths = {((ROOT / page).parent / target).resolve() for target in linked if target}
    assert [path for path in paths if not path.exists()] == []
    if (ROOT / ".git").exists():
        command = ["git", "-C", str(ROOT), "check-ignore", *map(str, paths)]
        assert subprocess.run(command, capture_output=True, text=True, check=False).stdout == ""
