"""How much of the gradient comes from the texts that hack: `python -m studies.sharp_pull FOLDER`, after `studies.sharp_measured`.

It writes `pull.parquet` of study 33: a row a run and a policy in the steps in which PPO finds the hack.
"""

import sys
import tempfile
from itertools import product
from pathlib import Path
from typing import Any

import polars as pl
import torch
from torch import Tensor

from gaard.lab.sharpness.samples import rolled_out
from gaard.lab.sharpness.saved import SavedRun
from gaard.methods.experience import Observation
from gaard.policy.model import Policy
from gaard.sharpness import Batch, Objective, block, gradient
from gaard.sharpness.objectives import drawn_logprobs
from studies.collect import merged
from studies.markdown import table
from studies.sharp_measured import PLANS
from studies.sharp import FOLDER, with_interval

ARMS = (("capped", "ppo"), ("capped", "ppo-gradient-norm"))
STEPS = (0, 5, 10)
TEXTS = 512
STEP = 1e-3  # length of the step along the gradient, for central differences
TEXTS_AT_ONCE = 64


def parts_of_square(policy: Policy, batch: Batch, worth: Tensor) -> Tensor:
    """Each text's share of the squared length of a policy gradient.

    With g = mean of ``worth`` · ∇log π(text), text i has the share worthᵢ ∇log π(xᵢ)·g / (N |g|²).

    Args:
        policy: π_θ.
        batch: N texts.
        worth: What each counts, [N].

    Returns:
        [N], of sum 1 but for the error of a central difference along g; a share may be below 0.
    """
    chosen, count = block(policy.lm), len(worth)

    def of_texts() -> Tensor:
        parts = torch.arange(count).split(TEXTS_AT_ONCE)
        return torch.cat([drawn_logprobs(policy, batch.rows(index)).sum(-1) for index in parts])

    def whole() -> Any:
        for index in torch.arange(count).split(TEXTS_AT_ONCE):
            yield (worth[index] * drawn_logprobs(policy, batch.rows(index)).sum(-1)).sum() / count

    objective: Objective = whole
    uphill = gradient(objective, chosen)
    length = uphill.norm()
    ends = []
    for sign in (1, -1):
        with torch.no_grad(), chosen.moved(sign * STEP * uphill / length):
            ends.append(of_texts())
    along = (ends[0] - ends[1]) / (2 * STEP)  # of each text's log probability, a unit of length
    return worth * along / (count * length)


def pull(run: SavedRun, seed: int) -> dict[str, float]:
    """Of a run's policy as it is: the share of hacks among texts, and their share of the gradient's squared length."""
    rollout = rolled_out(run.trainer, TEXTS, seed, Observation())
    scores = rollout.scores
    worth = (scores - scores.mean()) / scores.std()
    names = ("prompt_ids", "prompt_mask", "completion_ids", "completion_mask", "logprobs")
    batch = Batch(*(getattr(rollout, name) for name in names), torch.zeros_like(rollout.logprobs), scores)
    shares = parts_of_square(run.trainer.policy, batch, worth)
    hacked = rollout.hacked.bool()
    return {"texts": float(hacked.float().mean()), "pull": float(shares[hacked].sum()), "sum": float(shares.sum())}


def pulls(record: pl.DataFrame) -> str:
    """A row a policy: how many texts hack, and how much of the gradient's squared length is theirs, with intervals."""
    rows = []
    for arm, step in record.select("arm", "step").unique(maintain_order=True).rows():
        own = record.filter(arm=arm, step=step)
        cells = [with_interval(own[name].to_list(), count=False) for name in ("texts", "pull")]
        rows.append([f"`{arm}`", step, own.height, *cells])
    return table(["policy", "step", "seeds", "share of texts that hack", "their share of the gradient's square"], rows)


def main(runs: Path) -> None:
    """Measure the runs that are there, and put the rows into the record."""
    rows = []
    for (scenario, arm), seed in product(ARMS, PLANS["test"]["seeds"]):
        folder = runs / scenario / f"{arm}-seed{seed}"
        if not (folder / "checkpoints").exists():
            continue
        with tempfile.TemporaryDirectory() as scratch:
            run = SavedRun(folder, Path(scratch))
            for step in STEPS:
                run.load(step)
                rows.append({"scenario": scenario, "arm": arm, "seed": seed, "step": step, **pull(run, seed)})
                print(rows[-1], flush=True)
    path = FOLDER / "pull.parquet"
    now = pl.DataFrame(rows)
    (merged(pl.read_parquet(path), now) if path.exists() else now).write_parquet(path, compression="zstd")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
