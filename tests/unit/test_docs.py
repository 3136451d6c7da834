"""The documentation keeps step with the code, and is written for a reader."""

import re
import subprocess

import pytest
import yaml
from markdown.extensions.toc import slugify

from gaard import GAAConfig
from pages import DOCS, MAKE_TARGETS, PAGES, ROOT, read

EQUATIONS = [f"G{number}" for number in range(1, 15)]


@pytest.mark.parametrize("equation", EQUATIONS)
def test_every_equation_names_code_and_tests_that_exist(equation):
    row = re.search(rf"^\| {equation} \|.*$", read("docs/method.md"), re.MULTILINE)
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


def links(page: str) -> list[tuple[str, str]]:
    """Path and anchor of every link of a page that stays in the repository."""
    targets = re.findall(r"\]\(([^)\s]+)\)", read(page))
    return [(path, anchor) for path, _, anchor in (t.partition("#") for t in targets if "://" not in t)]


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_links_to_comes_with_the_code(page):
    """Files, and figures, that a fresh clone has; `git ls-files` where there is a repository to ask."""
    paths = {((ROOT / page).parent / path).resolve() for path, _ in links(page) if path}
    assert [path for path in paths if not path.exists()] == []
    if (ROOT / ".git").exists():
        command = ["git", "-C", str(ROOT), "check-ignore", *map(str, paths)]
        assert subprocess.run(command, capture_output=True, text=True, check=False).stdout == ""


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_links_to_has_that_heading(page):
    for path, anchor in links(page):
        target = ((ROOT / page).parent / path).resolve() if path else ROOT / page
        if anchor and target.suffix == ".md":
            headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in [slugify(heading.replace("`", ""), "-") for heading in headings], f"{path}#{anchor}"


@pytest.mark.parametrize("page", [*PAGES, *sorted(str(p.relative_to(ROOT)) for p in ROOT.glob("studies/*/README.md"))])
def test_no_line_is_too_long_to_read(page):
    lines = enumerate(read(page).splitlines(), start=1)
    assert [number for number, line in lines if len(line) > 120 and not line.startswith("|")] == []


def test_the_readme_is_read_in_two_minutes():
    text = read("README.md")
    assert len(text.splitlines()) <= 100
    assert len(text.split()) <= 900


def test_what_people_ask_first_of_their_own_model_stands_in_that_section():
    """LoRA, W&B, and that a text is cut off after so many tokens."""
    section = read("docs/index.md").partition("## Your own model and reward")[2].partition("\n## ")[0]
    default = GAAConfig("x").max_completion_length
    for words in ("max_completion_length=", f"after {default} tokens", "peft_config=LoraConfig", 'report_to="wandb"'):
        assert words in section
    assert all(words in read("README.md") for words in ("LoRA", "wandb", "max_completion_length="))


def test_the_site_shows_every_page():
    config = yaml.safe_load(read("mkdocs.yml"))

    def files(entry):
        if isinstance(entry, str):
            return [entry]
        return [file for part in (entry.values() if isinstance(entry, dict) else entry) for file in files(part)]

    assert sorted(f"docs/{file}" for file in files(config["nav"])) == DOCS


def test_the_make_targets_of_the_readme_and_of_contributing_are_there():
    named = {name for page in ("README.md", "CONTRIBUTING.md") for name in re.findall(r"\bmake ([\w-]+)\b", read(page))}
    named -= {"rows"}
    assert {"demo", "test", "lint", "docs", "results", "bench"} <= named <= MAKE_TARGETS


def test_ci_runs_the_test_command_of_the_readme():
    assert "make test" in read("README.md")
    assert "make test" in read(".ci/run")


@pytest.mark.parametrize("page", ["docs/lab.md"])
def test_the_page_of_the_lab_lists_the_arms_there_are(page):
    from gaard.lab.arms import ARMS

    rows = read(page).split("## Arms")[1].split("## A study")[0]
    listed = {
        name for cell in re.findall(r"^\| (`[^|]+) \|", rows, re.MULTILINE) for name in re.findall(r"`(.+?)`", cell)
    }
    assert listed == set(ARMS)


def test_the_page_of_the_scenarios_lists_those_there_are():
    from gaard.lab.scenarios import SCENARIOS

    text = read("docs/scenarios.md")
    assert [name for name in SCENARIOS if f"`{name}`" not in text] == []


def test_the_page_of_methods_lists_methods_regularizers_and_options():
    from dataclasses import fields

    from gaard.methods import ESTIMATORS, METHODS
    from gaard.regularizers import REGULARIZERS

    text = read("docs/methods.md")
    for known in (METHODS, ESTIMATORS, REGULARIZERS):
        for name, kind in known.items():
            assert f"`{name}`" in text
            assert [option.name for option in fields(kind) if f"`{option.name}`" not in text] == []
