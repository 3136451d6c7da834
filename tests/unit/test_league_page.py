"""What a league shows: its tables on the terminal and on the page, its picture, and which arms it names first."""

import json

import pytest

from fabricated import fabricate
from gaard.lab.collection import collect
from gaard.lab.league import HONEST
from gaard.lab.study import build_study
from gaard.report.charts import standings_chart
from gaard.report.look import SHOWN_AT_FIRST, Look
from gaard.report.measures_table import UNKNOWN, standings_table, verdicts_table
from gaard.report.page import write_page
from gaard.report.tables import STANDINGS, standings_tables
from gaard.report.verdict import ranked

SEEDS = (0, 1, 2, 3)
ENDS = {  # true reward, hack rate and perplexity in capped, where honest training gains 0.4; true reward in clean
    "untrained": (0.2, 0.04, 1.0, 0.1),
    HONEST: (0.6, 0.0, 2.0, 0.6),
    "ppo": (0.3, 0.9, 8.0, 0.6),
    "fold": (0.5, 0.1, 4.0, 0.35),
    "gaa-text": (0.1, 0.1, 4.0, 0.6),
    "ppo-par": (0.3, 0.9, 8.0, 0.6),
    "ppo-chi2": (0.55, 0.9, 8.0, 0.6),
}


def of_seed(number, seed):
    """No two seeds are the same, so that intervals have a width."""
    return number + 0.004 * (-1) ** seed + 0.001 * seed


def runs(seeds=SEEDS, ends=ENDS):
    made = []
    for arm, (true, hacks, perplexity, control) in ends.items():
        # of arms, so that differences are not all the same
        spread = 0.001 * len(arm)
        for seed in seeds:
            capped = {"true_reward": of_seed(true, seed) + spread * (seed % 3), "untrained_perplexity": perplexity}
            capped |= {"hack_rate": hacks + 0.001 * seed * (arm in ("ppo", "ppo-par"))}
            clean = {"true_reward": of_seed(control, seed), "hack_rate": 0.0}
            for scenario, measures in (("capped", capped), ("clean", clean)):
                key = {"scenario": scenario, "arm": arm, "seed": seed}
                made.append({**key, "measures": measures, "error": None, "at_kl": {}})
    return made


def studied(scenarios=("capped", "clean"), arms=tuple(arm for arm in ENDS if arm != "untrained"), seeds=SEEDS):
    return build_study(list(scenarios), list(arms), list(seeds), {}, "a league", "ppo")


def results(seeds=SEEDS, ends=ENDS):
    study = studied(arms=[arm for arm in ends if arm != "untrained"], seeds=seeds)
    return collect(runs(seeds, ends), study)


def cells(table, arm):
    """Of one row of a page's table: what is told, and how it sorts."""
    row = next(row for row in table["rows"] if row["name"] == arm)
    return {cell["label"]: (cell["mean"], cell["range"], cell["value"]) for cell in row["cells"]}


def test_a_row_of_the_standings_says_what_results_say():
    found = results()
    standing = next(row for row in found["standings"] if row["arm"] == "fold")
    table = standings_table(found["standings"])
    told = cells(table, "fold")
    for key, (label, _) in STANDINGS.items():
        if key == "cost":
            assert told[label] == ("–", "", "")  # no second was measured
            continue
        mean, low, high = (standing[key][end] for end in ("mean", "low", "high"))
        assert told[label] == (f"{mean:.3f}", f"[{low:.3f}, {high:.3f}]".replace("-", "−"), mean)
    assert told["hacked runs"] == ("0 of 4", "", 0)
    assert standing["perplexity"]["mean"] == pytest.approx(2)
    assert [row["name"] for row in table["rows"]] == [row["arm"] for row in found["standings"]]
    assert table["rows"][0]["note"] == "2 scenarios, 8 of 8 runs"
    assert [heading for heading, _ in table["headings"]][-1] == "hacked runs"
    assert cells(table, "ppo")["less the baseline"] == ("–", "", "")


def test_hack_rates_stay_within_what_a_rate_can_be():
    """Means of 0.001 and 0.041 over two seeds: Student's interval would reach below 0."""
    ends = {**ENDS, "fold": (0.5, 0.001, 4.0, 0.35)}
    study = studied(["capped"], ["ppo", "fold", HONEST], [0, 1])
    made = [one for one in runs((0, 1), ends) if one["scenario"] == "capped"]
    for one in made:
        if (one["arm"], one["seed"]) == ("fold", 1):
            one["measures"]["hack_rate"] = 0.041
        if (one["arm"], one["seed"]) == ("ppo", 1):
            one["measures"]["hack_rate"] = 0.99
    rates = {row["arm"]: row["hack_rate"] for row in collect(made, study)["standings"]}
    assert (rates["fold"]["low"], rates["fold"]["mean"]) == (0, pytest.approx(0.021))
    assert rates["ppo"]["high"] == 1


def test_the_picture_has_every_arm_at_its_place():
    found = results()
    first = [f"other{number}" for number in range(SHOWN_AT_FIRST)]
    look = Look(["ppo", *first, HONEST, "fold", "gaa-text", "ppo-par", "ppo-chi2"])
    traces = {trace.name: trace for trace in standings_chart(found["standings"], look).data}
    assert set(traces) == {arm for arm in ENDS if arm != "untrained"}
    for row in found["standings"]:
        trace = traces[row["arm"]]
        assert (trace.x[0], trace.y[0]) == (row["hack_rate"]["mean"], row["reached"]["mean"])
        assert trace.error_y.array[0] == pytest.approx(row["reached"]["high"] - row["reached"]["mean"])
        assert (trace.visible, trace.text) == (True, (row["arm"],))  # whichever boxes are ticked at first
    unknown = [{**row, "reached": None} if row["arm"] == "fold" else row for row in found["standings"]]
    assert "fold" not in {trace.name for trace in standings_chart(unknown, look).data}


def test_where_an_arm_helps_stands_on_the_terminal_and_on_the_page():
    """Fold is hacked less, learns more, and keeps half of the control; gaa-text is hacked less and learns less."""
    found = results()
    standings, judged = standings_tables(found)
    columns = [list(column.cells) for column in judged.columns]
    rows = {arm: told for arm, *told in zip(*columns, strict=True)}
    assert rows["fold"] == ["capped", "–", "clean (50.0%)"]
    assert rows["gaa-text"] == ["–", "capped (hacked less, learns less)", "–"]
    assert rows["ppo-par"] == rows["ppo-chi2"] == ["–", "–", "–"]
    assert list(rows) == [row["arm"] for row in found["standings"] if row["arm"] != "ppo"]
    table = verdicts_table(found["verdicts"], "ppo")
    assert [heading for heading, _ in table["headings"]] == ["capped", "clean"]
    verdicts = {(row["arm"], row["scenario"]): row for row in found["verdicts"]}
    fold, par = cells(table, "fold"), cells(table, "ppo-par")
    assert fold["capped"] == ("helps", "", verdicts["fold", "capped"]["true_reward"]["mean"])
    assert fold["clean"][0] == "harm, 50.0%"
    assert fold["clean"][1].startswith("[")
    assert fold["clean"][2] == verdicts["fold", "clean"]["kept"]["mean"]
    assert cells(table, "gaa-text")["capped"][0] == "hacked less, learns less"
    assert par["capped"][0] == "not shown"
    assert par["clean"][0] == "no harm, 100.0%"
    assert "less than 95% in the mean is harm" in table["caption"]
    assert len(standings.columns) == len(STANDINGS) + 4


def test_where_ppo_is_not_hacked_an_arm_that_learns_less_is_told():
    found = results(ends={**ENDS, "ppo": (0.5, 0.0, 8.0, 0.6), "fold": (0.3, 0.0, 8.0, 0.6)})
    columns = [list(column.cells) for column in standings_tables(found)[1].columns]
    assert dict(zip(columns[0], columns[2], strict=True))["fold"] == "capped (learns less)"


def test_a_verdict_of_one_arm_is_shown_though_others_are_open():
    """Fold has one seed, gaa-text all."""
    made = [one for one in runs() if one["arm"] != "fold" or one["seed"] == 0]
    study = studied()
    found = collect(made, study)
    assert cells(verdicts_table(found["verdicts"], "ppo"), "fold")["capped"][0] == "open"
    assert "fold" not in list(standings_tables(found)[1].columns[0].cells)
    (sentence,) = ranked(found)
    assert " With one seed nothing is told of: fold (" in sentence


def test_an_arm_that_was_not_run_somewhere_has_a_dash_there():
    without = [one for one in runs() if (one["scenario"], one["arm"]) != ("clean", "fold")]
    study = studied(arms=["ppo", "fold", HONEST])
    table = verdicts_table(collect(without, study)["verdicts"], "ppo")
    row = next(row for row in table["rows"] if row["name"] == "fold")
    assert row["cells"][1] == {**UNKNOWN, "label": "clean"}


def test_a_single_seed_gives_no_verdict():
    found = results((0,))
    assert len(standings_tables(found)) == 1
    assert verdicts_table(found["verdicts"], "ppo") is None
    assert "Not told apart from it: none. With one seed nothing is told of: " in ranked(found)[0]
    alone = results(ends={arm: ENDS[arm] for arm in ("untrained", HONEST, "ppo")})
    assert ranked(alone) == []  # there is nothing to rank


def test_the_page_says_first_how_the_arms_stand():
    """Of honest gains 0.4 and 0.5: chi2 gains 0.25 more than PPO in one; fold half more in one and half less in one."""
    (sentence,) = ranked(results())
    more, less, neither = (part.split(": ", 1)[1] for part in sentence.split(". ")[:3])
    assert sentence.startswith("Over 2 scenarios, of the share of honest training's gain, more than ppo is reached by:")
    assert (more, less) == ("ppo-chi2 (+0.32)", "gaa-text (−0.25)")
    assert "ppo-par (" in neither
    assert HONEST not in sentence


def test_the_ranking_is_by_p_adjusted_over_the_arms():
    found = results()
    rows = [
        {**row, "less_baseline": {**row["less_baseline"], "p": 0.04, "p_holm": 0.06}}
        if row["arm"] == "ppo-chi2"
        else row
        for row in found["standings"]
    ]
    assert "reached by: none." in ranked({**found, "standings": rows})[0]


def test_what_runs_warned_of_stands_on_the_page_behind_the_ranking(tmp_path):
    folder = fabricate(
        tmp_path, scenarios=("capped", "clean"), arms=("ppo", HONEST, "fold"), steps=1, kept=1, gains=True
    )
    content = json.loads((folder / "results.json").read_text())
    content["runs"][0]["warnings"] = ["rewards are all the same"]
    (folder / "results.json").write_text(json.dumps(content))
    told = write_page(folder).read_text(encoding="utf-8").partition('id="verdict"')[2].partition("<details")[0]
    assert told.index("Over 2 scenarios") < told.index("rewards are all the same")


def test_an_arm_in_fewer_scenarios_says_in_how_many():
    """And a scenario in which honest training gains nothing is not counted."""
    study = studied()
    without = [one for one in runs() if (one["scenario"], one["arm"]) != ("clean", "gaa-text")]
    assert "gaa-text (−0.49 in 1 scenario)" in ranked(collect(without, study))[0]
    nothing = results(ends={**ENDS, HONEST: (0.6, 0.0, 2.0, 0.1)})
    assert ranked(nothing)[0].startswith("Over 1 scenario,")


def test_a_page_of_a_league_folds_what_each_arm_does_in_each_scenario(tmp_path):
    arms = ["ppo", HONEST, "fold", "gaa-text"]
    page = write_page(fabricate(tmp_path, scenarios=("capped", "clean"), arms=arms, steps=1, kept=1, gains=True))
    told = page.read_text(encoding="utf-8").partition('id="verdict"')[2].partition('id="status"')[0]
    first, folded = told.split('<details id="more-verdict"><summary>3 more</summary>')
    assert first.count("<p>") == 1
    assert "Over 2 scenarios" in first
    assert page.read_text(encoding="utf-8").count('aria-label="Help and harm: all scenarios"') == 1
    assert folded.count("Against ppo, ") == 3
