"""The main scenarios with a pocket model of 0.7 million parameters, which scripts/pocket/other_size.py makes."""

from dataclasses import replace

from gaard.lab.scenarios import SCENARIOS, Scenario


def _small(base: str) -> Scenario:
    summary = f"`{base}` with 0.7 million parameters"
    return replace(SCENARIOS[base](), name=f"small-{base}", summary=summary, model=".cache/small", reach=None)


small_capped = _small("capped")
small_uncapped = _small("uncapped")
small_clean = _small("clean")
