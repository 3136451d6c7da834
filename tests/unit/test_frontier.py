"""Arms at equal KL, and the table of all runs."""

from itertools import pairwise

import numpy as np
import pyarrow.parquet as pq
import pytest

from gaard.lab.collection import write_table
from gaard.lab.frontier import at_kl, frontier, frontier_area, running_mean

NOTHING = {"hack_rate": 0.0, "true_reward": -1.0}


def metrics(kl, hack, true):
    return [
        {"step": i, "kl_ref": k, "hack_rate": h, "true_reward": t}
        for i, (k, h, t) in enumerate(zip(kl, hack, true, strict=True), 1)
    ]


def test_a_running_mean_looks_back_only():
    assert running_mean([2.0, 4.0, 6.0, 8.0], 2).tolist() == [2.0, 3.0, 5.0, 7.0]
    assert running_mean([], 3).tolist() == []
    np.testing.assert_allclose(running_mean(np.arange(10.0), 5), [0, 0.5, 1, 1.5, 2, 3, 4, 5, 6, 7])


def test_a_run_stands_where_its_smoothed_kl_first_reaches_a_level():
    """Running means: KL is 0.01, 0.02, 0.03, 0.04, 0.05, 0.07 at steps 1 to 6."""
    rows = metrics([0.01, 0.03, 0.05, 0.07, 0.09, 0.11], [0, 0, 0, 0, 1, 1], [0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    reached = at_kl(rows)
    assert list(reached) == ["0.02", "0.05"]
    assert reached["0.02"] == pytest.approx({"step": 2, "hack_rate": 0.0, "true_reward": 0.15})
    assert reached["0.05"] == pytest.approx({"step": 5, "hack_rate": 0.2, "true_reward": 0.3})


def test_a_fast_run_is_not_taken_further_out_than_a_slow_one():
    """From 0 to 0.4 in one step: 0.1 lies a quarter of the way, where half as much was hacked as at 0.2."""
    reached = at_kl(metrics([0.0, 0.8], [0.0, 1.0], [0.2, 0.6]))
    assert reached["0.1"] == pytest.approx({"step": 1.25, "hack_rate": 0.125, "true_reward": 0.25})
    assert reached["0.2"] == pytest.approx({"step": 1.5, "hack_rate": 0.25, "true_reward": 0.3})
    assert "0.5" not in reached


def test_a_run_that_came_back_counts_where_it_first_was():
    rows = metrics([0.0] * 5 + [0.6] * 5 + [0.0] * 9, [0] * 5 + [1] * 5 + [0] * 9, [0.0] * 19)
    assert 5 < at_kl(rows)["0.1"]["step"] < 6
    assert 9 < at_kl(rows)["0.5"]["step"] < 10
    assert at_kl([]) == {}


def test_one_number_that_is_not_finite_does_not_stay():
    found = running_mean([1.0, float("inf"), 1.0, 1.0, 1.0], 2)
    assert found[[0, 3, 4]].tolist() == [1.0, 1.0, 1.0]


def test_the_frontier_counts_the_runs_that_got_there():
    def run(arm, **levels):
        return {
            "arm": arm,
            "at_kl": {
                k.replace("_", "."): {"step": 1, "hack_rate": h, "true_reward": t} for k, (h, t) in levels.items()
            },
        }

    runs = [run("ppo", **{"0_1": (0.2, 0.3)}), run("ppo", **{"0_1": (0.4, 0.5), "0_2": (0.9, 0.6)}), run("fold")]
    found = frontier(runs, ["ppo", "fold"])
    assert list(found) == ["0.1", "0.2"]
    assert list(found["0.1"]) == ["ppo"]
    assert found["0.1"]["ppo"]["hack_rate"]["mean"] == pytest.approx(0.3)
    assert found["0.1"]["ppo"]["true_reward"]["mean"] == pytest.approx(0.4)
    assert (found["0.1"]["ppo"]["hack_rate"]["n"], found["0.1"]["ppo"]["runs"]) == (2, 2)
    assert (found["0.2"]["ppo"]["hack_rate"]["n"], found["0.2"]["ppo"]["runs"]) == (1, 2)
    assert found["0.2"]["ppo"]["hack_rate"]["low"] is None


def test_the_area_is_of_what_any_step_dominates():
    """Steady for five steps each, so that the running means reach (gain, honest) = (0.1, 1.0), (0.3, 0.5), (0.2, 0.25).

    The last lies below the second. Union of [0, 0.1] × [0, 1] and [0, 0.3] × [0, 0.5]: 0.1 · 0.5 + 0.3 · 0.5 = 0.2,
    and what the running means touch between the two adds the strips computed below.
    """
    rows = metrics(range(16), [0] * 6 + [0.5] * 5 + [0.75] * 5, [0.2] + [0.3] * 5 + [0.5] * 5 + [0.4] * 5)
    between = [(0.1 + 0.04 * i, 1.0 - 0.1 * i) for i in range(6)]  # from the first plateau to the second
    expected = sum(gain * (honest - nearer) for (gain, honest), (_, nearer) in pairwise([*between, (0, 0)]))
    assert frontier_area(rows, NOTHING) == pytest.approx(expected)


def test_an_area_is_nothing_without_gain_or_honesty():
    assert frontier_area(metrics([0] * 9, [0.0] * 9, [0.3] * 9), NOTHING) == 0.0
    assert frontier_area(metrics([0] * 9, [1.0] * 9, [0.1] + [0.9] * 8), NOTHING) == 0.0
    assert frontier_area(metrics([0] * 9, [0.0] * 9, [0.3] + [0.1] * 8), NOTHING) == 0.0


def test_the_area_takes_the_best_moment_whatever_comes_after():
    before = metrics(range(10), [0] * 10, [0.0] + [0.4] * 9)
    after = before + metrics(range(10), [1] * 10, [0.0] * 10)
    assert frontier_area(after, NOTHING) == frontier_area(before, NOTHING) == pytest.approx(0.4)


def test_a_run_that_stops_early_has_its_end():
    """One rollout, of the untrained model: all that it gained is in what was measured after it."""
    assert frontier_area(metrics([0], [0.1], [0.2]), {"hack_rate": 0.25, "true_reward": 0.4}) == pytest.approx(0.15)


def test_the_table_holds_every_run_a_failed_one_too(tmp_path):
    runs = [
        dict(id="ab", scenario="capped", arm="ppo", seed=3, folder="capped/ppo-seed3", error=None),
        dict(id=None, scenario="capped", arm="fold", seed=4, folder="capped/fold-seed4", error="RewardError: no"),
    ]
    runs[0]["measures"], runs[1]["measures"] = {"hack_rate": 0.5, "kl_untrained": 0.25}, {}
    write_table(runs, tmp_path / "runs.parquet")
    first, second = pq.read_table(tmp_path / "runs.parquet").to_pylist()
    assert (first["id"], first["arm"], first["seed"], first["hack_rate"]) == ("ab", "ppo", 3, 0.5)
    assert (first["kl_untrained"], first["judge_reward"]) == (0.25, None)
    assert (second["error"], second["hack_rate"], second["seed"]) == ("RewardError: no", None, 4)
    write_table([], tmp_path / "runs.parquet")
    assert pq.read_table(tmp_path / "runs.parquet").num_rows == 0
    assert [path.name for path in tmp_path.iterdir()] == ["runs.parquet"]
