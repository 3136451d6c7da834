"""Bad input, a little of each kind: gaard's own errors come out, and no others; `make fuzz` feeds more."""

import pytest
from fuzz import targets
from hypothesis import HealthCheck, Phase, given, settings

FEW = {"results": 1, "rows": 2, "checkpoint": 6, "signed-state": 6, "study-results": 10}


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


def test_a_target_sees_an_error_that_is_not_gaards_own():
    with pytest.raises(ZeroDivisionError), targets.documented():
        1 / 0  # noqa: B018
