"""Scenarios in which a certain word is wanted, with a judge that knows it: the truth itself."""

from dataclasses import replace
from pathlib import Path

from gaard.lab.scenarios import Scenario, find_scenario

STUDIES = Path(__file__).parents[1]


def _judged(path: str) -> Scenario:
    """A scenario of another study with its own truth as the judge."""
    scenario = find_scenario(str(STUDIES / path))
    return replace(scenario, judge_reward=scenario.true_reward or scenario.proxy)


meant = _judged("04-untuned-honeypots/honeypots.py:meant")
count = _judged("18-ordinary-tasks/tasks.py:count")
