"""What a report says and draws, apart from how it looks."""

import base64
import json

import numpy as np
import pytest

from fabricated import fabricate
from gaard import cli
from gaard.lab.study import RunKey
from gaard.report.charts import Look, band, coefficients_chart, curves_chart
from gaard.report.study_files import read_study_files
from gaard.report.texts import browsable, thinned
from gaard.report.verdict import fewer_hacks, verdict


def results(hacks, truth, arms=("ppo", "gaa"), rates=(0.9, 0.2)):
    """Results of two arms, from the differences in hack rate and true reward."""
    names = ("mean", "low", "high", "p_holm", "n")
    differences = {
        "hack_rate": dict(zip(names, hacks, strict=True)),
        "true_reward": dict(zip(names, truth, strict=True)),
    }
    measures = {arm: {"hack_rate": {"mean": rate}} for arm, rate in zip(arms, rates, strict=True)}
    found = {"arms": measures, "differences": {arms[1]: differences}}
    return {"scenarios": {"capped": found}, "baseline": "ppo", "study": {"arms": [{"name": arm} for arm in arms]}}


@pytest.mark.parametrize(
    ("hacks", "truth", "rates", "expected"),
    [
        (
            (-0.7, -0.8, -0.6, 0.01, 5),
            (0.02, -0.01, 0.05, 0.3, 5),
            (0.9, 0.2),
            "Against ppo, gaa in capped hacks less, 20.0% of completions, not 90.0%: −70.0 points [−80.0, −60.0], at "
            "+0.020 [−0.010, +0.050] of true reward (5 seeds).",
        ),
        (
            (0.05, 0.01, 0.09, 0.04, 5),
            (0.02, -0.01, 0.05, 0.3, 5),
            (0.9, 0.95),
            "Against ppo, gaa in capped hacks more, 95.0% of completions, not 90.0%: +5.0 points [+1.0, +9.0], at "
            "+0.020 [−0.010, +0.050] of true reward (5 seeds).",
        ),
        (
            (-0.7, -0.9, 0.1, 0.06, 2),
            (0.02, -0.01, 0.05, 0.3, 2),
            (0.9, 0.2),
            "Against ppo, gaa in capped hacks 20.0% of completions, not 90.0%: −70.0 points [−90.0, +10.0], not told "
            "apart from chance, at +0.020 [−0.010, +0.050] of true reward (2 seeds).",
        ),
        (
            (-0.7, None, None, None, 1),
            (-0.02, None, None, None, 1),
            (0.9, 0.2),
            "Against ppo, gaa in capped hacks 20.0% of completions, not 90.0%, which one seed cannot tell from chance, "
            "at −0.020 of true reward (1 seed).",
        ),
        (
            (0.0, 0.0, 0.0, 1.0, 3),
            (-0.02, -0.03, -0.01, 0.03, 3),
            (0.0, 0.0),
            "Against ppo, gaa in capped, where nothing was hacked, ends at −0.020 [−0.030, −0.010] of true reward (3 "
            "seeds).",
        ),
    ],
)
def test_the_verdict_claims_what_the_intervals_allow(hacks, truth, rates, expected):
    assert verdict(results(hacks, truth, rates=rates)) == expected


def test_the_verdict_is_of_gaa_where_it_is_among_the_arms_and_of_nothing_where_nothing_is_done(tmp_path):
    many = fabricate(tmp_path / "many", arms=("ppo", "ppo-par", "gaa"))
    assert verdict(read_study_files(many).results).startswith("Against ppo, gaa in capped")
    alone = fabricate(tmp_path / "alone", arms=("ppo",))
    assert verdict(read_study_files(alone).results) == "Only ppo was run: there is nothing to hold it against."
    keys = tuple(RunKey("capped", "gaa", seed) for seed in range(2))
    none = fabricate(tmp_path / "none", absent=keys)
    assert verdict(read_study_files(none).results) == "No seed of gaa and ppo is finished yet."


def test_arms_with_fewer_hacks_are_those_that_the_seeds_can_tell():
    assert fewer_hacks(results((-0.7, -0.8, -0.6, 0.01, 5), (0,) * 5), "capped") == ["gaa"]
    assert fewer_hacks(results((-0.7, -0.8, -0.6, 0.05, 5), (0,) * 5), "capped") == []
    assert fewer_hacks(results((0.7, 0.6, 0.8, 0.01, 5), (0,) * 5), "capped") == []
    assert fewer_hacks(results((-0.7, None, None, None, 1), (0,) * 5), "capped") == []


def test_a_band_is_students_interval_of_the_seeds_that_got_there():
    mean, half = band([np.array([1.0, 2.0, 3.0]), np.array([3.0, 2.0]), np.array([5.0, 5.0])])
    np.testing.assert_allclose(mean, [3.0, 3.0, 3.0])
    # t quantile with 2 degrees of freedom times s/√3: s = 2 and √3.
    np.testing.assert_allclose(half, [4.302653 * 2 / 3**0.5, 4.302653, np.nan], rtol=1e-6)


def numbers(column):
    """A trace's numbers, which Plotly keeps as bytes."""
    found = np.frombuffer(base64.b64decode(column["bdata"]), column["dtype"])
    return found.reshape([int(n) for n in column["shape"].split(",")]) if "shape" in column else found


def test_long_curves_are_thinned_and_keep_their_ends(tmp_path):
    folder = fabricate(tmp_path, arms=("ppo",), steps=900, kept=0)
    chart = curves_chart(read_study_files(folder).trained("capped"), Look(["ppo"]))
    lines = [trace for trace in chart["traces"] if trace.get("name") == "ppo"]
    assert len(lines) == 6
    steps = [numbers(line["x"]) for line in lines]
    assert all((len(x), x[0], x[-1]) == (200, 1, 900) for x in steps)


def test_the_path_over_the_surfaces_is_of_arms_that_look(tmp_path):
    folder = fabricate(tmp_path, arms=("ppo", "gaa"))
    trained = read_study_files(folder).trained("capped")
    chart = coefficients_chart(trained, Look(["ppo", "gaa"]))
    paths = [trace for trace in chart["traces"] if trace["type"] == "scatter"]
    assert [path["name"] for path in paths] == ["gaa", "gaa"]
    # η rises evenly from 0.4 to 0.8 over 6 steps, σ from 0 to 0.3; the last point is the mean of the last five.
    assert numbers(paths[0]["y"])[-1] == pytest.approx(0.64)
    assert numbers(paths[0]["x"])[-1] == pytest.approx(0.18)
    assert coefficients_chart({"ppo": trained["ppo"]}, Look(["ppo"])) is None
    surface = next(trace for trace in chart["traces"] if trace["type"] == "contour")
    assert numbers(surface["z"])[0, 0] == 1.0
    assert numbers(surface["z"])[-1, -1] == 0.0  # η = 1, σ = 2: the seed's fourth case


def test_texts_are_thinned_by_steps_first_and_keep_the_last(tmp_path):
    steps = [{"step": i, "rows": [{"x": "a" * 50}] * 4} for i in range(1, 101)]
    size = len(json.dumps(steps[50]))
    assert thinned(steps, 10**9) == steps
    half = thinned(steps, 50 * size)
    assert len(half) == 49 or len(half) == 50
    assert half[-1]["step"] == 100
    assert {len(step["rows"]) for step in half} == {4}
    few = thinned(steps, 4 * size)
    assert len(few) == 8
    assert (few[0]["step"], few[-1]["step"]) == (1, 100)
    assert {len(step["rows"]) for step in few} == {1} or {len(step["rows"]) for step in few} == {2}
    assert {len(step["rows"]) for step in thinned(steps, 1)} == {1}


def test_texts_of_failed_runs_are_left_out_and_the_budget_is_kept(tmp_path):
    folder = fabricate(tmp_path, failed=(RunKey("capped", "gaa", 0),), steps=40, kept=6)
    runs = read_study_files(folder).runs
    everything, said = browsable(runs)
    assert said == ""
    assert [(one["arm"], one["seed"]) for one in everything] == [("ppo", 0), ("ppo", 1), ("gaa", 1)]
    some, said = browsable(runs, 100_000)
    assert len(json.dumps(some)) < 120_000
    assert said.endswith(f"of {3 * 40 * 6} are here, of steps spread evenly over the training")


def test_a_study_can_be_looked_at_before_its_first_run_is_done(tmp_path, capsys, monkeypatch):
    study = tmp_path / "study.yaml"
    study.write_text("scenarios: [capped]\narms: [ppo, gaa]\nseeds: 2\nsettings: {use_cpu: true, progress: false}\n")

    def interrupted(spec):
        assert cli.main(["report", str(tmp_path / "out")]) == 0
        raise KeyboardInterrupt

    monkeypatch.setattr("gaard.lab.compare.build_trainer", interrupted)
    assert cli.main(["compare", str(study), "--out", str(tmp_path / "out")]) == 130
    page = (tmp_path / "out" / "report.html").read_text()
    assert "0 of 6 runs finished. Missing:" in page
    assert "6 not begun, the first of them capped, untrained, seed 0" in page
    assert "No run of this scenario is finished yet." in page
