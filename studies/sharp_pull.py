"""How much of the gradient is that of the texts that hack: `python -m studies.sharp_pull FOLDER`.

FOLDER is that of `studies.sharp_measured`, which trains the runs. It writes `pull.parquet` of study 33: a row a run
and a policy in the steps in which PPO finds the hack.
"""

import sys
import tempfile
from dataclasses import replace
from itertools import product
from pathlib import Path

import polars as pl
import torch
from torch import Tensor

from gaard.lab.sharpness.samples import rolled_out
from gaard.lab.sharpness.saved import SavedRun
from gaard.methods.experience import Observation
from gaard.policy.model import Policy
from gaard.sharpness import Batch, block, expected_reward, gradient
from gaard.sharpness.objectives import drawn_logprobs
from studies.collect import keep
from studies.markdown import table
from studies.sharp import FOLDER, PPO, with_interval
from studies.sharp_measured import PLANS

ARMS = (("capped", PPO), ("capped", "ppo-gradient-norm"))
STEPS = (0, 5, 10)  # the first is the untrained model, the same for both arms
TEXTS = 512
STEP = 1e-3  # length of the step along the gradient, for central differences
TEXTS_AT_ONCE = 64


def along_the_others(policy: Policy, batch: Batch, worth: Tensor) -> Tensor:
    """How far each text's part of a policy gradient points along the gradient of the other half of the texts.

    The policy gradient is g = mean of ``worth`` · ∇log π(text). Text i, of one half, has the share
    worthᵢ ∇log π(xᵢ)·h / Σⱼ worthⱼ ∇log π(xⱼ)·h, where h is the gradient of the other half, and j goes through its own.
    A text has no part in h, along which its own length would always count.

    Args:
        policy: π_θ.
        batch: N texts, at least two.
        worth: What each counts, [N].

    Returns:
        [N], of sum 1 over all texts and ½ over each half; a share may be below 0.
    """
    chosen, halves = block(policy.lm), torch.arange(len(worth)).chunk(2)
    shares = torch.zeros(len(worth), dtype=torch.float64)
    for own, other in (halves, halves[::-1]):
        uphill = gradient(expected_reward(policy, replace(batch.rows(other), rewards=worth[other])), chosen)
        step = STEP * uphill / uphill.norm()
        ends = []
        for sign in (1, -1):
            with torch.no_grad(), chosen.moved(sign * step):
                ends.append(log_probabilities(policy, batch, own))
        along = worth[own].double() * (ends[0] - ends[1])
        shares[own] = along / along.sum() / 2
    return shares


def log_probabilities(policy: Policy, batch: Batch, index: Tensor) -> Tensor:
    """Log π of some texts, in double precision, [n]."""
    return torch.cat([drawn_logprobs(policy, batch.rows(some)).sum(-1).double() for some in index.split(TEXTS_AT_ONCE)])


def pull(run: SavedRun, seed: int) -> dict[str, float]:
    """Of a run's policy as it is: the share of texts that hack, and how much of the gradient is theirs."""
    rollout = rolled_out(run.trainer, TEXTS, seed, Observation())
    scores = rollout.scores
    names = ("prompt_ids", "prompt_mask", "completion_ids", "completion_mask", "logprobs")
    batch = Batch(*(getattr(rollout, name) for name in names), torch.zeros_like(rollout.logprobs), scores)
    shares = along_the_others(run.trainer.policy, batch, (scores - scores.mean()) / scores.std())
    hacked = rollout.hacked.bool()
    return {"texts": float(hacked.float().mean()), "pull": float(shares[hacked].sum())}


def pulls(record: pl.DataFrame) -> str:
    """A row a policy: how many texts hack, and how much of the gradient is theirs, with intervals over seeds."""
    rows = []
    for arm, step in record.select("arm", "step").unique(maintain_order=True).rows():
        own = record.filter(arm=arm, step=step)
        cells = [with_interval(own[name].to_list(), usual=own.height) for name in ("texts", "pull")]
        rows.append(["untrained" if step == 0 else f"`{arm}`", step, own.height, *cells])
    return table(["policy", "step", "seeds", "share of texts that hack", "their share of the gradient"], rows)


def main(runs: Path) -> None:
    """Measure the runs that are there, and put the rows into the record."""
    rows = []
    for (scenario, arm), seed in product(ARMS, PLANS["test"]["seeds"]):
        folder = runs / scenario / f"{arm}-seed{seed}"
        if not (folder / "checkpoints").exists():
            continue
        with tempfile.TemporaryDirectory() as scratch:
            run = SavedRun(folder, Path(scratch))
            for step in STEPS if arm == PPO else STEPS[1:]:
                run.load(step)
                rows.append({"scenario": scenario, "arm": arm, "seed": seed, "step": step, **pull(run, seed)})
                print(rows[-1], flush=True)
    keep(FOLDER / "pull.parquet", pl.DataFrame(rows))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
