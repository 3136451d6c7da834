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


def test_how_hacked_an_arm_is_once_it_is_as_good_as_ppo(tmp_path, capsys):
    """PPO's true reward in `clean` is 0, 0.05, …, 1 from step 21 on; one arm is twice as fast, one never gets there."""
    runs = []
    for arm, speed, hack in (("ppo", 1.0, 0.9), ("fast", 2.0, 0.1), ("slow", 0.5, 0.0)):
        for scenario in ("clean", "capped"):
            own = tmp_path / scenario / f"{arm}-seed0"
            own.mkdir(parents=True)
            rows = [
                {
                    "step": i + 1,
                    "true_reward": min(1.0, speed * i / 20),
                    "hack_rate": hack if scenario == "capped" else 0,
                }
                for i in range(30)
            ]
            (own / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
            runs.append(
                {"scenario": scenario, "arm": arm, "seed": 0, "folder": f"{scenario}/{own.name}", "error": None}
            )
    (tmp_path / "results.json").write_text(json.dumps({"runs": runs}))
    script("as_good_as_ppo.py")(tmp_path)
    told = capsys.readouterr().out
    assert "| `capped` | ppo | 1 of 1 seeds | 23 | 90.0% |" in told  # (0.9 + 0.95 + 1 + 1 + 1) / 5; before, 0.94
    assert "| `capped` | fast | 1 of 1 seeds | 14 | 10.0% |" in told  # (0.9 + 1 + 1 + 1 + 1) / 5
    assert "| `capped` | slow | 0 of 1 seeds | – | – |" in told


def test_a_misspelt_arm_is_named(tmp_path):
    draw = runpy.run_path(str(STUDIES / "at_the_hack.py"))["draw"]
    with pytest.raises(SystemExit, match="no runs of 'pppo'"):
        draw(tmp_path, ["pppo"], tmp_path / "x.png")


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
