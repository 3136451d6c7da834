"""What the scripts beside the studies share: the rows of a Parquet file, and an interval as text."""

import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gaard.lab.statistics import Difference, Interval


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


def said(found: Interval | Difference, digits: str, *, scale: float = 1.0, unit: str = "") -> str:
    """Mean and 95% interval, in the format ``digits``."""
    ends = ""
    if found.low is not None and found.high is not None:
        ends = f" [{scale * found.low:{digits}}, {scale * found.high:{digits}}]"
    return f"{scale * found.mean:{digits}}{unit}{ends}".replace("-", "−")
