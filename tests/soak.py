"""A long run and a study of many runs: memory and file handles stay flat, the log whole, the disk bounded.

``make soak``, or ``python tests/soak.py [STEPS] [RUNS]`` for other lengths; prints the figures and fails beyond a bar.
"""

import io
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import torch
from transformers import AutoModelForCausalLM

from forked import FORKS
from gaard.lab.compare import compare
from gaard.lab.study import study_of_settings
from gaard.report.page import write_page
from gaard.report.study_files import read_study_files
from gaard.training.runlog import read_jsonl
from tiny import WORDS, tiny_config, tiny_trainer, word_tokenizer

MB = 2**20
LOOKS = 200  # measurements of a run
WARM_UP = 0.2  # of them are left out: caches fill
SLOPE = 1.0  # MB per 1,000 steps
OF_RUNS = 20.0  # MB per 1,000 runs of a study, in the process that carries it out
SMALLEST = {"batch_size": 4, "num_mini_batches": 1, "num_ppo_epochs": 1, "max_completion_length": 4}
REWARD = "def score(completions, **_):\n    return [len(set(text.split())) / 4 for text in completions]\n"


def slope(points: list[tuple[float, float]]) -> float:
    """Of a line through (step, bytes), in MB per 1,000 steps, the warm-up left out."""
    late = points[int(WARM_UP * len(points)) :]
    xs, ys = zip(*late, strict=True)
    return statistics.linear_regression(xs, ys).slope * 1000 / MB


def size(folder: Path) -> int:
    """Bytes of all files."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def soak_steps(folder: Path, steps: int, limit: int = 2) -> dict[str, Any]:
    """One run of so many steps, measured on the way.

    Returns:
        ``slope`` (MB per 1,000 steps), ``handles`` (least and most), ``logged`` (whether each step is there once),
        ``checkpoints`` (most bytes, in sizes of one checkpoint), ``seconds``.
    """
    more = {"save_steps": max(1, steps // LOOKS), "save_total_limit": limit, "log_completions": 1}
    trainer = tiny_trainer(folder, method="ppo", max_steps=steps, eval_completions=0, **SMALLEST, **more)
    process, saved = psutil.Process(), folder / "checkpoints"
    memory, handles, disk, began = [], [], [], time.monotonic()
    while not trainer.run.finished:
        trainer.training_step()
        if trainer.state.step % more["save_steps"] == 0:
            memory.append((trainer.state.step, process.memory_info().rss))
            handles.append(process.num_fds())
            disk.append(size(saved))
            if len(memory) % 10 == 0:
                print(json.dumps({"step": memory[-1][0], "bytes": memory[-1][1]}), file=sys.stderr, flush=True)
    one = max(size(path) for path in saved.iterdir())
    late = handles[int(WARM_UP * len(handles)) :]
    return {
        "slope": slope(memory),
        "handles": (min(late), max(late)),
        "logged": [row["step"] for row in read_jsonl(folder / "metrics.jsonl")] == list(range(1, steps + 1)),
        "checkpoints": max(disk) / one,
        "limit": limit,
        "seconds": time.monotonic() - began,
    }


def soak_study(folder: Path, runs: int, jobs: int) -> dict[str, Any]:
    """A study of so many tiny runs, a multiple of 4, whose folder another process reads all the time.

    Returns:
        ``slope`` (MB per 1,000 runs of this process), ``failed`` runs, ``looks`` and ``unread`` of them, ``seconds``.
    """
    folder.mkdir(parents=True)
    (folder / "reward.py").write_text(REWARD)
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(tiny_config("gpt2")).save_pretrained(folder / "model")
    word_tokenizer(WORDS).save_pretrained(folder / "model")
    settings = {"model": str(folder / "model"), "prompts": ["w1 w2"], "reward_funcs": [f"{folder}/reward.py:score"]}
    settings |= {"max_steps": 2, "eval_completions": 8, "use_cpu": True, "progress": False, **SMALLEST}
    study = study_of_settings(settings, ["ppo", "fold", "gaa-text"], range(runs // 4))
    out, process, memory, began = folder / "study", psutil.Process(), [], time.monotonic()
    told, tell = FORKS.Pipe(duplex=False)
    reader = FORKS.Process(target=read_all_the_time, args=(out, tell), daemon=True)
    reader.start()

    def announce(text: str) -> None:
        memory.append((len(memory), process.memory_info().rss))

    results = compare(study, out, jobs=jobs, announce=announce)
    looks, unread = told.recv() if told.poll(60) else (0, ["the reader did not answer"])
    per_announcement = len(results["runs"]) / len(memory)
    return {
        "slope": slope(memory) / per_announcement,
        "runs": len(results["runs"]),
        "failed": sum(run["error"] is not None for run in results["runs"]),
        "looks": looks,
        "unread": unread,
        "seconds": time.monotonic() - began,
    }


def read_all_the_time(folder: Path, tell: Any) -> None:
    """Read a study's folder as a report does until all is done; tell how often, and what could not be read."""
    looks, unread = 0, []
    while not (folder / "results.json").exists():
        time.sleep(0.01)
    finished = False
    while not finished:
        try:
            found = read_study_files(folder)
            finished = found.finished
            for run in found.runs:
                _ = run.metrics
            if (folder / "runs.parquet").exists():
                pq.read_table(io.BytesIO((folder / "runs.parquet").read_bytes()))  # opened once: it may be replaced
            if looks % 20 == 0:
                write_page(folder)
        except Exception as error:
            unread.append(f"{type(error).__name__}: {error}")
        looks += 1
    tell.send((looks, unread))


def main(steps: int = 10_000, runs: int = 200) -> int:
    """Both, and what they came to; 1 beyond a bar. 0 leaves one of them out."""
    good = True
    with tempfile.TemporaryDirectory() as there:
        if steps:
            one = soak_steps(Path(there) / "run", steps)
            print(json.dumps({"steps": steps, **one}), flush=True)
            good = one["slope"] < SLOPE and one["logged"] and one["handles"][1] - one["handles"][0] <= 1
            good = good and one["checkpoints"] < one["limit"] + 0.1
        for jobs in (1, 2) if runs else ():
            found = soak_study(Path(there) / str(jobs), runs, jobs)
            print(json.dumps({"jobs": jobs, **found}), flush=True)
            good = good and not found["failed"] and not found["unread"] and found["slope"] < OF_RUNS
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
