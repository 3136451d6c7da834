"""What the monitor says of each run, step by step: `warned.parquet`.

python studies/26-monitor/warned.py FOLDER [choosing]
"""

import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import polars as pl

from gaard.monitor import Monitor
from gaard.training.runlog import SAMPLES, read_jsonl
from gaard.user_code import import_file

RECORD = Path(__file__).with_name("warned.parquet")
TEXTS = RECORD.with_name("texts.parquet")
KEPT_TEXTS, KEPT_STEPS = (("capped", 2000), ("clean", 2000)), 12
COLUMNS = ("step", "prompt", "completion", "reward", "true_reward", "hacked")
RUNS = import_file(Path(__file__).with_name("runs.py"), "the runs of the study")


def watched(sampled: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """What the monitor says at each step of a run; `once` is of texts that have a prompt each."""
    steps: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in sampled:
        steps[row["step"]].append(row)
    monitor, alone = Monitor(), Monitor()
    for step, rows in steps.items():
        rewards, texts = [row["reward"] for row in rows], [row["completion"] for row in rows]
        report = monitor.update(
            step,
            rewards,
            true_rewards=[row["true_reward"] for row in rows],
            hacked=[row["hacked"] for row in rows],
            completions=texts,
            groups=[row["prompt"] for row in rows],
        )
        once = alone.update(step, rewards, completions=texts, groups=range(len(rows)))
        yield {
            "step": step,
            **{name: report.figures[name] for name in ("reward", "true_reward", "hack_rate", "turned", "word_paid")},
            "word": monitor.words[0].word if monitor.words else None,
            "once": once.figures["word_paid"],
            "alarms": [alarm.rule for alarm in report.alarms],
        }


def main(runs: Path, plans: list[str]) -> None:
    """Write the record.

    Args:
        runs: Folder of the runs; what is missing is trained.
        plans: Whose runs are read.
    """
    rows = []
    for seeds in plans:
        for scenario, seed in RUNS.PLANS[seeds]:
            group = next(name for name, scenarios in RUNS.GROUPS.items() if scenario in scenarios)
            which = {"seeds": seeds, "group": group, "scenario": scenario.rpartition(":")[2], "seed": seed}
            rows += [which | row for row in watched(read_jsonl(RUNS.trained(runs, scenario, seed) / SAMPLES))]
    pl.DataFrame(rows, infer_schema_length=None).write_parquet(RECORD)
    kept = [
        {"scenario": scenario, "seed": seed, **{key: row[key] for key in COLUMNS}}
        for scenario, seed in KEPT_TEXTS
        for row in read_jsonl(RUNS.trained(runs, scenario, seed) / SAMPLES)
        if row["step"] <= KEPT_STEPS
    ]
    pl.DataFrame(kept).write_parquet(TEXTS)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:] or list(RUNS.PLANS))
