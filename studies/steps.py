"""The curves of all finished runs of a study as one small Parquet file, a row a step.

`python studies/steps.py STUDY_FOLDER FILE.parquet`. Measures are those of the step's own rollout; `kl` is to the
untrained model, in nats a token, and null where the reference was reset in training.
"""

import argparse
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from gaard.lab.compare import RESULTS
from gaard.training.runlog import METRICS, read_jsonl

MEASURED = ("reward", "true_reward", "hack_rate", "kl", "entropy")
WHICH = (("scenario", pa.string()), ("arm", pa.string()), ("seed", pa.int32()), ("step", pa.int32()))


def main(folder: Path, path: Path) -> int:
    """Write the file; returns its rows."""
    rows = []
    for run in json.loads((folder / RESULTS).read_text())["runs"]:
        own = folder / run["folder"]
        if run["error"] is not None or not (own / METRICS).exists():  # the untrained model has no steps
            continue
        reset = json.loads((own / "config.json").read_text())["reference_reset_steps"]
        for row in read_jsonl(own / METRICS):
            found = {name: row.get(name) for name in MEASURED}
            if reset:
                found["kl"] = None
            rows.append({**{name: run[name] for name in ("scenario", "arm", "seed")}, "step": row["step"], **found})
    schema = pa.schema([*WHICH, *((name, pa.float32()) for name in MEASURED)])
    pq.write_table(pa.Table.from_pylist(rows, schema), path, compression="zstd")
    return len(rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, metavar="STUDY_FOLDER")
    parser.add_argument("path", type=Path, metavar="FILE.parquet")
    print(main(**vars(parser.parse_args())), "steps")
