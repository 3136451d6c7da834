"""The scripts beside the studies: what they print of a study whose runs are known."""

import json
import runpy
from pathlib import Path

import pytest

from gaard.lab.collection import write_table

STUDIES = Path(__file__).parents[2] / "studies"


def script(name: str):
    return runpy.run_path(str(STUDIES / name))["main"]


def table(folder: Path, measures: dict[tuple[str, int], tuple[float, ...]]) -> Path:
    """One scenario's runs: (arm, seed) → hack rate, true reward, area; none for a run that failed."""
    runs = [
        {
            "id": "",
            "scenario": "capped",
            "arm": arm,
            "seed": seed,
            "folder": f"capped/{arm}-seed{seed}",
            "error": None if values else "no",
            "measures": dict(zip(("hack_rate", "true_reward", "frontier_area"), values, strict=False)),
        }
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
    """PPO's true reward in `clean` is 0, 0.05, …, 1 from step 21 on; one arm is twice as fast, one never gets there."""
    curves = {
        (scenario, arm): [
            {"true_reward": min(1.0, speed * i / 20), "hack_rate": hack if scenario == "capped" else 0.0}
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
        draw(tmp_path, ["pppo"], tmp_path / "x.png")


def test_what_the_tokens_of_the_hack_had(tmp_path, capsys):
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
    runpy.run_path(str(STUDIES / "at_the_hack.py"))["draw"](tmp_path, ["ppo"], tmp_path / "x.png")
    told = capsys.readouterr().out
    assert "| ppo | 1 to 10 | 4 | 50.0% | 25.0% | 25.0% | 0.875 | −0.125 |" in told
    assert "| ppo | 11 to 15 | 1 | 100.0% | 0.0% | 0.0% | 1.000 | 0.000 |" in told


def test_every_run_is_drawn_and_the_best_arm_stands_above(tmp_path):
    runs = {
        (arm, seed): values
        for arm, *values in (("hacked", 0.9, 0.45, 0.1), ("learns-nothing", 0.05, 0.3, 0.0), ("best", 0.0, 0.5, 0.2))
        for seed in range(2)
    }
    draw = runpy.run_path(str(STUDIES / "every_run.py"))["draw"]
    drawn = draw(table(tmp_path, runs | {("failed", 7): ()}), tmp_path / "x.png")
    assert drawn == ["best", "learns-nothing", "hacked"]
    assert (tmp_path / "x.png").stat().st_size > 10_000


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
