"""``python -m fuzz.guided yaml -max_total_time=3600``: a target by atheris, which looks for new paths.

It needs atheris, which is no part of gaard's environment: pip install atheris. What follows the target is libFuzzer's.
"""

import sys

import atheris
from hypothesis import HealthCheck, given, settings

with atheris.instrument_imports(include=["gaard", "yaml"]):
    from fuzz.targets import TARGETS


def main() -> None:
    """Run until an error comes out that is not gaard's own, or the time is up."""
    name, *options = sys.argv[1:]
    call, inputs = TARGETS[name]

    @settings(deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(inputs)
    def feed(case: object) -> None:
        call(case)

    atheris.Setup([sys.argv[0], *options], feed.hypothesis.fuzz_one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
