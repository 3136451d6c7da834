"""One word, one meaning: the glossary has the code's names, and names that were given up occur nowhere."""

import re
from dataclasses import fields

import pytest

from gaard.lab.measures import OF_RUN, OF_STEP, OF_TOKEN
from gaard.methods import ESTIMATORS, METHODS, RECOMMENDED
from gaard.regularizers import REGULARIZERS
from gaard.settings import choices, field_type
from gaard.training.config import GAAConfig
from pages import ROOT, first_cells

FOLDERS = ("src", "docs", "studies", "benchmarks", "examples", "scripts")
TEXTS = {".py", ".md", ".yaml", ".yml", ".js", ".css", ".j2", ".json", ".toml"}
A_MODELS_WORDS = ("assets/pocket/tokenizer.json", "assets/pocket/README.md")  # the card has texts that it wrote
# What stands for what now: docs/glossary.md; old and new names side by side: CHANGELOG.md.
BANNED = {
    "the seed's": r"\bthe seed's\b",
    "rivals": r"\brivals?\b",
    "gold": r"gold\b|\bgold",
    "gaa-paper": r"\bgaa[-_]paper",
    "gaa-reference": r"\bgaa[-_]reference",
    "gaa-own": r"\bgaa[-_]own",
    "world": r"\bworlds?\b(?<!nothing of the world)",
    "judging seeds": r"\bjudging\s+(?:seeds?|runs?)\b",
    "choosing seeds": r"\bchoosing\s+(?:seeds?|runs?)\b",
    "seeds that chose nothing": r"\bseeds\s+that\s+chose\s+nothing\b",
    "pessimistic": r"\bpessimistic\b",
}


def sources() -> dict[str, str]:
    """Every text of the project that the words hold for."""
    paths = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.suffix in TEXTS]
    paths = [path for path in [*paths, ROOT / "README.md", ROOT / "Makefile"] if not str(path).endswith(A_MODELS_WORDS)]
    return {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in paths}


def config_choices() -> set[str]:
    """Every value that an option of a run, method, estimator or regularizer may be chosen from."""
    kinds = [GAAConfig, *METHODS.values(), *ESTIMATORS.values(), *REGULARIZERS.values()]
    named = {"method", "advantages", "regularizers"}  # chosen by name, and looked at on their own
    options = [(kind, field.name) for kind in kinds for field in fields(kind) if field.name not in named]
    return {value for kind, name in options for value in choices(field_type(kind, name))}


@pytest.mark.parametrize(
    "names",
    [METHODS, ESTIMATORS, REGULARIZERS, {**OF_RUN, **OF_STEP, **OF_TOKEN}, config_choices()],
    ids=["methods", "estimators", "regularizers", "measures", "choices"],
)
def test_the_codes_names_are_defined(names):
    defined = first_cells("docs/glossary.md") | first_cells("docs/metrics.md")
    assert len(set(names)) > 0
    assert set(names) - defined == set()


def test_choices_are_found():
    assert {"exact", "text", "outside", "linear", "proxy"} <= config_choices()


def test_no_word_is_defined_twice():
    rows = re.findall(r"^\| ([^|]+?) \|", (ROOT / "docs/glossary.md").read_text(encoding="utf-8"), re.MULTILINE)
    words = [word.strip(" `") for row in rows if row not in ("word", "---") for word in row.split(",")]
    assert sorted({word for word in words if words.count(word) > 1}) == []


def test_the_recommended_method_is_one():
    assert RECOMMENDED in METHODS


@pytest.mark.parametrize("word", BANNED)
def test_given_up_words_occur_nowhere(word):
    pattern = re.compile(BANNED[word], re.IGNORECASE)
    found = [
        f"{name}:{text[: hit.start()].count(chr(10)) + 1}"
        for name, text in sources().items()
        for hit in pattern.finditer(text)
    ]
    assert found == []
