"""The tables and the figure of study 30: proxy and true reward against √KL, and where the truth turns."""

from functools import cache
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from gaard.lab.overoptimisation import Kind, fit
from gaard.lab.statistics import mean_interval
from studies.frames import STUDIES, UNTRAINED, recorded, runs, steps
from studies.markdown import NOTHING, said, table

STUDY = "30-overoptimisation"
ARM = "ppo"
UNBOUNDED = "overoptimised-50-model"  # whose proxy has no largest value
SCENARIOS = {UNBOUNDED: "reward model of 50 ratings", "overoptimised-50-words": "learned from 50 ratings, words alone"}
SCENARIOS |= {f"overoptimised-{count}": f"learned from {count} ratings" for count in (50, 200, 800)}
SCENARIOS["overoptimised-full"] = "all ratings"
Points = tuple[Kind, np.ndarray, np.ndarray]  # way to optimise, √KL, gain
SHOWN = (1, 8, 128, 2048)  # of best-of-n
WINDOW = 5  # steps a point
DIGITS = 4
PROXY, TRUE = "#c2410c", "#1d4ed8"
REWARDS = {"reward": PROXY, "true_reward": TRUE}
LABELS = {"reward": "proxy", "true_reward": "true reward"}


@cache
def best_of_n() -> pl.DataFrame:
    """A row a proxy and n; none before they were drawn."""
    file = STUDIES / STUDY / "best_of_n.parquet"
    schema = {"proxy": pl.String, "n": pl.Int64, **dict.fromkeys(("kl", *REWARDS), pl.Float64)}
    return pl.read_parquet(file) if file.exists() else pl.DataFrame(schema=schema)


@cache
def curves() -> pl.DataFrame:
    """Windows of a few steps of every run: d = √KL, nats a completion, proxy and true reward."""
    if not (STUDIES / STUDY / "steps.parquet").exists():
        schema = {"scenario": pl.String, "seed": pl.Int64, "window": pl.Int64}
        return pl.DataFrame(schema=schema | dict.fromkeys(("d", *REWARDS), pl.Float64))
    return windows(steps(STUDY).filter(arm=ARM))


def windows(rows: pl.DataFrame) -> pl.DataFrame:
    """Of steps of runs: means over windows of a few steps; ``d`` is the root of the mean KL of a completion."""
    window = ((pl.col("step") - 1) // WINDOW).cast(pl.Int64).alias("window")
    kl = pl.col("kl_ref") * pl.col("completion_length")
    means = {"d": kl.mean().sqrt(), **{name: pl.col(name).mean() for name in REWARDS}}
    return rows.group_by("scenario", "arm", "seed", window, maintain_order=True).agg(**means)


def fall(true: np.ndarray) -> np.ndarray:
    """By how much each run's true reward has fallen at the end, from where the other runs' mean is highest.

    A run has no part in where its own fall is measured from: the highest of noise would be a fall, too.

    Args:
        true: [runs, windows]; two runs or more.

    Returns:
        [runs]; below 0 where it has risen.
    """
    others = (true.sum(0) - true) / (len(true) - 1)
    return true[np.arange(len(true)), others.argmax(1)] - true[:, -1]


def turning() -> str:
    """A row a scenario: true reward before, at its best and at the end, the fall, and the hacks."""
    head = ["scenario", "runs", "true reward, untrained", "highest", "at step", "at the end", "fall", "hack rate"]
    if not recorded(STUDY):
        return table(head, [])
    rows = []
    for scenario in SCENARIOS:
        own = curves().filter(scenario=scenario)
        if own["seed"].n_unique() < 2:
            continue
        true = by_window(own, "true_reward")
        end = runs(STUDY).filter(scenario=scenario, arm=ARM)
        hacks = said(_interval(end["hack_rate"].to_numpy(), (0.0, 1.0)), "hack_rate")
        rows.append([f"`{scenario}`", len(true), f"{_untrained(scenario):.3f}", *turned(true), hacks])
    return table(head, rows)


def by_window(own: pl.DataFrame, name: str) -> np.ndarray:
    """A figure of :func:`windows` of one arm in one scenario; [runs, windows]."""
    return own.pivot("window", index="seed", values=name).drop("seed").to_numpy()


def turned(true: np.ndarray) -> list[str]:
    """The highest of the runs' mean, its steps, the end and the fall, as a table has them."""
    best, mean = int(true.mean(0).argmax()), true.mean(0)
    end, fallen = (said(_interval(found), "true_reward") for found in (true[:, -1], fall(true)))
    return [f"{mean[best]:.3f}", f"{best * WINDOW + 1} to {(best + 1) * WINDOW}", end, fallen]


def fits() -> str:
    """A row a scenario and way to optimise: α and β of the true reward's gain, how well it fits, where it turns."""
    rows = []
    for scenario, proxy in SCENARIOS.items():
        for way, points in (("best-of-n", _points_best(proxy)), ("PPO", _points_ppo(scenario))):
            rows.append([f"`{scenario}`", way, *([NOTHING] * 5 if points is None else _fit_in_words(*points))])
    return table(["scenario", "way", "α", "β", "R²", "farthest √KL", "turns at √KL"], rows)


def _fit_in_words(kind: Kind, d: np.ndarray, gain: np.ndarray) -> list[str]:
    """The cells of one fit; a turn that no point has reached is the form's, not the data's."""
    curve, far = fit(kind, d, gain), float(d.max())
    at, found = d[d > 0], gain[d > 0]
    explained = 1 - np.square(found - curve.gain(at)).sum() / np.square(found - found.mean()).sum()
    turn = "never" if curve.turn is None else f"{curve.turn:.2f}"
    beyond = ", beyond the data" if curve.turn is not None and curve.turn > far else ""
    numbers = (f"{curve.alpha:.3f}", f"{curve.beta:.3f}", f"{explained:.2f}", f"{far:.2f}")
    return [number.replace("-", "−") for number in numbers] + [turn + beyond]


def family() -> str:
    """A row a proxy, by size of data and of model: true reward of the best of n, the proxy's choice."""
    rows = []
    for (proxy,), own in best_of_n().group_by("proxy", maintain_order=True):
        found = dict(own.select("n", "true_reward").rows())
        rows.append([proxy, *(f"{found[n]:.3f}" for n in SHOWN)])
    return table(["proxy", *(f"best of {n}" if n > 1 else "untrained" for n in SHOWN)], rows)


def _interval(values: np.ndarray, bounds: tuple[float, float] | None = None) -> dict[str, Any]:
    """As the frames of `gaard.lab.analysis` hold it: without ends where all runs are the same."""
    found = mean_interval(values.tolist(), bounds)
    low, high = (None, None) if found.low == found.high else (found.low, found.high)
    return {"mean": found.mean, "low": low, "high": high, "n": found.n}


def _untrained(scenario: str) -> float:
    """Mean true reward of the runs' untrained model."""
    return float(runs(STUDY).filter(scenario=scenario, arm=UNTRAINED)["true_reward"].to_numpy().mean())


def _points_best(proxy: str, reward: str = "true_reward") -> Points | None:
    own = best_of_n().filter(proxy=proxy)
    if own.is_empty():
        return None
    return "best-of-n", np.sqrt(own["kl"].to_numpy()), own[reward].to_numpy() - own[reward][0]


def _points_ppo(scenario: str, reward: str = "true_reward") -> Points | None:
    own = curves().filter(scenario=scenario)
    if own.is_empty() or best_of_n().is_empty():
        return None
    return "rl", own["d"].to_numpy(), own[reward].to_numpy() - _start(scenario, reward)


def _start(scenario: str, reward: str) -> float:
    """The untrained model's reward: of best-of-n's pool, which is the larger sample."""
    own = best_of_n().filter(proxy=SCENARIOS[scenario], n=1)
    return float(own[reward][0])


def figure() -> go.Figure:
    """A column a scenario: best-of-n above, PPO below; points, and the fitted curves."""
    titles = [f"{_short(name)}<br>{way}" for way in ("best-of-n", "PPO") for name in SCENARIOS.values()]
    made = make_subplots(2, len(SCENARIOS), subplot_titles=titles, horizontal_spacing=0.03, vertical_spacing=0.18)
    for column, (scenario, proxy) in enumerate(SCENARIOS.items(), 1):
        pool, trained = best_of_n().filter(proxy=proxy), curves().filter(scenario=scenario)
        for reward in REWARDS:
            start = _start(scenario, reward)
            _draw(made, np.sqrt(pool["kl"].to_numpy()), pool[reward].to_numpy(), _points_best(proxy, reward), start,
                  (reward, 1, column))  # fmt: skip
            _draw(made, trained["d"].to_numpy(), trained[reward].to_numpy(), _points_ppo(scenario, reward), start,
                  (reward, 2, column))  # fmt: skip
    made.update_annotations(font_size=12)
    made.update_xaxes(title={"text": "√KL (√nat)", "font_size": 12}, row=2)
    for column, scenario in enumerate(SCENARIOS, 1):
        own = scenario == UNBOUNDED
        made.update_yaxes(range=[0.4, 2.4] if own else [0.45, 1.02], showticklabels=column < 3, col=column)
    made.update_yaxes(title="reward", col=1)
    return made


def _short(name: str) -> str:
    """A proxy's name as a panel has room for it."""
    name = name.removeprefix("learned from ").replace(" ratings, words alone", " (words)")
    return name.replace("reward model of 50 ratings", "50 (reward model)")


def _draw(
    made: go.Figure, d: np.ndarray, reward: np.ndarray, fitted: Points | None, start: float, place: tuple[str, int, int]
) -> None:
    """Points of one reward in one panel, and the curve through them."""
    name, row, column = place
    colour, label = REWARDS[name], LABELS[name]
    made.add_scatter(
        x=numbers(d), y=numbers(reward), mode="markers", marker={"color": colour, "size": 4, "opacity": 0.5},
        name=label, legendgroup=name, showlegend=(row, column) == (1, 1), row=row, col=column,
    )  # fmt: skip
    if fitted is not None and len(d):
        curve = fit(*fitted)
        at = np.linspace(0.0, float(d.max()), 60)
        made.add_scatter(
            x=numbers(at), y=numbers(start + curve.gain(at)), mode="lines", line={"color": colour, "width": 2},
            legendgroup=name, showlegend=False, row=row, col=column,
        )  # fmt: skip


def numbers(values: np.ndarray) -> list[float]:
    """Plain numbers, rounded as figures have them; −0 is 0."""
    return [round(float(value) + 1e-9, DIGITS) + 0.0 for value in values]
