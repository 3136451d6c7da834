"""The runs that the monitor's thresholds are chosen and tested on.

    python studies/26-monitor/runs.py FOLDER choosing

Every completion of every step is kept, as the monitor would see it where the reward is called.
"""

import sys
from itertools import product
from pathlib import Path

from gaard.lab.scenarios import with_scenario
from gaard.lab.spec import RunSpec, build_trainer
from gaard.training.runlog import METRICS, read_jsonl

OWN = "studies/04-untuned-honeypots/honeypots.py:"
SPARSE = "studies/11-sparse/successes.py:"
MAIN = ("capped", "uncapped")
CLEAN = "clean"
WORDS = tuple(OWN + name for name in ("film", "that", "dark"))
HELD_OUT = tuple(OWN + name for name in ("horror", "who", "plot"))
SLOW = ("length", "repetition")
ORDINARY = tuple(SPARSE + name for name in ("rare", "half"))  # rewards of 0 and 1, nothing to exploit
GROUPS = {"main": MAIN, "words": WORDS, "held-out": HELD_OUT, "slow": SLOW, "clean": (CLEAN,), "ordinary": ORDINARY}
KEPT = 32  # all of a step's completions

# Thresholds are chosen on the first alone.
PLANS = {
    "choosing": [
        *product((*MAIN, CLEAN), range(100, 105)),
        *product((*WORDS, *SLOW, *ORDINARY), [100]),
        *product([CLEAN], range(105, 115)),
    ],
    "test": [
        *product((*MAIN, CLEAN), range(2000, 2010)),
        *product((*WORDS, *HELD_OUT, *SLOW, *ORDINARY), [2000]),
        *product([CLEAN], range(2010, 2025)),
    ],
}


def trained(runs: Path, scenario: str, seed: int) -> Path:
    """The folder of a run with PPO and the scenario's own settings, trained if it is not yet."""
    folder = runs / f"{scenario.rpartition(':')[2]}-seed{seed}"
    own = {"log_completions": KEPT, "eval_completions": 0, "save_steps": 40, "method": "ppo"}
    spec = RunSpec(**with_scenario({"scenario": scenario, "seed": seed, **own}), output_dir=str(folder), progress=False)
    if len(read_jsonl(folder / METRICS)) < spec.max_steps:
        build_trainer(spec).train()
        print(folder, flush=True)
    return folder


if __name__ == "__main__":
    for run in PLANS[sys.argv[2]]:
        trained(Path(sys.argv[1]), *run)
