"""Several runs at once: the same results as one after another, and nothing lost when one goes wrong."""

import json
import os
from functools import partial

import pytest

from gaard.errors import ConfigError, GaardError
from gaard.lab.compare import compare
from gaard.lab.engine import execute

SHORT = {
    "scenario": "capped",
    "max_steps": 3,
    "batch_size": 8,
    "num_mini_batches": 2,
    "eval_completions": 16,
    "progress": False,
    "use_cpu": True,
}
FLAWED = """
import os
calls = 0
def flawed(completions, **_):
    global calls
    calls += 1
    if calls == 3:
        raise ValueError("mould")
    return [1.0 * len(text) for text in completions]
"""


def double(x: int) -> int:
    return 2 * x


def die() -> None:
    os._exit(1)


def without_seconds(results):
    kept = json.loads(json.dumps(results))
    for arm in kept["arms"].values():
        arm.pop("seconds_per_step", None)
    for run in kept["runs"]:
        run["measures"].pop("seconds_per_step", None)
    return kept


def test_every_task_is_called_once():
    tasks = [partial(double, i) for i in range(7)]
    assert sorted(execute(tasks, 2)) == [(i, 2 * i) for i in range(7)]


def test_a_process_that_dies_is_told_of():
    with pytest.raises(GaardError, match="one of 2 processes died, perhaps for lack of memory: try --jobs 1"):
        list(execute([die, die], 2))


def test_what_a_task_raises_is_raised():
    with pytest.raises(TypeError):
        list(execute([partial(double, None)], 2))


def test_two_at_once_give_what_one_at_a_time_gives(tmp_path, monkeypatch):
    told = []
    one = compare(SHORT, ["ppo", "gaa"], [0, 1], tmp_path / "one")
    two = compare(SHORT, ["ppo", "gaa"], [0, 1], tmp_path / "two", jobs=2, announce=told.append)
    assert without_seconds(one) == without_seconds(two)
    for run in one["runs"]:
        for name in ("metrics.jsonl", "samples.jsonl"):
            first, second = (tmp_path / folder / run["folder"] / name for folder in ("one", "two"))
            assert first.exists() == second.exists()
            assert run["arm"] == "untrained" or first.read_bytes() == second.read_bytes()
    assert json.loads((tmp_path / "two" / "results.json").read_text()) == two
    assert sorted(told)[1:] == sorted(told[1:])
    assert sum(text.endswith("done") for text in told) == 5


def test_a_run_that_fails_is_named_and_the_others_go_on(tmp_path):
    (tmp_path / "rewards.py").write_text(FLAWED)
    settings = {k: v for k, v in SHORT.items() if k != "scenario"} | {
        "prompts": ["The movie is"],
        "reward_funcs": [f"{tmp_path}/rewards.py:flawed"],
        "eval_completions": 8,
    }
    results = compare(settings, ["ppo"], [0], tmp_path / "out", jobs=2)
    assert [run["error"] is None for run in results["runs"]] == [True, False]
    assert "mould" in results["runs"][1]["error"]


@pytest.mark.parametrize("jobs", [0, -1, 1.5, True])
def test_a_number_of_jobs_that_makes_no_sense(jobs, tmp_path):
    with pytest.raises(ConfigError, match=f"jobs={jobs!r} must be a whole number"):
        compare(SHORT, ["ppo"], [0], tmp_path, jobs=jobs)
