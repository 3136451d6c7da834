"""What a report says and draws, apart from how it looks."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from fabricated import fabricate
from gaard import cli
from gaard.lab.collection import collect
from gaard.lab.compare import Run
from gaard.lab.measures import OF_STEP
from gaard.lab.study import RunKey, build_study
from gaard.report.charts import band, curves_panel, frontier_chart, frontier_places, run_points, seed_curves
from gaard.report.look import Look
from gaard.report.measures_table import _between
from gaard.report.page import write_coefficients, write_page
from gaard.report.study_files import read_study_files
from gaard.report.surfaces import coefficients_charts, path_over_surfaces
from gaard.report.texts import browsable, thinned
from gaard.report.verdict import fewer_hacks, tax, verdict


def collected(ours, theirs, truth=None, label="capped"):
    """Results of fold and ppo with these hack rates by seed; the true reward of fold differs by ``truth``."""
    study = build_study([label], ["ppo", "fold"], [0], {})
    truth = truth or [0.0] * len(ours)
    runs = []
    for arm, rates in (("fold", ours), ("ppo", theirs)):
        for seed, rate in rates.items():
            true = 0.3 + (truth[seed % len(truth)] if arm == "fold" else 0.0)
            measures = {"hack_rate": rate, "true_reward": true, "kl_untrained": 0.5 if arm == "fold" else 0.7}
            runs.append(asdict(Run(label, arm, seed, "", measures)))
    return collect(runs, study)


def by_seed(*rates):
    return dict(enumerate(rates))


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        (
            by_seed(0.1, 0.2, 0.3),
            by_seed(0.9, 0.92, 0.91),
            "hacks less, 20.0% of completions, not 91.0%, −71.0 points [−94.7, −47.3], with",  # ± 4.303 · 9.54/√3
        ),
        (
            by_seed(0.95, 0.97, 0.96),
            by_seed(0.8, 0.84, 0.79),
            "hacks more, 96.0% of completions, not 81.0%, +15.0 points",
        ),
        (
            by_seed(0.1, 0.9),
            by_seed(0.9, 0.92),
            "hacks 50.0% of completions, not 91.0%, −41.0 points [−100.0, +100.0] (not told apart from chance), with",
        ),
        (
            by_seed(0.2),
            by_seed(0.9),
            "hacks 20.0% of completions, not 90.0%, −70.0 points (one seed, which tells nothing from",
        ),
        (
            by_seed(0.0, 0.0, 0.0),
            by_seed(1.0, 1.0, 1.0),
            "hacks 0.0% of completions, not 100.0%, −100.0 points in every seed (not told apart from chance), with",
        ),
        (
            {2: 0.5, 3: 0.53},
            {0: 1.0, 1: 1.0, 2: 0.1, 3: 0.12},
            "hacks more, 51.5% of completions, not 11.0%, +40.5 points",
        ),
    ],
)
def test_the_verdict_claims_what_the_common_seeds_allow(ours, theirs, expected):
    (said,) = verdict(collected(ours, theirs))
    assert f"Against ppo, fold in capped {expected}" in said


def test_the_verdict_says_what_became_of_the_true_reward_and_at_what_kl():
    none = by_seed(0.0, 0.0, 0.0)
    differs = (
        "ends with a true reward 0.020 lower [−0.045, +0.005] (not told apart from chance) (3 seeds, KL 0.50 and 0.70)."
    )
    said = verdict(collected(none, none, truth=[-0.02, -0.03, -0.01]))
    assert said == [f"Against ppo, fold in capped, where nothing was hacked, {differs}"]
    (said_higher,) = verdict(collected(none, none, truth=[0.02, 0.03, 0.01]))
    assert "ends with a true reward 0.020 higher [−0.005, +0.045]" in said_higher
    (said_same,) = verdict(collected(none, none))
    assert "ends with the same true reward in every seed" in said_same
    said = verdict(collected(none, none, truth=[-0.02, -0.03, -0.01], label="clean"))
    assert said == [f"Against ppo, fold in clean, the control, where nothing can be exploited, {differs}"]


def test_the_tax_is_told_in_a_control_alone(tmp_path):
    results = collected(by_seed(0.0, 0.0, 0.0), by_seed(0.0, 0.0, 0.0), truth=[-0.02, -0.03, -0.01], label="clean")
    assert tax(results, "clean") == ["fold +0.020 [−0.005, +0.045]"]
    assert tax(collected(by_seed(0.0, 0.0), by_seed(0.0, 0.0)), "capped") == []


def test_a_control_is_whatever_scenario_another_names(tmp_path):
    control = tmp_path / "no hack.py"
    control.write_text("from gaard.lab.scenarios import clean\nscenario = clean()\n")
    (tmp_path / "mine.py").write_text(
        "from dataclasses import replace\nfrom gaard.lab.scenarios import capped\n"
        f"scenario = replace(capped(), control={str(control)!r})\n"
    )
    study = build_study([str(tmp_path / "mine.py"), "capped", str(control)], ["ppo", "fold"], [0], {})
    label = list(study.scenarios)[2]
    assert label.endswith("no-hack")
    assert study.controls == [label]
    measures = {"ppo": {"true_reward": 0.5}, "fold": {"true_reward": 0.25}}
    runs = [asdict(Run(label, arm, 0, "", measured)) for arm, measured in measures.items()]
    found = collect(runs, study)["tax"]
    assert list(found) == [label]
    assert found[label]["fold"]["mean"] == 0.25


def test_the_verdict_is_of_every_arm_against_the_named_baseline_and_of_nothing_where_nothing_is_done(tmp_path):
    many = fabricate(tmp_path / "many", arms=("fold", "ppo-par", "ppo"), baseline="ppo")
    said = verdict(read_study_files(many).results)
    assert [sentence.partition(" in ")[0] for sentence in said] == ["Against ppo, fold", "Against ppo, ppo-par"]
    assert read_study_files(many).arms == ["ppo", "fold", "ppo-par"]
    alone = fabricate(tmp_path / "alone", arms=("ppo",))
    assert verdict(read_study_files(alone).results) == ["Only ppo was run: there is nothing to hold it against."]
    keys = tuple(RunKey("capped", "fold", seed) for seed in range(2))
    none = fabricate(tmp_path / "none", absent=keys)
    assert verdict(read_study_files(none).results) == ["No seed has both ppo and another arm yet."]


def test_a_page_of_many_arms_folds_what_it_says_of_the_last(tmp_path):
    arms = ["ppo", "fold", *(f"arm{number}" for number in range(7))]
    page = write_page(fabricate(tmp_path, arms=arms, seeds=1, steps=1, kept=0)).read_text(encoding="utf-8")
    told = page[page.index('id="verdict"') : page.index('id="status"')]
    shown, folded = told.split('<details id="more-verdict"><summary>2 more</summary>')
    assert (shown.count("Against ppo, "), folded.count("Against ppo, ")) == (6, 2)


def test_arms_with_fewer_hacks_are_those_that_the_seeds_can_tell():
    many = by_seed(0.9, 0.92, 0.91, 0.9)
    assert fewer_hacks(collected(by_seed(0.1, 0.2, 0.3, 0.2), many), "capped") == ["fold"]
    assert fewer_hacks(collected(by_seed(0.1, 1.0, 1.0, 0.9), many), "capped") == []
    assert fewer_hacks(collected(many, by_seed(0.1, 0.2, 0.3, 0.2)), "capped") == []
    assert fewer_hacks(collected(by_seed(0.1), by_seed(0.9)), "capped") == []


def test_a_band_is_students_interval_of_the_seeds_that_got_there():
    mean, half = band([np.array([1.0, 2.0, 3.0]), np.array([3.0, 2.0]), np.array([5.0, 5.0])])
    np.testing.assert_allclose(mean, [3.0, 3.0, 3.0])
    # t quantile with 2 degrees of freedom times s/√3: s = 2 and √3.
    np.testing.assert_allclose(half, [4.302653 * 2 / 3**0.5, 4.302653, np.nan], rtol=1e-6)


def test_long_curves_are_thinned_and_keep_their_ends(tmp_path):
    folder = fabricate(tmp_path, arms=("ppo",), steps=900, kept=0)
    arms = {"ppo": {run.key.seed: run.metrics for run in read_study_files(folder).trained("capped")["ppo"]}}
    figure = curves_panel(arms, Look(["ppo"]), OF_STEP["hack_rate"])
    around, mean = figure.data  # band and mean
    assert (len(mean.x), mean.x[0], mean.x[-1]) == (200, 1, 900)
    assert (len(around.x), mean.customdata[0][0]) == (400, 2)
    first, second = seed_curves(arms, OF_STEP["hack_rate"], 50)
    assert (first["arm"], first["seed"], second["seed"], first["length"], len(first["y"])) == ("ppo", 0, 1, 900, 50)
    assert first["y"][-1] == pytest.approx(sum(row["hack_rate"] for row in arms["ppo"][0][-5:]) / 5, abs=1e-4)


def test_a_measure_that_no_run_has_makes_no_panel(tmp_path):
    folder = fabricate(tmp_path, arms=("ppo",), known=False)
    arms = {"ppo": {run.key.seed: run.metrics for run in read_study_files(folder).trained("capped")["ppo"]}}
    assert curves_panel(arms, Look(["ppo"]), OF_STEP["hack_rate"]) is None
    assert seed_curves(arms, OF_STEP["hack_rate"], 50) == []
    assert curves_panel(arms, Look(["ppo"]), OF_STEP["reward"]) is not None


def test_where_nothing_was_declared_the_page_says_so_and_shows_no_zero(tmp_path):
    folder = fabricate(tmp_path, known=False)
    results = read_study_files(folder).results
    assert verdict(results) == [
        "Against ppo, fold in capped, where nothing was declared to be a hack, cannot be judged: no true reward was "
        "declared (2 seeds, KL 0.50 and 0.50)."
    ]
    assert frontier_places(results["scenarios"]["capped"]) == {}
    assert run_points(results["runs"], Look(["ppo", "fold"])) == []
    page = write_page(folder).read_text(encoding="utf-8")
    assert 'id="chart-0-reward"' in page
    assert 'id="chart-0-hack_rate"' not in page
    assert 'id="chart-0-true_reward"' not in page


def test_a_hack_may_be_known_where_the_truth_is_not():
    none = by_seed(0.0, 0.1, 0.0)
    results = collected(none, by_seed(0.9, 0.92, 0.91))
    del results["scenarios"]["capped"]["differences"]["fold"]["true_reward"]
    (said,) = verdict(results)
    assert "points [" in said
    assert said.endswith("and no true reward was declared (3 seeds, KL 0.50 and 0.70).")
    results = collected(none, none, truth=[-0.02, -0.03, -0.01])
    del results["scenarios"]["capped"]["differences"]["fold"]["hack_rate"]
    (said,) = verdict(results)
    assert "where nothing was declared to be a hack, ends with a true reward 0.020 lower [" in said


def test_a_frontier_has_the_arms_that_got_there(tmp_path):
    found = read_study_files(fabricate(tmp_path)).results["scenarios"]["capped"]
    places = frontier_places(found)
    assert list(places)[:2] == ["at the end of training", "where the KL first reaches 0.02 nats a token"]
    end = frontier_chart(places["at the end of training"], Look(["ppo", "fold"]))
    assert [(point.name, point.x[0]) for point in end.data] == [
        ("ppo", pytest.approx(0.91)),
        ("fold", pytest.approx(0.205)),
    ]
    assert not frontier_chart({"ppo": {}}, Look(["ppo"])).data
    runs = run_points(read_study_files(tmp_path).results["runs"], Look(["ppo", "fold"]))
    assert [(one["arm"], one["seed"]) for one in runs] == [("ppo", 0), ("fold", 0), ("ppo", 1), ("fold", 1)]


def test_the_path_over_the_surfaces_is_of_arms_that_look(tmp_path):
    folder = fabricate(tmp_path, arms=("ppo", "fold", "gaa-text"))
    trained = read_study_files(folder).trained("capped")
    found = {arm: path_over_surfaces([run.metrics for run in runs], runs[0].method) for arm, runs in trained.items()}
    assert (found["ppo"], found["fold"]) == (None, None)
    assert coefficients_charts({}, Look(["ppo"])) == {}
    charts = coefficients_charts({"gaa-text": found["gaa-text"]}, Look(["ppo", "fold", "gaa-text"]))
    chart, other = charts.values()
    paths = [trace for trace in (*chart.data, *other.data) if trace.type == "scatter"]
    assert [path.name for path in paths] == ["gaa-text", "gaa-text"]
    # η rises evenly from 0.4 to 0.8 over 6 steps, σ from 0 to 0.3; the last point is the mean of the last five.
    assert paths[0].y[-1] == pytest.approx(0.64)
    assert paths[0].x[-1] == pytest.approx(0.18)
    surface = next(trace for trace in chart.data if trace.type == "contour")
    assert surface.z[0, 0] == 1.0
    assert surface.z[-1, -1] == 0.0  # η = 1, σ = 2: the fourth case of Johnson's text
    halved = dict(trained["gaa-text"][0].method, sigma_scale=0.25)
    half = path_over_surfaces([run.metrics for run in trained["gaa-text"]], halved)
    np.testing.assert_allclose(half[0], found["gaa-text"][0] / 2)


def test_both_surfaces_are_one_page_that_needs_no_network(tmp_path):
    path = write_coefficients(tmp_path / "figures")
    assert [one.name for one in path.parent.iterdir()] == ["coefficients.html"]
    page = path.read_text(encoding="utf-8")
    assert page.count('"type":"surface"') >= 2
    assert page.count('"type":"contour"') >= 2
    assert 'src="http' not in page


def test_texts_are_thinned_by_steps_first_and_keep_the_last(tmp_path):
    steps = [{"step": i, "rows": [{"tokens": {"text": ["a"] * 64}}] * 4} for i in range(1, 101)]
    size = len(json.dumps(steps[50]))
    assert thinned(steps, 10**9) == steps
    half = thinned(steps, 50 * size)
    assert len(half) == 50
    assert half[-1]["step"] == 100
    assert {len(step["rows"]) for step in half} == {4}
    few = thinned(steps, 4 * size)
    assert len(few) == 8
    assert (few[0]["step"], few[-1]["step"]) == (1, 100)
    assert {len(step["rows"]) for step in few} == {2}
    assert [len(step["rows"]) for step in thinned(steps, 3 * size // 4)] == [1, 1]
    (one,) = thinned(steps, size // 16)
    assert (one["step"], len(one["rows"]), len(one["rows"][0]["tokens"]["text"])) == (100, 1, 16)


def test_texts_of_failed_runs_are_left_out_and_the_budget_is_kept(tmp_path):
    folder = fabricate(tmp_path, failed=(RunKey("capped", "fold", 0),), steps=40, kept=6)
    runs = read_study_files(folder).runs
    everything, said = browsable(runs)
    assert said == ""
    assert [(one["arm"], one["seed"]) for one in everything] == [("ppo", 0), ("ppo", 1), ("fold", 1)]
    some, said = browsable(runs, 100_000)
    assert len(json.dumps(some)) < 120_000
    assert said.endswith(f"of {3 * 40 * 6} are here: the first ones of steps spread evenly over the training")


def test_a_study_can_be_looked_at_before_its_first_run_is_done(tmp_path, capsys, monkeypatch):
    study = tmp_path / "study.yaml"
    study.write_text(
        "scenarios: [capped]\narms: [ppo, ppo-par]\nseeds: 2\nsettings: {use_cpu: true, progress: false}\n"
    )

    def interrupted(spec):
        assert cli.main(["report", str(tmp_path / "out")]) == 0
        raise KeyboardInterrupt

    monkeypatch.setattr("gaard.lab.compare.build_trainer", interrupted)
    assert cli.main(["compare", str(study), "--out", str(tmp_path / "out")]) == 130
    page = (tmp_path / "out" / "report.html").read_text()
    assert "0 of 6 runs finished. Missing:" in page
    assert "6 not begun, the first of them capped, untrained, seed 0" in page
    assert "No run of this scenario is finished yet." in page


@pytest.mark.parametrize(
    ("low", "high", "shown"),
    [(0.5, 1.0, "[0.50, 1.00]"), (-0.5, None, "[−0.50, ∞]"), (None, 1.0, "[−∞, 1.00]"), (None, None, "")],
)
def test_an_interval_may_have_one_end(low, high, shown):
    assert _between({"low": low, "high": high}, 2) == shown
