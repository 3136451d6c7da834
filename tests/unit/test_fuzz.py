"""Bad input, a little of each kind: gaard's own errors come out, and no others; `make fuzz` feeds more."""

import json
import re

import pytest
from fuzz import targets
from hypothesis import HealthCheck, Phase, given, settings

FEW = {"results": 1, "rows": 2, "checkpoint": 6, "signed-state": 6, "study-results": 10, "taken-up": 2}
FEW["signed-weights"] = 6


@pytest.fixture(autouse=True)
def _here(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # and back: a target works in a folder of its own


@pytest.mark.parametrize("name", targets.TARGETS)
def test_only_documented_errors_come_out(name):
    call, inputs = targets.TARGETS[name]

    @settings(
        max_examples=FEW.get(name, 25),
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(inputs)
    def feed(case):
        call(case)

    feed()


CASES = [  # what fuzzing has found, and what was mended then
    ("yaml", b"a: 2026-13-45"),
    ("yaml", b"a: !!bool x"),
    ("yaml", b"a: &a [*a]"),
    ("study-results", {"study": {}, "runs": [], "tax": {}, "scenarios": None, "baseline": "ppo"}),
    ("signed-state", ("step", "x")),
    ("signed-state", ("generators", {})),
    ("signed-state", ("hashes", {"/dev/zero": "0"})),
    ("rows", ("samples.jsonl", 0, "2", "x")),
]


@pytest.mark.parametrize(("name", "case"), CASES)
def test_what_fuzzing_found_stays_mended(name, case):
    targets.TARGETS[name][0](case)


def test_the_headers_that_are_made_up_get_past_the_first_check():
    """Else the target would try nothing but the version."""
    seen = []

    @settings(max_examples=200, deadline=None, database=None, derandomize=True)
    @given(targets.GGUF)
    def feed(content):
        path = targets.written("x.gguf", b"GGUF" + content)
        try:
            targets.check_header(path)
            seen.append("whole")
        except ValueError as error:
            seen.append(re.sub(r"[\d,]+", "N", str(error)))

    feed()
    assert seen.count("whole") > 10
    assert len(set(seen)) > 5


def test_a_checkpoint_that_is_believed_though_changed_is_a_finding(monkeypatch):
    def believed(path):
        return json.loads((path / "state.json").read_text())

    monkeypatch.setattr("gaard.training.checkpoint.verified_state", believed)
    with pytest.raises(AssertionError):
        targets.checkpoint((1, [(0.9, 2, b"xy")]))


def test_a_target_sees_an_error_that_is_not_gaards_own():
    with pytest.raises(ZeroDivisionError), targets.documented():
        1 / 0  # noqa: B018
