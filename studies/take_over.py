"""Runs that another study has made with the same settings, taken over: `python -m studies.take_over STUDY [SEED …]`.

STUDY is a folder such as studies/35-league; SEED those of a study that is made in parts, by default all. A row of
another record is taken where its ``id``, the hash of all that its results depend on, is that of the run of this study.
It replaces the row of a run that was made again: machines round otherwise, and one run has one row.
"""

import json
import sys
import tempfile
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

import polars as pl

from gaard.lab.spec import RunSpec, build_trainer
from gaard.lab.study import read_study
from gaard.training.identity import fingerprint
from studies.collect import WHICH, keep
from studies.frames import STUDIES


def identity(spec: RunSpec) -> str:
    """The ``id`` that a run has; nothing is trained."""
    return fingerprint(json.loads(json.dumps(build_trainer(spec).record())))


def taken(study: Path, records: Iterable[pl.DataFrame], identity: Callable[[RunSpec], str] = identity) -> pl.DataFrame:
    """The rows that are runs of a study, of other studies' records.

    Args:
        study: Its folder.
        records: Of others.
        identity: Of a run; it is asked of those alone that some record names.

    Returns:
        Rows of a record, perhaps none, each run once.
    """
    with tempfile.TemporaryDirectory() as folder:
        specs = read_study(study / "study.yaml").specs(Path(folder))
        rows = pl.concat(list(records), how="diagonal")
        named = {(key.scenario, key.arm, key.seed): spec for key, spec in specs.items()}
        keys = rows.select(*WHICH).rows()
        ids = {key: identity(named[key]) for key in dict.fromkeys(keys) if key in named}
    same = [ids.get(key) == own for key, own in zip(keys, rows["id"], strict=True)]
    return rows.filter(pl.Series(same, dtype=pl.Boolean)).unique(list(WHICH), keep="first", maintain_order=True)


def main(study: Path, seeds: Collection[int]) -> None:
    """Put them into the study's record: of some seeds, or of all if none is named."""
    paths = [path for path in sorted(STUDIES.glob("*/runs.parquet")) if path.parent.name != study.name]
    records = [record for path in paths if "id" in (record := pl.read_parquet(path)).columns]
    if seeds:
        records = [record.filter(pl.col("seed").is_in(list(seeds))) for record in records]
    found, path = taken(study, records), study / "runs.parquet"
    if not found.height:
        print(f"no run of {study} is in another study's record")
        return
    print(f"{path}: {found.height} runs of other studies, {keep(path, found).height} in all")


if __name__ == "__main__":
    main(Path(sys.argv[1]), [int(seed) for seed in sys.argv[2:]])
