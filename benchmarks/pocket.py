"""How fast the embedded world is: ``python benchmarks/pocket.py``.

Seconds of a training step of the pocket model (batch 32, 16 tokens, 2 epochs × 4 minibatches, PPO and GAA), and the
throughput of two runs side by side over that of one. Every figure is a median over rounds that alternate.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

ROUNDS, STEPS, WARM_UP = 3, 25, 5
RUN = """
import sys, torch
torch.set_num_threads(int(sys.argv[1]))
from gaard.lab.scenarios import with_scenario
from gaard.lab.spec import RunSpec, build_trainer
settings = with_scenario({"scenario": "capped", "max_completion_length": 16, "batch_size": 32, "num_ppo_epochs": 2,
    "num_mini_batches": 4, "method": sys.argv[2], "max_steps": int(sys.argv[3]), "output_dir": sys.argv[4],
    "progress": False, "save_steps": 10**6})
build_trainer(RunSpec(**settings)).train()
"""
WAYS = {  # name → method and threads of each process that runs at the same time
    "ppo, 1 thread": [("ppo", 1)],
    "ppo, 2 threads": [("ppo", 2)],
    "gaa, 1 thread": [("gaa", 1)],
    "gaa, 2 threads": [("gaa", 2)],
    "ppo twice, 1 thread each": [("ppo", 1), ("ppo", 1)],
}


def seconds(runs: list[tuple[str, int]]) -> float:
    """Median seconds of a step, averaged over runs that go on at once."""
    with tempfile.TemporaryDirectory() as scratch:
        processes = [
            subprocess.Popen([sys.executable, "-c", RUN, str(threads), method, str(STEPS), f"{scratch}/{number}"])
            for number, (method, threads) in enumerate(runs)
        ]
        codes = [process.wait() for process in processes]
        if any(codes):
            raise SystemExit("a run failed")
        return statistics.mean(step_seconds(Path(scratch) / str(number)) for number in range(len(runs)))


def step_seconds(folder: Path) -> float:
    """Median of a run's steps, without the first few."""
    lines = (folder / "timings.jsonl").read_text().splitlines()[WARM_UP:]
    return statistics.median(json.loads(line)["seconds"] for line in lines)


def main() -> None:
    """Run, and print the table."""
    rounds = [(name, way) for _ in range(ROUNDS) for name, way in WAYS.items()]
    figures: dict[str, list[float]] = {name: [] for name in WAYS}
    for name, way in track(rounds, "timing", console=Console(stderr=True)):
        figures[name].append(seconds(way))
    medians = {name: statistics.median(values) for name, values in figures.items()}
    table = Table(title=f"seconds a step, median of {ROUNDS} rounds")
    table.add_column("run")
    table.add_column("seconds", justify="right")
    for name, value in medians.items():
        table.add_row(name, f"{value:.3f}")
    console = Console()
    console.print(table)
    ratio = 2 * medians["ppo, 1 thread"] / medians["ppo twice, 1 thread each"]
    console.print(f"two side by side: {ratio:.2f} × the throughput of one (1 thread a run)")
    best = min(medians["ppo, 1 thread"], medians["ppo, 2 threads"])
    whole = 2 * best / medians["ppo twice, 1 thread each"]
    console.print(f"two side by side: {whole:.2f} × the throughput of the faster of one run on 1 or 2 threads")


if __name__ == "__main__":
    main()
