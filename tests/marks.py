"""Which of many cases are for every day."""

from collections.abc import Collection, Mapping
from typing import Any

import pytest


def slow_but(keep: Collection[str], cases: Mapping[str, Any]) -> list[Any]:
    """Cases by their ids, all slow but some.

    Args:
        keep: Ids of those that every test run has.
        cases: Id → what the test gets; a tuple for several parameters.
    """
    assert set(keep) <= set(cases)
    given = {name: case if isinstance(case, tuple) else (case,) for name, case in cases.items()}
    marks = {name: () if name in keep else pytest.mark.slow for name in cases}
    return [pytest.param(*case, id=name, marks=marks[name]) for name, case in given.items()]
