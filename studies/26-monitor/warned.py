"""What the monitor says of each run, step by step: `warned.parquet`.

    python studies/26-monitor/warned.py FOLDER [choosing]
"""

import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from gaard.monitor import Monitor
from gaard.training.runlog import METRICS, SAMPLES, read_jsonl
from gaard.user_code import import_file

RECORD = Path(__file__).with_name("warned.parquet")
RUNS = import_file(Path(__file__).with_name("runs.py"), "the runs of the study")


def watched(folder: Path) -> Iterator[dict[str, Any]]:
    """What the monitor says at each step of a run; `once` is of texts that have a prompt each."""
    steps: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in read_jsonl(folder / SAMPLES):
        steps[row["step"]].append(row)
    monitor, alone = Monitor(), Monitor()
    for logged in read_jsonl(folder / METRICS):
        rows = steps[logged["step"]]
        rewards, texts = [row["reward"] for row in rows], [row["completion"] for row in rows]
        report = monitor.update(
            logged["step"],
            rewards,
            true_rewards=[row["true_reward"] for row in rows],
            hacked=[row["hacked"] for row in rows],
            completions=texts,
            groups=[row["prompt"] for row in rows],
            entropy=logged["entropy"],
            kl=logged["kl_ref"],
        )
        once = alone.update(logged["step"], rewards, completions=texts, groups=range(len(rows)))
        yield {
            "step": logged["step"],
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
            rows += [which | row for row in watched(RUNS.trained(runs, scenario, seed))]
    pl.DataFrame(rows, infer_schema_length=None).write_parquet(RECORD)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:] or list(RUNS.PLANS))
