"""The scripts beside the studies: what they print of a study whose runs are known."""

import json
import runpy
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from matplotlib.figure import Figure

from gaard.lab.collection import write_table

STUDIES = Path(__file__).parents[2] / "studies"
TOLD = ("hack_rate", "true_reward", "frontier_area", "gold_reward", "entropy", "kl")


def script(name: str):
    return runpy.run_path(str(STUDIES / name))["main"]


def table(
    folder: Path, measures: dict[tuple[str, int], tuple[float, ...]], scenarios: tuple[str, ...] = ("capped",)
) -> Path:
    """The same runs in each scenario: (arm, seed) → as many of ``TOLD`` as there are; none for a run that failed."""
    runs = [
        {
            "id": "",
            "scenario": scenario,
            "arm": arm,
            "seed": seed,
            "folder": f"{scenario}/{arm}-seed{seed}",
            "error": None if values else "no",
            "measures": dict(zip(TOLD, values, strict=False)),
        }
        for scenario in scenarios
        for (arm, seed), values in measures.items()
    ]
    write_table(runs, folder / "runs.parquet")
    return folder / "runs.parquet"


def test_who_is_better_on_both_axes(tmp_path, capsys):
    ours = {("gaa", seed): (0.2 + 0.01 * seed, 0.4, 0.1) for seed in range(3)}
    worse = {("ppo", seed): (0.9 + 0.02 * seed, 0.3 - 0.01 * seed, 0.0) for seed in range(3)}
    better = {("best", seed): (0.1, 0.5 + 0.01 * seed, 0.2) for seed in range(3)}
    traded = {("short", seed): (0.1, 0.3, 0.1) for seed in range(3)}
    script("both_axes.py")(table(tmp_path, ours | worse | better | traded | {("ppo", 7): ()}), "gaa")
    rows = {line.split(" | ")[0].strip("| "): line for line in capsys.readouterr().out.splitlines()}
    assert rows["ppo"].endswith("| gaa |")
    assert "+71.0 points" in rows["ppo"]
    assert rows["best"].endswith("| best |")
    assert rows["short"].endswith("| neither is shown to be |")


def test_means_alone_make_nobody_better_on_both_axes(tmp_path, capsys):
    ours = {("gaa", seed): (0.1, 0.4, 0.1) for seed in range(3)}
    unsure = {("rival", seed): (0.9 if seed else 0.05, 0.2 if seed else 0.45, 0.1) for seed in range(3)}
    script("both_axes.py")(table(tmp_path, ours | unsure), "gaa")
    assert "| neither is shown to be |" in capsys.readouterr().out


def test_a_seed_without_all_scenarios_does_not_count(tmp_path, capsys):
    runs = {(arm, seed): (0.1 * seed, 0.3, 0.1) for arm in ("gaa", "rival") for seed in range(3)}
    path = table(tmp_path, runs, ("capped", "clean"))
    rows = pq.read_table(path).to_pylist()
    pq.write_table(pa.Table.from_pylist(rows[:-1]), path)  # the rival's last seed has `capped` alone
    script("both_axes.py")(path, "gaa")
    assert "| rival | 2 |" in capsys.readouterr().out


def test_an_arm_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SystemExit, match="no arm 'gaa-own': it has gaa"):
        script("both_axes.py")(table(tmp_path, {("gaa", 0): (0.1, 0.2, 0.3)}), "gaa-own")


def test_what_is_no_table_of_that_kind_is_told_in_a_line(tmp_path):
    runs = table(tmp_path, {("gaa", 0): (0.1, 0.2, 0.3)})
    with pytest.raises(SystemExit, match="no Parquet file"):
        script("both_axes.py")(tmp_path, "gaa")
    with pytest.raises(SystemExit, match="no column 'step'"):
        script("at_kl.py")(runs, "capped")


def steps(folder: Path, curves: dict[tuple[str, str], list[dict[str, float]]], reset: int = 0) -> Path:
    """The steps of a study of one seed, as its folder holds them, collected: (scenario, arm) → measures a step."""
    runs = []
    for (scenario, arm), rows in curves.items():
        own = folder / scenario / f"{arm}-seed0"
        own.mkdir(parents=True)
        (own / "config.json").write_text(json.dumps({"reference_reset_steps": reset}))
        rows = [{"step": step, **row} for step, row in enumerate(rows, 1)]
        (own / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        runs.append({"scenario": scenario, "arm": arm, "seed": 0, "folder": f"{scenario}/{own.name}", "error": None})
    untrained = {"arm": "untrained", "folder": "capped/untrained-seed0", "error": None}
    failed = {"arm": "failed", "folder": "capped/failed-seed0", "error": "no"}
    results = {"runs": [*runs, *({"scenario": "capped", "seed": 0} | one for one in (untrained, failed))]}
    (folder / "results.json").write_text(json.dumps(results))
    assert script("steps.py")(folder, folder / "steps.parquet") == sum(map(len, curves.values()))
    return folder / "steps.parquet"


def test_how_hacked_an_arm_is_once_it_is_as_good_as_ppo(tmp_path, capsys):
    """PPO gains 0, 0.05, …, 1 in `clean`, 1 from step 21 on; one arm is twice as fast, one never gets there."""
    curves = {
        (scenario, arm): [
            {"true_reward": 0.5 + min(1.0, speed * i / 20), "hack_rate": hack if scenario == "capped" else 0.0}
            for i in range(30)
        ]
        for arm, speed, hack in (("ppo", 1.0, 0.9), ("fast", 2.0, 0.1), ("slow", 0.5, 0.0))
        for scenario in ("clean", "capped")
    }
    script("as_good_as_ppo.py")(steps(tmp_path, curves))
    told = capsys.readouterr().out
    assert "| `capped` | ppo | 1 of 1 seeds | 23 | 90.0% |" in told  # (0.9 + 0.95 + 1 + 1 + 1) / 5; before, 0.94
    assert "| `capped` | fast | 1 of 1 seeds | 14 | 10.0% |" in told  # (0.9 + 1 + 1 + 1 + 1) / 5
    assert "| `capped` | slow | 0 of 1 seeds | – | – |" in told


def test_arms_at_equal_kl(tmp_path, capsys):
    """KL grows by 0.02 a step, and so do the running means by half of that."""
    curves = {("capped", "ppo"): [{"kl": 0.02 * i, "hack_rate": 0.1 * i, "true_reward": 0.3} for i in range(1, 6)]}
    script("at_kl.py")(steps(tmp_path, curves), "capped")
    told = capsys.readouterr().out
    # At step 4 the mean of 0.02 … 0.08 is 0.05 itself; hack rates 0.1 … 0.4 have the mean 0.25 there.
    assert "| ppo, hack rate | 10.0% | 25.0% | – | – | – | – |" in told
    assert "| ppo, true reward | 0.300 | 0.300 | – | – | – | – |" in told


def test_no_kl_is_claimed_to_a_reference_that_was_reset(tmp_path):
    curves = {("capped", "resets"): [{"kl": 0.1, "hack_rate": 0.1, "true_reward": 0.3}]}
    with pytest.raises(SystemExit, match="no steps of 'capped' whose KL is known"):
        script("at_kl.py")(steps(tmp_path, curves, reset=10), "capped")


def test_a_misspelt_arm_is_named(tmp_path):
    draw = runpy.run_path(str(STUDIES / "at_the_hack.py"))["draw"]
    with pytest.raises(SystemExit, match="no runs of 'pppo'"):
        draw(tmp_path, ["pppo"], tmp_path / "x.png", [])


def test_what_the_tokens_of_the_hack_had(tmp_path, capsys, monkeypatch):
    """Four of them in the first ten steps, one later; the others do not count."""
    own = tmp_path / "ppo-seed0"
    own.mkdir()
    tokens = {
        "text": ["x", "story", "story", "story", "story"],
        "greedy": ["x", "story", "film", "film", "story"],
        "hack": [0, 1, 1, 1, 1],
        "sigma": [9.0, 0.0, 1.5, -2.0, 0.0],
        "a": [9.0, 1.0, 0.5, 1.0, 1.0],
        "b": [9.0, 0.0, -0.5, 0.0, 0.0],
        "advantage": [0.0] * 5,
    }
    late = {name: values[:2] for name, values in tokens.items()}
    rows = [{"step": 10, "hacked": True, "tokens": tokens}, {"step": 11, "hacked": True, "tokens": late}]
    (own / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with_fold = tmp_path / "gaa-seed0"
    with_fold.mkdir()
    turned = {"step": 10, "hacked": True, "tokens": tokens | {"turned": [1.0, 1.0, 0.0, 0.0, 0.0]}}
    honest = turned | {"hacked": False, "tokens": turned["tokens"] | {"hack": [0] * 5, "turned": [1.0] * 5}}
    (with_fold / "samples.jsonl").write_text(json.dumps(turned) + "\n" + json.dumps(honest) + "\n")
    figures = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: figures.append(figure))
    runpy.run_path(str(STUDIES / "at_the_hack.py"))["draw"](tmp_path, ["ppo", "gaa"], tmp_path / "x.png", [])
    greedy = figures[0].axes[1].lines[0]
    assert (greedy.get_xdata().tolist(), greedy.get_ydata().tolist()) == ([7.5, 12.5], [0.5, 1.0])
    told = capsys.readouterr().out
    assert "| ppo | 1 to 10 | 1 of 1 | 4 | 50.0% | 25.0% | 25.0% | 0.875 | −0.125 | – |" in told
    assert "| ppo | 11 to 15 | 1 of 1 | 1 | 100.0% | 0.0% | 0.0% | 1.000 | 0.000 | – |" in told
    assert "| gaa | 1 to 10 | 1 of 2 | 4 | 50.0% | 25.0% | 25.0% | 0.875 | −0.125 | 40.0% |" in told
    assert told.count("| gaa |") == 1  # it has no later steps


def test_some_seeds_at_the_hack(tmp_path, capsys, monkeypatch):
    tokens = {"text": ["story"], "greedy": ["story"], "hack": [1]}
    for seed in (1, 2, 12):
        own = tmp_path / f"ppo-seed{seed}"
        own.mkdir()
        (own / "samples.jsonl").write_text(json.dumps({"step": 1, "hacked": True, "tokens": tokens}) + "\n")
    monkeypatch.setattr(Figure, "savefig", lambda *_, **__: None)
    draw = runpy.run_path(str(STUDIES / "at_the_hack.py"))["draw"]
    for seeds, texts in (([], 3), (["2"], 1), (["1", "12"], 2)):
        draw(tmp_path, ["ppo"], tmp_path / "x.png", seeds)
        assert f"| ppo | 1 to 5 | {texts} of {texts} |" in capsys.readouterr().out
    with pytest.raises(SystemExit, match=r"no runs of 'ppo' with the seeds 3, 4"):
        draw(tmp_path, ["ppo"], tmp_path / "x.png", ["3", "4"])


def test_every_run_is_drawn_and_the_best_arm_stands_above(tmp_path, monkeypatch):
    runs = {
        (arm, seed): values
        for arm, *values in (("hacked", 0.9, 0.45, 0.1), ("learns-nothing", 0.05, 0.3, 0.0), ("best", 0.0, 0.5, 0.2))
        for seed in range(2)
    }
    draw = runpy.run_path(str(STUDIES / "every_run.py"))["draw"]
    figures = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: figures.append(figure))
    drawn = draw(table(tmp_path, runs | {("failed", 7): ()}), tmp_path / "x.png")
    assert drawn == ["best", "learns-nothing", "hacked"]
    dots, means = figures[0].axes[0].lines[0::2], figures[0].axes[0].lines[1::2]
    assert [line.get_xdata().tolist() for line in dots] == [[0.0, 0.0], [0.05, 0.05], [0.9, 0.9]]
    assert [line.get_xdata()[0] for line in means] == pytest.approx([0.0, 0.05, 0.9])
    assert not figures[0].axes[2].lines  # no run of `clean` is there


def test_a_study_without_its_scenarios_is_not_drawn_empty(tmp_path):
    draw = runpy.run_path(str(STUDIES / "every_run.py"))["draw"]
    with pytest.raises(SystemExit, match="no runs of capped, clean, uncapped"):
        draw(table(tmp_path, {("ppo", 0): (0.1, 0.2, 0.3)}, ("dark",)), tmp_path / "x.png")


def test_arms_at_equal_steps(tmp_path, capsys):
    """One arm is 0.1 below PPO throughout; another stopped after two steps, and stays at their mean."""
    honest = [{"true_reward": 0.1 * i, "hack_rate": 0.5} for i in range(1, 5)]
    curves = {
        ("clean", "ppo"): honest,
        ("clean", "behind"): [row | {"true_reward": row["true_reward"] - 0.1} for row in honest],
        ("clean", "stopped"): honest[:2],
    }
    script("at_steps.py")(steps(tmp_path, curves), "clean", [1, 4])
    told = capsys.readouterr().out
    assert "| ppo | 4 | 1 | 50.0% | 0.250 | – |" in told  # (0.1 + 0.2 + 0.3 + 0.4) / 4
    assert "| behind | 1 | 1 | 50.0% | 0.000 | −0.100 |" in told
    assert "| stopped | 4 | 1 | 50.0% | 0.150 | −0.100 |" in told
    (tmp_path / "without").mkdir()
    script("at_steps.py")(steps(tmp_path / "without", {("clean", "alone"): honest}), "clean", [1])
    assert "| alone | 1 | 1 | 50.0% | 0.100 | – |" in capsys.readouterr().out


def test_the_ways_of_the_arms(tmp_path, monkeypatch):
    """Running means of what is known, a run that stopped at its last; nothing of a scenario without hacks."""
    walks = [{"hack_rate": 0.2 * i, "true_reward": 0.1 * i} for i in range(1, 4)]
    curves = {("capped", "ppo"): walks, ("capped", "stopped"): walks[:1]}
    curves[("clean", "ppo")] = [row | {"hack_rate": 0.0} for row in walks]
    path = steps(tmp_path, curves)
    figures = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: figures.append(figure))
    draw = runpy.run_path(str(STUDIES / "paths.py"))["draw"]
    assert draw(path, ["ppo"], tmp_path / "x.png") == {"capped": ["ppo", "stopped"]}
    (panel,) = figures[0].axes
    stopped, _, ppo, end = panel.lines
    assert ppo.get_xydata() == pytest.approx(np.array([[0.2, 0.1], [0.3, 0.15], [0.4, 0.2]]))
    assert end.get_xydata() == pytest.approx(np.array([[0.4, 0.2]]))
    assert stopped.get_xydata() == pytest.approx(np.array([[0.2, 0.1]]))
    assert [text.get_text() for text in panel.texts] == ["stopped"]
    assert [text.get_text() for text in figures[0].legends[0].get_texts()] == ["ppo"]
    for arms, words in ((["pppo"], "no arm 'pppo': it has ppo, stopped"), (["ppo"] * 7, "7 arms: there are colours")):
        with pytest.raises(SystemExit, match=words):
            draw(path, arms, tmp_path / "x.png")


def test_names_of_arms_do_not_lie_upon_each_other_and_all_are_in_the_legend(tmp_path, monkeypatch):
    """Three arms end at one place, at the right edge; an arm is in the second panel only."""
    end = [{"hack_rate": 0.9, "true_reward": 0.3}]
    curves = {("a", name): end for name in ("one", "three", "two")} | {("b", "ppo"): end}
    figures = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: figures.append(figure))
    runpy.run_path(str(STUDIES / "paths.py"))["draw"](steps(tmp_path, curves), ["ppo"], tmp_path / "x.png")
    heights = sorted(text.get_position()[1] for text in figures[0].axes[0].texts)
    assert len(heights) == 3
    assert min(np.diff(heights)) >= 0.009
    assert all(text.get_ha() == "right" for text in figures[0].axes[0].texts)
    assert [text.get_text() for text in figures[0].legends[0].get_texts()] == ["ppo"]


def test_a_run_that_stopped_stays_in_the_mean_where_it_was():
    seeds = {0: [{"kl": 1.0}, {"kl": 3.0}, {"kl": 5.0}], 1: [{"kl": 0.0}]}
    mean = runpy.run_path(str(STUDIES / "paths.py"))["mean_path"](seeds, "kl")
    assert mean.tolist() == [0.5, 1.0, 1.5]  # half of the running means 1, 2, 3


def test_outcomes_of_a_study(tmp_path, capsys):
    """Two seeds an arm, and a third of PPO that nobody is paired with; PPO is hacked in two runs of three."""
    runs = {
        ("ppo", 0): (0.9, 0.3, 0.0, 0.6, 1.0, 0.5),
        ("ppo", 1): (0.7, 0.2, 0.0, 0.6, 2.0, 0.5),
        ("ppo", 2): (0.5, 0.4, 0.0, 0.6, 3.0, 0.5),
        ("gaa", 0): (0.1, 0.4, 0.0),
        ("gaa", 1): (0.1, 0.5, 0.0),
        ("gaa", 2): (),
    }
    path = table(tmp_path, runs, ("capped", "studies-worlds.py-dark"))
    script("outcomes.py")(path, [])
    told = capsys.readouterr().out
    assert told.count("| `capped` |") == told.count("| `dark` |") == 2 + 1  # a row an arm, and one of hacked runs
    ppo = "| 3 | 70.0% [20.3%, 100.0%] | 0.300 [0.052, 0.548] | – | 0.60 | 2.00 [0.00, 4.48] | 0.50 |"
    assert f"| `capped` | ppo {ppo}" in told
    # Differences 0.1 and 0.3; Student's t for two runs is 12.706, and the standard error 0.1.
    assert "| `capped` | gaa | 2 | 10.0% | 0.450 [−0.185, 1.085] | +0.200 [−1.071, +1.471] | – | – | – |" in told
    assert "| `capped` | – | 2 of 3 | 0 of 2 |" in told
    assert "| all | | 4 of 6 | 0 of 4 |" in told


def test_outcomes_of_some_arms(tmp_path, capsys):
    runs = {(arm, 0): (0.9, 0.3, 0.0) for arm in ("ppo", "gaa", "untrained")}
    path = table(tmp_path, runs)
    script("outcomes.py")(path, ["gaa", "untrained"])
    told = capsys.readouterr().out
    assert "| ppo |" not in told
    assert "| `capped` | gaa | 1 | 90.0% | 0.300 | +0.000 |" in told  # against PPO, though that is not shown
    assert "| `capped` | 90% | 1 of 1 |" in told
    with pytest.raises(SystemExit, match="no arm 'gaa-own': it has ppo, gaa, untrained"):
        script("outcomes.py")(path, ["gaa-own"])


def test_outcomes_where_an_arm_did_not_run_and_where_nothing_can_be_hacked(tmp_path, capsys):
    """Four scenarios, PPO in two of them; two are of one name in different files, and keep their whole names."""
    files = ["studies-a.py-dark", "studies-b.py-dark"]
    parts = [({("ppo", 0): (0.9, 0.3), ("gaa", 0): (0.1, 0.4)}, files[:1]), ({("gaa", 0): (0.8, 0.4)}, files[1:])]
    parts += [({("ppo", 0): (0.0, 0.3), ("gaa", 0): (0.0, 0.4)}, ["clean"]), ({("sam", 0): (0.6, 0.1)}, ["that"])]
    tables = []
    for i, (runs, scenarios) in enumerate(parts):
        folder = tmp_path / str(i)
        folder.mkdir()
        tables.append(pq.read_table(table(folder, runs, tuple(scenarios))))
    path = tmp_path / "all.parquet"
    pq.write_table(pa.concat_tables(tables), path)
    script("outcomes.py")(path, [])
    outcomes, hacked = capsys.readouterr().out.split("\n\n")
    assert [line.split(" | ")[:3] for line in outcomes.splitlines()[2:]] == [
        ["| `studies-a.py-dark`", "ppo", "1"],
        ["| `studies-a.py-dark`", "gaa", "1"],
        ["| `studies-b.py-dark`", "gaa", "1"],
        ["| `clean`", "ppo", "1"],
        ["| `clean`", "gaa", "1"],
        ["| `that`", "sam", "1"],
    ]
    assert "| `studies-b.py-dark` | gaa | 1 | 80.0% | 0.400 | – |" in outcomes  # there is no PPO to compare with
    assert hacked.splitlines()[2:] == [
        "| `studies-a.py-dark` | – | 1 of 1 | 0 of 1 | – |",
        "| `studies-b.py-dark` | – | – | 1 of 1 | – |",
        "| `that` | – | – | – | 1 of 1 |",
        "| all | | 1 of 1 | 1 of 2 | 1 of 1 |",
    ]


def test_outcomes_without_ppo_are_compared_with_the_first_arm(tmp_path, capsys):
    """Of two runs one has no gold judge, and the mean is of the other."""
    runs = {("untrained", 0): (0.0, 0.1), ("published", 0): (0.9, 0.3, 0.0, -0.5), ("published", 1): (0.9, 0.3, 0.0)}
    runs |= {("gaa", 0): (0.1, 0.4), ("gaa", 1): (0.1, 0.5)}
    script("outcomes.py")(table(tmp_path, runs), [])
    told = capsys.readouterr().out
    assert "| difference to published |" in told
    assert "| `capped` | published | 2 | 90.0% | 0.300 | – | −0.50 | – | – |" in told
    assert "| `capped` | gaa | 2 | 10.0% | 0.450 [−0.185, 1.085] | +0.150 [−0.485, +0.785] | – | – | – |" in told
