"""Trains the runs of the study, measures their policies, and writes `measured.parquet` and `steps.parquet`.

python studies/33-sharpness/measured.py FOLDER [pilot]
"""

import json
import sys
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import polars as pl

from gaard.lab.arms import find_arms
from gaard.lab.frontier import running_mean
from gaard.lab.scenarios import with_scenario
from gaard.lab.sharpness.measuring import CURVATURE, LINES, Choice, Settings, measure_run
from gaard.lab.sharpness.record import FILE
from gaard.lab.sharpness.saved import UNTRAINED, saved_steps
from gaard.lab.spec import RunSpec, build_trainer
from gaard.training.runlog import METRICS, read_jsonl

HERE = Path(__file__).parent
ARMS = [("capped", arm) for arm in ("ppo", "gaa-expected", "gaa-code", "ppo-gradient-norm", "ppo-sam")]
# Runs, and what is measured of them; the pilot is of tuning seeds.
PLANS: dict[str, dict[str, Any]] = {
    "test": {
        "arms": [*ARMS, ("clean", "ppo")],
        "seeds": range(3100, 3110),
        "settings": Settings(samples=256, eigenvalues=5),
        "choice": {"measures": (CURVATURE, LINES)},
    },
    "pilot": {
        "arms": [("capped", "ppo"), ("clean", "ppo")],
        "seeds": (100, 101),
        "settings": Settings(samples=64, eigenvalues=1),
        "choice": {"measures": (CURVATURE,), "blocks": ("mlp",)},
    },
}
SAVED = {"save_steps": 5, "save_total_limit": 99, "save_only_model": True, "sharpness_steps": 1}
KL_LEVEL = 0.3  # nats a token, at which policies are compared at equal KL
PROBES = ("hack_rate", "sharpness", "curvature", "policy_curvature", "grad_norm")


def trained(runs: Path, scenario: str, arm: str, seed: int) -> Path:
    """The folder of a run, trained if it is not yet."""
    folder = runs / scenario / f"{arm}-seed{seed}"
    settings = find_arms([arm])[0].over({**with_scenario({"scenario": scenario}), **SAVED})
    settings |= {"seed": seed, "output_dir": str(folder), "progress": False, "eval_completions": 0}
    spec = RunSpec(**settings)
    if len(read_jsonl(folder / METRICS)) < spec.max_steps:
        build_trainer(spec).train()
        print(folder, flush=True)
    return folder


def places(folder: Path) -> dict[str, int]:
    """Which saved policies of a run are compared: untrained, at the last step, and where the KL first is so large.

    A run whose KL never gets there has no such policy.
    """
    steps = saved_steps(folder)
    kl = running_mean([row["kl_ref"] for row in read_jsonl(folder / METRICS)])
    there = [step for step in steps if step and kl[step - 1] >= KL_LEVEL]
    return {"untrained": UNTRAINED, "equal steps": steps[-1], **({"equal KL": there[0]} if there else {})}


def rows_of(found: Mapping[str, Any], at: Mapping[str, int]) -> Iterator[dict[str, Any]]:
    """A row a number of each policy: ``place``, ``step``, ``function``, ``block``, ``measure``, ``value``."""
    for place, step in at.items():
        policy = found["policies"][str(step)]
        for measure, value in policy["here"].items():
            if measure != "seconds":
                yield {"place": place, "step": step, "measure": measure, "value": value}
        for function, blocks in policy.get(CURVATURE, {}).items():
            for block, figures in blocks.items():
                key = {"place": place, "step": step, "function": function, "block": block}
                yield from ({**key, "measure": name, "value": value} for name, value in numbers(figures).items())
        for name, line in policy.get(LINES, {}).items():
            for reward in ("proxy", "true"):
                if reward in line:
                    key = {"place": place, "step": step, "function": reward, "block": name}
                    yield {**key, "measure": "drop", "value": drop(line[reward])}


def numbers(figures: Mapping[str, Any]) -> dict[str, float]:
    """The figures of one function in one block that tables hold."""
    names = ("adaptive_top", "filter_top", "epsilon_sharpness", "second_difference", "gradient_norm")
    ends = {"top": figures["top"][0], "bottom": figures["bottom"][0], "trace": figures["trace"]["value"]}
    return {**ends, **{name: figures[name] for name in names}}


def drop(values: list[float]) -> float:
    """How much less there is at the two ends of a line than in its middle, the worse of both."""
    return values[len(values) // 2] - min(values[0], values[-1])


def main(runs: Path, name: str = "test") -> None:
    """Train, measure, and write the record.

    Args:
        runs: Folder of the runs; what is there goes on.
        name: Of ``PLANS``.
    """
    plan, measured, steps = PLANS[name], [], []
    for seed, (scenario, arm) in product(plan["seeds"], plan["arms"]):
        folder = trained(runs, scenario, arm, seed)
        at, key = places(folder), {"scenario": scenario, "arm": arm, "seed": seed}
        measure_run(folder, plan["settings"], Choice(sorted(set(at.values())), **plan["choice"]))
        found = json.loads((folder / FILE).read_text(encoding="utf-8"))
        measured += [{**key, "function": None, "block": None, **row} for row in rows_of(found, at)]
        steps += [
            {**key, "step": row["step"], **{probe: row.get(probe) for probe in PROBES}}
            for row in read_jsonl(folder / METRICS)
        ]
        suffix = "" if name == "test" else f"-{name}"
        pl.DataFrame(measured, infer_schema_length=None).write_parquet(HERE / f"measured{suffix}.parquet")
        pl.DataFrame(steps, infer_schema_length=None).write_parquet(HERE / f"steps{suffix}.parquet")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
