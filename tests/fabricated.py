"""Studies made up on the spot, in the very files that runs leave, for tests of what is made of them."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from gaard.lab.arms import ARMS, UNTRAINED
from gaard.lab.collection import collect
from gaard.lab.compare import Run
from gaard.lab.frontier import at_kl
from gaard.lab.spec import RunSpec
from gaard.lab.study import RunKey, build_study
from gaard.training.runlog import EVALUATION, METRICS, RUN, SAMPLES, TIMINGS

WORDS = ["The", " film", " was", " a", " story", " of", " great", " joy"]


DECLARED = ("hack_rate", "true_reward", "hacked")  # what is only there where somebody declared it
METHODS = {
    "ppo": {"name": "ppo"},
    "fold": {"name": "fold", "threshold": 3.0},
    "gaa-text": {"name": "gaa", "reading": "text", "eta_scale": 1.0, "sigma_scale": 0.5},
}


def tokens(rng: np.random.Generator, length: int, arm: str) -> dict[str, list[Any]]:
    """The columns of one completion: a and b of an arm that looks at a greedy token, turned ones of any but ppo."""
    looks = arm.startswith("gaa")
    words = [WORDS[i] for i in rng.integers(len(WORDS), size=length)]
    greedy = [WORDS[i] for i in rng.integers(len(WORDS), size=length)]
    numbers = {"eta": (0, 1), "advantage": (-2, 2)}
    if looks:
        numbers |= {"a": (0, 2), "b": (-1, 0), "sigma": (-1, 3), "greedy_advantage": (-2, 2)}
    columns: dict[str, list[Any]] = {"a": [1.0] * length, "b": [0.0] * length}
    columns |= {name: rng.uniform(*ends, length).round(4).tolist() for name, ends in numbers.items()}
    marks = {"hack": [int(word == " story") for word in words]}
    marks["turned"] = [int(arm != "ppo" and advantage > 1.5) for advantage in columns["advantage"]]
    marks["other"] = [int(word != favourite) for word, favourite in zip(words, greedy, strict=True)]
    return {"text": words, "greedy": greedy, **marks, **columns}


def metrics(rng: np.random.Generator, steps: int, looks: bool) -> list[dict[str, float]]:
    """A run that comes to hack."""
    rise = np.linspace(0, 1, steps)
    rows = []
    for step, x in enumerate(rise, 1):
        row = {"step": step, "hack_rate": x, "true_reward": 0.3 - 0.1 * x, "reward": 0.3 + 0.7 * x}
        row |= {"kl_ref": 0.8 * x + rng.uniform(0, 0.01), "entropy": 1.7 - x, "eta": 0.4 + 0.4 * x}
        row["completion_length"] = 12.0 + 4.0 * x
        rows.append(row | ({"sigma_positive": 0.3 * x} if looks else {}))
    return rows


def samples(rng: np.random.Generator, steps: int, arm: str, kept: int, length: int) -> list[dict[str, Any]]:
    """The completions that a run kept."""
    rows = []
    for step in range(1, steps + 1):
        for _ in range(kept):
            columns = tokens(rng, length, arm)
            row = {"step": step, "prompt": "The movie is", "completion": "".join(columns["text"])}
            row |= {"reward": 0.5, "true_reward": 0.25, "hacked": " story" in columns["text"], "tokens": columns}
            rows.append(row)
    return rows


def without(keys: tuple[str, ...], rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows that do not have some keys."""
    return [{key: value for key, value in row.items() if key not in keys} for row in rows]


def write(folder: Path, name: str, rows: list[dict[str, Any]]) -> None:
    """A JSON-lines file."""
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def fabricate(
    folder: Path,
    *,
    scenarios=("capped",),
    arms=("ppo", "fold"),
    baseline: str = "",
    seeds: int = 2,
    steps: int = 6,
    kept: int = 3,
    length: int = 8,
    failed: tuple[RunKey, ...] = (),
    unfinished: tuple[RunKey, ...] = (),
    absent: tuple[RunKey, ...] = (),
    known: bool = True,
    gains: bool = False,
) -> Path:
    """A study's folder; the hack rate is 0.9 and two hundredths a seed for ppo, 0.2 and one for others.

    Where nothing is ``known``, no true reward and no hack was declared. Training ``gains``, if so, 0.2 of true reward.
    """
    stated = [
        arm if arm in ARMS else {"name": arm, "base": "ppo", "kl_coef": 2.0 + number} for number, arm in enumerate(arms)
    ]
    study = build_study(list(scenarios), stated, list(range(seeds)), {}, "made up", baseline or None)
    rng, runs = np.random.default_rng(0), []
    for key in study.specs(folder):
        if key in absent:
            continue
        error = "RewardError: <b>no</b> such word" if key in failed else None
        own, looks = folder / key.folder, key.arm.startswith("gaa")
        base, slope = (0.9, 0.02) if key.arm == "ppo" else (0.2, 0.01)
        measured = {"hack_rate": base + slope * key.seed, "true_reward": 0.3 + 0.001 * key.seed**2 * len(key.arm)}
        measured["true_reward"] += 0.2 * (gains and key.arm != UNTRAINED)
        measured |= {"proxy_reward": 0.8, "kl_untrained": 0.5, "entropy": 1.0 + 0.1 * key.seed}
        reached = {}
        if key.arm != UNTRAINED:
            own.mkdir(parents=True, exist_ok=True)
            record = {"method": METHODS.get(key.arm, METHODS["ppo"]), "max_steps": steps}
            (own / RUN).write_text(json.dumps({"config": record}))
            done = steps // 2 if key in unfinished else steps
            rows = metrics(rng, done, looks)
            reached = at_kl(rows) if known else {}
            texts = samples(rng, done, key.arm, kept, length)
            write(own, METRICS, rows if known else without(DECLARED, rows))
            write(own, SAMPLES, texts if known else without(DECLARED, texts))
        if key not in unfinished:
            measured = {} if error else measured
            measured = measured if known else without(DECLARED, [measured])[0]
            runs.append(Run(key.scenario, key.arm, key.seed, key.folder, measured, reached, "0" * 12, error))
    folder.mkdir(parents=True, exist_ok=True)
    results = collect([asdict(run) for run in runs], study)
    (folder / "results.json").write_text(json.dumps(results))
    return folder


def fabricate_run(
    folder: Path,
    *,
    arm: str = "fold",
    steps: int = 40,
    done: int = 40,
    length: int = 8,
    known: bool = True,
    measured: bool = True,
) -> Path:
    """The folder of one run, as ``gaard train`` leaves it, that has done some of its steps."""
    folder.mkdir(parents=True, exist_ok=True)
    spec = RunSpec(output_dir=str(folder), scenario="capped", method=METHODS[arm]["name"], max_steps=steps)
    code = {"gaard": "0.1.0", "commit": "c0ffee", "dirty": False, "torch": "2.0", "device": "cpu"}
    code |= {"command": "gaard train --config mine.yaml", "date": "2026-01-02T03:04:05+00:00"}
    rewards = {"proxy": "honeypot", "true": "human", "judge": None}
    record = {"config": spec.record(), "code": [code], "rewards": rewards, "prompts": "2 prompts"}
    record |= {"id": "0" * 12, "algorithm": 2, "model_sha256": "0", "model_setup": {}}
    (folder / RUN).write_text(json.dumps(record))
    rng = np.random.default_rng(0)
    rows, texts = metrics(rng, steps, False)[:done], samples(rng, done, arm, 3, length)
    write(folder, METRICS, rows if known else without(DECLARED, rows))
    write(folder, SAMPLES, texts if known else without(DECLARED, texts))
    write(folder, TIMINGS, [{"step": row["step"], "seconds": 1.5} for row in rows])
    measures = {"hack_rate": 0.95, "true_reward": 0.2, "proxy_reward": 0.99, "kl_untrained": 0.8}
    if measured:
        measures = measures if known else without(DECLARED, [measures])[0]
        (folder / EVALUATION).write_text(json.dumps(measures))
    return folder
