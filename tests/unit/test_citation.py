"""CITATION.cff says how gaard is cited: its version is the package's, and the method's author is named."""

import re

import pytest
import yaml

from gaard import __version__
from pages import PROJECT, ROOT

CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
# Of the schema of version 1.2.0, what may stand at the top; what has to; and what has to in a reference.
KEYS = {
    *("abstract", "authors", "cff-version", "commit", "contact", "date-released", "doi", "identifiers", "keywords"),
    *("license", "license-url", "message", "preferred-citation", "references", "repository", "repository-artifact"),
    *("repository-code", "title", "type", "url", "version"),
}
NEEDED = {"authors", "cff-version", "message", "title"}
OF_REFERENCE = {"authors", "title", "type"}


def test_it_is_of_version_1_2_0_of_the_format():
    assert CITATION["cff-version"] == "1.2.0"
    assert set(CITATION) >= NEEDED
    assert set(CITATION) <= KEYS
    assert CITATION["type"] == "software"


def test_it_cites_the_package_as_it_is():
    assert CITATION["version"] == __version__
    assert CITATION["license"] == PROJECT["license"]
    assert CITATION["authors"] == PROJECT["authors"]
    assert set(CITATION["keywords"]) <= set(PROJECT["keywords"])


def test_the_method_is_cited_as_johnsons():
    [method] = CITATION["references"]
    assert set(method) >= OF_REFERENCE
    assert method["authors"] == [{"family-names": "Johnson", "given-names": "Sam"}]
    assert re.fullmatch(r"https://\S+", method["url"])


@pytest.mark.parametrize("people", [CITATION["authors"], *(one["authors"] for one in CITATION["references"])])
def test_authors_are_persons_or_bodies(people):
    assert all(set(one) in ({"name"}, {"family-names", "given-names"}) for one in people)
