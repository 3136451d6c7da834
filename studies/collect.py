"""From a study's folder to its record: `python -m studies.collect RUNS_FOLDER STUDY`, after `gaard compare STUDY.yaml`.

It writes `runs.parquet` beside the study, and, where they are asked for, `steps.parquet`, the curves of every run,
`samples.parquet`, what is known of the tokens of the hack in the texts that the runs kept, and `places.parquet`, where
x* is such a token, drawn or not. A record can be made in parts, some seeds at a time: runs that are not in the folder
stay in it.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from gaard.lab.measures import OF_RUN

WHICH = {"scenario": pl.String, "arm": pl.String, "seed": pl.Int64}
STEP = {"reward": pl.Float32, "true_reward": pl.Float32, "hack_rate": pl.Float32, "kl_ref": pl.Float32}
STEP |= {"entropy": pl.Float32, "completion_length": pl.Float32}
AT_THE_HACK = ("sigma", "a", "b", "advantage", "greedy_advantage")
SAMPLE = {"hacked": pl.Boolean, "tokens": pl.Int32, "turned": pl.Int32, "greedy": pl.List(pl.Boolean)}
SAMPLE |= dict.fromkeys(AT_THE_HACK, pl.List(pl.Float32))
AT_THE_PLACE = ("eta", *AT_THE_HACK)
PLACE = {"step": pl.Int32, "drawn": pl.Boolean, **dict.fromkeys(AT_THE_PLACE, pl.Float32)}
FOLDER = "folder"


def finished(folder: Path) -> pl.DataFrame:
    """The finished runs of a study's folder, scenarios by their short names, with the folder of each."""
    runs = pl.read_parquet(folder / "runs.parquet").filter(pl.col("error").is_null())
    return runs.with_columns(pl.col("scenario").str.replace(r"^.*\.py-", ""))


def record(runs: pl.DataFrame) -> pl.DataFrame:
    """Runs as the record has them."""
    return runs.select("id", pl.col("algorithm").cast(pl.Int32), *WHICH, "error", *OF_RUN)


def steps(folder: Path, runs: pl.DataFrame) -> pl.DataFrame:
    """A row a step of every trained run; ``kl_ref`` is null where the reference moved, since it is not to one model."""
    rows = []
    for which, own in _folders(folder, runs):
        moved = any(
            one["name"] == "reference-resets"
            for one in json.loads((own / "run.json").read_text())["config"]["regularizers"]
        )
        for line in (own / "metrics.jsonl").open(encoding="utf-8"):
            row = json.loads(line)
            rows.append({**which, "step": row["step"], **{name: row.get(name) for name in STEP}})
            if moved:
                rows[-1]["kl_ref"] = None
    return pl.DataFrame(rows, {**WHICH, "step": pl.Int32, **STEP})


def samples(folder: Path, runs: pl.DataFrame) -> pl.DataFrame:
    """A row a text that was kept: whether it hacks, how many of its tokens were turned, and its tokens of the hack.

    Of scenarios in which some text hacks.
    """
    rows = []
    for which, own in _folders(folder, runs):
        for line in (own / "samples.jsonl").open(encoding="utf-8"):
            row = json.loads(line)
            tokens = row["tokens"]
            at = [place for place, hack in enumerate(tokens["hack"]) if hack]
            greedy = [tokens["greedy"][place] == tokens["text"][place] for place in at]
            known = {name: [tokens[name][place] for place in at] if name in tokens else [] for name in AT_THE_HACK}
            counts = {"tokens": len(tokens["hack"]), "turned": int(sum(tokens.get("turned", ())))}
            rows.append({**which, "step": row["step"], "hacked": row["hacked"], **counts, "greedy": greedy, **known})
    return pl.DataFrame(rows, {**WHICH, "step": pl.Int32, **SAMPLE}).filter(pl.col("hacked").any().over("scenario"))


def places(folder: Path, runs: pl.DataFrame) -> pl.DataFrame:
    """A row a place at which x* is a token of the hack and b < 0: whether it was drawn there, and what the method saw.

    A token of the hack is one that stood in a hack in any text that the run kept.
    """
    rows = []
    for which, own in _folders(folder, runs):
        texts = [json.loads(line) for line in (own / "samples.jsonl").open(encoding="utf-8")]
        tokens = [(text["step"], text["tokens"]) for text in texts if "b" in text["tokens"]]
        bad = {word for _, one in tokens for word, hack in zip(one["text"], one["hack"], strict=True) if hack}
        for step, one in tokens:
            at = [place for place, word in enumerate(one["greedy"]) if word in bad and one["b"][place] < 0]
            for place in at:
                drawn = one["text"][place] == one["greedy"][place]
                known = {name: one[name][place] for name in AT_THE_PLACE}
                rows.append({**which, "step": step, "drawn": drawn, **known})
    return pl.DataFrame(rows, {**WHICH, **PLACE})


def merged(before: pl.DataFrame, now: pl.DataFrame) -> pl.DataFrame:
    """A recorded table with the rows of further runs; those of a run that was made again replace its old ones."""
    whole = pl.concat([before.join(now, on=list(WHICH), how="anti"), now], how="diagonal")
    return whole.sort("seed", maintain_order=True)


def keep(path: Path, rows: pl.DataFrame) -> pl.DataFrame:
    """Put runs' rows into a recorded table, in place of those that they had; the whole table."""
    whole = merged(pl.read_parquet(path), rows) if path.exists() else rows
    whole.write_parquet(path, compression="zstd", compression_level=19)
    return whole


def _folders(folder: Path, runs: pl.DataFrame) -> Iterator[tuple[dict[str, Any], Path]]:
    """Which run, and its folder, of those that trained."""
    for run in runs.filter(pl.col("arm") != "untrained").to_dicts():
        yield {name: run[name] for name in WHICH}, folder / run[FOLDER]


def main(folder: Path, study: Path, extra: list[str], scenario: str | None = None) -> None:
    """Write the tables that are asked for, perhaps of one scenario."""
    runs = finished(folder)
    runs = runs if scenario is None else runs.filter(scenario=scenario)
    tables = {"runs": record(runs), **{name: EXTRA[name](folder, runs) for name in extra}}
    for name, table in tables.items():
        path = study / f"{name}.parquet"
        print(f"{path}: {keep(path, table).height} rows")


EXTRA = {"steps": steps, "samples": samples, "places": places}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, metavar="RUNS_FOLDER", help="the --out of gaard compare")
    parser.add_argument("study", type=Path, metavar="STUDY", help="its folder, such as studies/01-main")
    parser.add_argument("--extra", nargs="*", choices=EXTRA, default=[], help="further tables")
    parser.add_argument("--scenario", metavar="NAME", help="of this one alone; default: of all")
    main(**vars(parser.parse_args()))
