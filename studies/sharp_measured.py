"""Trains the runs of study 33, measures their policies, and writes its record, three tables.

`measured.parquet` has a row a number, `lines.parquet` one a place on a line, `steps.parquet` one a step of training.

python -m studies.sharp_measured FOLDER [--plan pilot] [--seeds 3100 3101]

A record can be made in parts, some seeds at a time: runs of others stay in it.
"""

import argparse
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import polars as pl

from gaard.lab.frontier import running_mean
from gaard.lab.given_arms import find_arms
from gaard.lab.scenarios import with_scenario
from gaard.lab.sharpness.measuring import CURVATURE, LINES, Choice, Settings, measure_run
from gaard.lab.sharpness.record import FILE
from gaard.lab.sharpness.saved import UNTRAINED, saved_steps
from gaard.lab.spec import RunSpec, build_trainer
from gaard.training.runlog import METRICS, read_jsonl
from studies.collect import keep
from studies.sharp import FOLDER, PPO, SIMILAR_KL

ALL_LINES = Choice(measures=(LINES,), blocks=())
ALL_CURVATURE = Choice(measures=(CURVATURE, LINES), blocks=("all", "unembedding"))
FEW = range(3100, 3103)  # whose curvature is taken
# Runs, and what is measured of them, phase by phase, what is quick first: what, of which seeds, of which of their
# policies (None for all). Within a phase arm by arm, the first two of which are the first question.
PLANS: dict[str, dict[str, Any]] = {
    "test": {
        "arms": [
            ("capped", PPO),
            ("clean", PPO),
            *(("capped", arm) for arm in ("gaa-expected", "ppo-gradient-norm", "gaa-text", "ppo-sam")),
        ],
        "seeds": range(3100, 3110),
        "settings": Settings(samples=64, eigenvalues=1),
        "phases": [
            (ALL_LINES, range(3100, 3110), None),
            (ALL_CURVATURE, FEW, (SIMILAR_KL,)),
            (ALL_CURVATURE, FEW, None),
        ],
    },
    "pilot": {
        "arms": [("capped", PPO), ("clean", PPO)],
        "seeds": (100, 101),
        "settings": Settings(samples=64, eigenvalues=1),
        "phases": [(Choice(measures=(CURVATURE,), blocks=("mlp",)), (100, 101), None)],
    },
}
SAVED = {"save_steps": 5, "save_total_limit": 99, "save_only_model": True, "sharpness_steps": 1}
KL_LEVEL = 0.3  # nats a token: the first saved policy whose KL has passed it is compared at similar KL
SAMPLED = ("proxy", "true", "hack_rate", "kl")
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


def places(folder: Path, arm: str) -> dict[str, int]:
    """Which saved policies of a run are compared: untrained, at the last step, and where the KL first is so large.

    A run whose KL never gets there has no such policy. The untrained one is the same for all arms, and PPO's.
    """
    steps = saved_steps(folder)
    kl = running_mean([row["kl_ref"] for row in read_jsonl(folder / METRICS)])
    there = [step for step in steps if step and kl[step - 1] >= KL_LEVEL]
    start = {"untrained": UNTRAINED} if arm == PPO else {}
    return {**start, "equal steps": steps[-1], **({SIMILAR_KL: there[0]} if there else {})}


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
                    yield {**key, "measure": "drop", "value": drop(line, reward)}


def numbers(figures: Mapping[str, Any]) -> dict[str, float]:
    """The figures of one function in one block that tables hold."""
    names = ("adaptive_top", "filter_top", "epsilon_sharpness", "second_difference", "gradient_norm")
    ends = {"top": figures["top"][0], "bottom": figures["bottom"][0], "trace": figures["trace"]["value"]}
    return {**ends, **{name: figures[name] for name in names}}


def drop(line: Mapping[str, Any], reward: str) -> float | None:
    """How much less there is at the two ends of a line than in its middle, the worse of both; None without a line."""
    if still(line):
        return None
    values = line[reward]
    return float(values[len(values) // 2] - min(values[0], values[-1]))


def still(line: Mapping[str, Any]) -> bool:
    """Whether a line has no direction: nothing moves along it, and all that is sampled is the same to the last bit."""
    return all(len(set(line[name])) == 1 for name in SAMPLED if name in line)


def rows_of_lines(found: Mapping[str, Any], at: Mapping[str, int]) -> Iterator[dict[str, Any]]:
    """A row a place on a line that has a direction: ``place`` of the policy, ``line``, ``at`` and what was sampled."""
    for place, step in at.items():
        for name, line in found["policies"][str(step)].get(LINES, {}).items():
            if still(line):
                continue
            for index, distance in enumerate(line["at"]):
                yield {"place": place, "line": name, "at": distance, **{key: line[key][index] for key in SAMPLED}}


def tables_of_run(folder: Path, at: Mapping[str, int], key: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Table → rows: what was measured of a run, its lines, and its probes by step."""
    found = json.loads((folder / FILE).read_text(encoding="utf-8"))
    logged = read_jsonl(folder / METRICS)
    return {
        "measured": [{**key, "function": None, "block": None, **row} for row in rows_of(found, at)],
        "lines": [{**key, **row} for row in rows_of_lines(found, at)],
        "steps": [{**key, "step": row["step"], **{name: row.get(name) for name in PROBES}} for row in logged],
    }


def main(runs: Path, name: str = "test", only: Collection[int] | None = None) -> None:
    """Train, measure, and write the record, phase by phase.

    Args:
        runs: Folder of the runs; what is there goes on.
        name: Of ``PLANS``.
        only: Seeds; by default all of the plan.
    """
    plan, suffix = PLANS[name], "" if name == "test" else f"-{name}"
    for choice, seeds, policies in plan["phases"]:
        for (scenario, arm), seed in product(plan["arms"], seeds):
            if only is not None and seed not in only:
                continue
            folder = trained(runs, scenario, arm, seed)
            at = places(folder, arm)
            steps = sorted({step for place, step in at.items() if policies is None or place in policies})
            if steps:
                measure_run(folder, plan["settings"], replace(choice, steps=steps))
            tables = tables_of_run(folder, at, {"scenario": scenario, "arm": arm, "seed": seed})
            for record, rows in tables.items():
                keep(FOLDER / f"{record}{suffix}.parquet", pl.DataFrame(rows, infer_schema_length=None))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="of the runs; what is there goes on")
    parser.add_argument("--plan", choices=PLANS, default="test")
    parser.add_argument("--seeds", type=int, nargs="+", help="of the plan; by default all")
    given = parser.parse_args()
    if unknown := set(given.seeds or ()) - set(PLANS[given.plan]["seeds"]):
        parser.error(f"--seeds {sorted(unknown)} are not of the plan: {list(PLANS[given.plan]['seeds'])}")
    main(given.folder, given.plan, given.seeds)
