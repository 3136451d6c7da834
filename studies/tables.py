"""What the scripts beside the studies share: a Parquet file's rows and arms, the arms' colours, an interval as text."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gaard.lab.statistics import Difference, Interval
from gaard.report.figures import COLOURS


def read(path: Path, *columns: str) -> list[dict[str, Any]]:
    """The rows of a file that has those columns; else the script ends, and says why."""
    try:
        table = pq.read_table(path) if path.is_file() else None
    except pa.ArrowInvalid:
        table = None
    if table is None:
        sys.exit(
            f"{path} is no Parquet file: give one of results/, a study's runs.parquet, or what studies/steps.py made"
        )
    missing = [name for name in columns if name not in table.column_names]
    if missing:
        sys.exit(
            f"{path} has no column {missing[0]!r}: runs.parquet has a row a run, studies/steps.py makes a row a step"
        )
    return table.to_pylist()


def check_arms(path: Path, asked: Iterable[str], there: Iterable[str]) -> None:
    """Every arm that was asked for is in the file; else the script ends, and says which are."""
    there = list(there)
    if missing := [arm for arm in asked if arm not in there]:
        sys.exit(f"{path} has no arm {missing[0]!r}: it has {', '.join(there)}")


def coloured(arms: list[str]) -> dict[str, str]:
    """Arm → its colour; the script ends if there are too few."""
    if len(arms) > len(COLOURS):
        sys.exit(f"{len(arms)} arms: there are colours for {len(COLOURS)}")
    return dict(zip(arms, COLOURS, strict=False))


def said(found: Interval | Difference, digits: str, *, scale: float = 1.0, unit: str = "") -> str:
    """Mean and 95% interval, in the format ``digits``."""
    ends = ""
    if found.low is not None and found.high is not None:
        ends = f" [{scale * found.low:{digits}}, {scale * found.high:{digits}}]"
    return f"{scale * found.mean:{digits}}{unit}{ends}".replace("-", "−")
