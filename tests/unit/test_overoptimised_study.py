"""The tables of study 30: where a fall is measured from, and planted curves found again in a figure's points."""

import math

import numpy as np
import polars as pl
import pytest
from studies import leagues, overoptimised, overoptimised_arms

ALPHA, BETA, START = 0.2, 0.1, 0.5
COUNT = 40  # steps


@pytest.fixture
def planted(monkeypatch, tmp_path):
    """Two seeds of one scenario whose true reward is the paper's curve, and a pool of best-of-n.

    Within a window KL a token and length vary, so that the KL of a completion, their product, has the mean d².
    """
    folder = tmp_path / overoptimised.STUDY
    folder.mkdir()
    rows = []
    for seed in (0, 1):
        for step in range(1, COUNT + 1):
            d = float((step - 1) // overoptimised.WINDOW + 1)
            true = START + d * (ALPHA - BETA * math.log(d))
            row = {"scenario": "overoptimised-50", "arm": "ppo", "seed": seed, "step": step, "reward": START + 0.1 * d}
            shift = (3, -2, -1, 1, -1)[(step - 1) % overoptimised.WINDOW]
            length = 16.0 + 2 * shift
            rows.append({**row, "true_reward": true, "kl_ref": d * d * (1 + shift / 4) / length,
                         "completion_length": length})  # fmt: skip
    pl.DataFrame(rows).write_parquet(folder / "steps.parquet")
    which = {"scenario": "overoptimised-50", "error": None, "hack_rate": 0.25, "true_reward": START}
    runs = [
        {**which, "arm": arm, "seed": seed, "id": f"{arm}{seed}"} for arm in ("ppo", "untrained") for seed in (0, 1)
    ]
    pl.DataFrame(runs).with_columns(error=pl.lit(None, pl.String)).write_parquet(folder / "runs.parquet")
    sizes = (1, *overoptimised.SHOWN[1:])
    pool = [
        {"proxy": proxy, "n": n, "kl": float(i * i), "reward": START + i * (0.3 - 0.1 * i),
         "true_reward": START + i * (0.4 - 0.1 * i)}
        for proxy in overoptimised.SCENARIOS.values()
        for i, n in enumerate(sizes)
    ]  # fmt: skip
    pl.DataFrame(pool).write_parquet(folder / "best_of_n.parquet")
    for name in ("studies.frames.STUDIES", "studies.overoptimised.STUDIES"):
        monkeypatch.setattr(name, tmp_path)
    cached = (overoptimised.curves, overoptimised.best_of_n, overoptimised.steps, overoptimised.runs)
    for one in cached:
        one.cache_clear()
    yield
    for one in cached:
        one.cache_clear()


def test_a_fall_is_measured_from_where_the_other_runs_are_highest():
    """The others of run 0 are highest in the last window, those of run 1 in the first, those of run 2 in the second."""
    true = np.array([[9.0, 1.0, 0.0], [0.0, 3.0, 5.0], [0.0, 4.0, 4.0]])
    # means of the others: of 0: [0, 3.5, 4.5] → 2; of 1: [4.5, 2.5, 2] → 0; of 2: [4.5, 2, 2.5] → 0
    assert overoptimised.fall(true).tolist() == [0.0, -5.0, -4.0]


def test_noise_alone_has_no_fall_in_the_mean():
    noise = np.random.default_rng(0).normal(size=(400, 5, 12))
    falls = np.array([overoptimised.fall(one).mean() for one in noise])
    assert abs(falls.mean()) < 3 * falls.std() / 20
    naive = np.array([one.mean(0).max() - one[:, -1].mean() for one in noise])
    assert naive.mean() > 0.5  # what choosing the highest on the same runs would claim


def test_the_planted_curve_is_in_the_tables(planted):
    """The gain is highest at e^(α/β − 1) = e = 2.72: of the windows d = 1 … 8 at 3. The fall is that less the last."""
    best, last = (d * (ALPHA - BETA * math.log(d)) for d in (3, 8))
    row = overoptimised.turning().splitlines()[2]
    assert [cell.strip() for cell in row.strip("|").split("|")] == [
        "`overoptimised-50`", "2", "0.500", f"{START + best:.3f}", "11 to 15", f"{START + last:.3f}",
        f"{best - last:.3f}", "25.0%",
    ]  # fmt: skip
    assert "| `overoptimised-50` | PPO | 0.200 | 0.100 | 1.00 | 8.00 | 2.72 |" in overoptimised.fits()
    assert "| `overoptimised-50` | best-of-n | 0.400 | 0.100 | 1.00 | " in overoptimised.fits()
    assert "| `overoptimised-200` | PPO | – | – | – | – | – |" in overoptimised.fits()
    assert len(overoptimised.turning().splitlines()) == 3


def test_a_fit_says_how_well_it_fits_and_whether_its_turn_was_seen():
    """Points d = 1 … 4 of the gain d(0.4 − 0.05 d), whose top is at 4, and one off by 0.1."""
    d = np.arange(1.0, 5.0)
    gain = d * (0.4 - 0.05 * d)
    assert overoptimised._fit_in_words("best-of-n", d, gain) == ["0.400", "0.050", "1.00", "4.00", "4.00"]
    _, _, explained, far, turn = overoptimised._fit_in_words("best-of-n", d[:3], gain[:3])
    assert (explained, far, turn) == ("1.00", "3.00", "4.00, beyond the data")
    off = gain + np.array([0.1, 0, 0, 0])
    design = np.stack([d, -d * d], 1)
    left = off - design @ np.linalg.lstsq(design, off, rcond=None)[0]
    told = overoptimised._fit_in_words("best-of-n", d, off)[2]
    assert float(told) == pytest.approx(1 - left @ left / ((off - off.mean()) ** 2).sum(), abs=0.005)
    assert float(told) < 0.99


def test_the_figure_has_points_and_curves_of_both(planted):
    traces = overoptimised.figure().data
    points = [trace for trace in traces if trace.mode == "markers"]
    lines = [trace for trace in traces if trace.mode == "lines"]
    assert len(points) == 24  # two rewards, six proxies, two ways
    assert len(lines) == 12 + 2  # PPO of one scenario alone
    assert {trace.name for trace in points} == {"proxy", "true reward"}


def test_before_there_are_runs_the_tables_are_empty(planted, tmp_path):
    for name in ("steps", "runs"):
        (tmp_path / overoptimised.STUDY / f"{name}.parquet").unlink()
    assert len(overoptimised.turning().splitlines()) == 2
    assert all("PPO | – | – | – |" in line for line in overoptimised.fits().splitlines()[2:] if "PPO" in line)


def test_without_a_pool_nothing_is_fitted(planted, tmp_path):
    (tmp_path / overoptimised.STUDY / "best_of_n.parquet").unlink()
    assert len(overoptimised.family().splitlines()) == 2
    assert overoptimised.fits().count("| – | – | – |") == 12


@pytest.fixture
def of_arms(monkeypatch, tmp_path):
    """Ten steps of two seeds: PPO rises and falls, fold rises; a third arm has one seed."""
    folder = tmp_path / leagues.STUDY
    folder.mkdir()
    ends = {"ppo": (0.9, 0.6), "fold": (0.7, 0.8), "late": (0.5, 0.5)}
    rows = [
        {"scenario": overoptimised.UNBOUNDED, "arm": arm, "seed": seed, "step": step, "reward": 1.0 + step,
         "true_reward": (first if step <= overoptimised.WINDOW else last) + 0.01 * seed, "kl_ref": 0.25 * step,
         "completion_length": 16.0}
        for arm, (first, last) in ends.items() for seed in range(1 if arm == "late" else 2) for step in range(1, 11)
    ]  # fmt: skip
    elsewhere = {**rows[0], "scenario": "capped", "true_reward": 9.0}
    pl.DataFrame([*rows, elsewhere]).write_parquet(folder / "steps.parquet")
    monkeypatch.setattr("studies.frames.STUDIES", tmp_path)
    monkeypatch.setattr("studies.overoptimised_arms.STUDIES", tmp_path)
    overoptimised_arms.curves.cache_clear()
    overoptimised_arms.steps.cache_clear()
    yield
    overoptimised_arms.curves.cache_clear()
    overoptimised_arms.steps.cache_clear()


def test_where_each_arm_turns(of_arms):
    """KL of a completion is 4 a step: √12 and √32 in the mean of each window. Fold ends higher, and stands first."""
    fold, ppo = (
        [cell.strip() for cell in line.strip("|").split("|")] for line in overoptimised_arms.turning().splitlines()[2:]
    )
    assert ppo[:4] == ["`ppo`", "2", "0.905", "1 to 5"]
    assert (ppo[4].split()[0], ppo[5].split()[0], ppo[6:]) == ("0.605", "0.300", ["3.5", "5.7"])
    assert fold[:4] == ["`fold`", "2", "0.805", "6 to 10"]
    assert (fold[5].split()[0], fold[6:]) == ("0.000", ["5.7", "5.7"])


def test_each_arm_has_a_panel_with_the_mean_of_its_runs(of_arms):
    figure = overoptimised_arms.figure()
    assert [note.text for note in figure.layout.annotations] == ["fold", "ppo"]
    thick = [trace for trace in figure.data if trace.line.width > 1]
    assert [list(trace.y) for trace in thick if trace.name == "true reward"] == [[0.705, 0.805], [0.905, 0.605]]
    assert sum(trace.line.width < 1 for trace in figure.data) == 4
    assert {trace.name for trace in thick if trace.showlegend} == {"proxy", "true reward"}


def test_before_the_league_has_steps_there_is_no_row(of_arms, tmp_path):
    (tmp_path / leagues.STUDY / "steps.parquet").unlink()
    assert len(overoptimised_arms.turning().splitlines()) == 2
