"""The rows of ``make bench``; each gives some figures."""

import statistics
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import torch
from torch import Tensor

from benchmarks import models, peers
from benchmarks.measuring import (
    BATCH,
    DEVICE,
    EPOCHS,
    MINIBATCHES,
    ON_GPU,
    PROMPT,
    TEMPERATURE,
    TOKENS,
    Figure,
    in_process,
    medians,
    rates,
    turns,
)
from benchmarks.models import POCKET, SHAPE, SMOLLM2
from benchmarks.roofline import work
from benchmarks.sharpness import sharpness
from gaard.method.masking import position_ids
from gaard.policy.branch import greedy_values
from gaard.policy.kernels import keep_freed_memory, packed
from gaard.policy.model import Policy
from gaard.policy.sampling import Samples, sample

ROUNDS = 5
PLACES = 8  # positions of which the naive way is timed; the others cost as much as their length says
Row = Callable[[], Iterator[Figure]]


def gaa_over_ppo() -> Iterator[Figure]:
    """Seconds a step, gaa against ppo, all else the same: median of ratios of neighbouring steps."""
    for model, rounds, bar in ((SMOLLM2, ROUNDS, 1.05), (SHAPE, 2 * ROUNDS, 1.05), (POCKET, 30, None)):
        trainers = {way: models.trainer(model, way) for way in ("ppo", "gaa", "expected")}
        for way, trainer in trainers.items():
            models.check_named(way, models.greedy_looks(trainer.training_step))
        seconds = turns({way: trainer.training_step for way, trainer in trainers.items()}, rounds)
        for way, name, most in (("gaa", "gaa_over_ppo", bar), ("expected", "gaa_over_ppo, reading expected", 1.06)):
            ratios = [ours / ppo for ours, ppo in zip(seconds[way], seconds["ppo"], strict=True)]
            yield Figure(name, model, statistics.median(ratios), most)
        steps = trainers["gaa"].run.log.read("timings.jsonl")[1:]
        passes = [step["seconds"] / (step["seconds"] - step["branch"]) for step in steps]
        yield Figure("gaa_over_ppo, the greedy pass alone", model, statistics.median(passes))


def branch_over_naive() -> Iterator[Figure]:
    """The greedy pass against a forward of the whole batch for each position, and how it grows with T."""
    lengths, seconds = (16, 32, 64, 128), []
    policy = Policy(models.load(SHAPE)[0], TEMPERATURE, cpu_kernels=True)
    for length in lengths:
        samples = rollout(policy, length)
        places = np.linspace(0, length - 1, PLACES).round().astype(int).tolist()
        ways = {"branch": partial(greedy_values, policy, samples), "naive": partial(naive, policy, samples, places)}
        taken = medians(ways, 3)
        seconds.append(taken["branch"])
        ratio = taken["branch"] / (taken["naive"] * length / PLACES)
        yield Figure(f"branch_over_naive, T = {length}", SHAPE, ratio, 1 / 30 if length == 64 else None)
    exponent = float(np.polyfit(np.log(lengths), np.log(seconds), 1)[0])
    yield Figure("branch_over_naive, exponent of the branch in T", SHAPE, exponent, 1.2)


def rollout(policy: Policy, length: int) -> Samples:
    """A batch of one prompt's completions."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(100, 10_000, (1, 6), generator=generator).repeat(BATCH, 1).to(DEVICE)
    uniforms = torch.rand(BATCH, length, generator=generator, dtype=torch.float64).to(DEVICE)
    return sample(policy, ids, torch.ones_like(ids).bool(), uniforms, [], 0)


@torch.no_grad()
def naive(policy: Policy, samples: Samples, places: list[int]) -> list[Tensor]:
    """V(x_<t, x*_t) of every row at some t, each by a forward over all that comes before."""
    values = []
    for t in places:
        ids = torch.cat([samples.prompt_ids, samples.completion_ids[:, :t], samples.greedy_ids[:, t : t + 1]], dim=1)
        mask = torch.ones_like(ids)
        values.append(policy.values(policy.hidden(ids, mask, position_ids(mask.bool()))[:, -1]))
    return values


def step_over_roofline() -> Iterator[Figure]:
    """Sampling and learning of a PPO step against their floors, at rates measured in the same run."""
    for model in (SHAPE, SMOLLM2):
        trainer, machine = models.trainer(model, "ppo"), []
        for _ in range(ROUNDS + 1):
            machine.append(rates())
            trainer.training_step()
        timings = trainer.run.log.read("timings.jsonl")[1:]
        taken = {lap: statistics.median(step[lap] for step in timings) for lap in ("sample", "learn")}
        prompt = len(trainer.tokenizer(PROMPT).input_ids)
        floor = work(trainer.policy.lm, 2 if ON_GPU else 4, prompt, BATCH, TOKENS)
        best = max(machine, key=lambda measured: measured.flops)
        learning = taken["learn"] / floor.learning(best, EPOCHS, MINIBATCHES)
        yield Figure("step_over_roofline, learning", model, learning, 2.0)
        yield Figure("step_over_roofline, sampling", model, taken["sample"] / floor.sampling(best), 3.0)


def sampling_over_hf_generate() -> Iterator[Figure]:
    """Tokens a second against ``generate`` of transformers, in the same number format."""
    keep_freed_memory()  # as in training; for both
    for model in (SHAPE, SMOLLM2, POCKET):
        lm, tokenizer = models.load(model)
        policy = Policy(lm.to(torch.bfloat16) if ON_GPU else lm, TEMPERATURE, cpu_kernels=True)
        ids = tokenizer(PROMPT, return_tensors="pt").input_ids.repeat(BATCH, 1).to(DEVICE)
        mask = torch.ones_like(ids)
        uniforms = torch.rand(BATCH, TOKENS, dtype=torch.float64).to(DEVICE)
        drawing = dict(do_sample=True, temperature=TEMPERATURE, top_k=0, top_p=1.0, pad_token_id=0)
        length = dict(max_new_tokens=TOKENS, min_new_tokens=TOKENS)
        ways = {
            "gaard": partial(packed_sample, policy, ids, mask.bool(), uniforms),
            "generate": partial(lm.generate, ids, attention_mask=mask, **drawing, **length),
        }
        seconds = medians(ways, ROUNDS)
        yield Figure("sampling_over_hf_generate", model, seconds["generate"] / seconds["gaard"], 2.0, True)


def packed_sample(policy: Policy, ids: Tensor, mask: Tensor, uniforms: Tensor) -> Samples:
    """As a rollout samples: the weights are packed anew."""
    with packed(policy.lm, len(ids)):
        return sample(policy, ids, mask, uniforms, [], 0)


def peer_over_gaard() -> Iterator[Figure]:
    """Step time and peak memory of a plain rendering of the published algorithm, and of TRL's last PPO."""
    ways = {way: partial(one_step, way) for way in ("gaard-gaa", "plain-gaa", "gaard-ppo", "plain-ppo")}
    ways["trl-ppo"] = partial(peers.trl_step, models.saved(SHAPE))
    runs = [{way: measure() for way, measure in ways.items()} for _ in range(2)]
    best = {way: {key: min(run[way][key] for run in runs) for key in runs[0][way]} for way in ways}
    seconds, peak = ({way: best[way][key] for way in ways} for key in ("seconds", "peak"))
    above = {way: peak[way] - best[way]["states"] for way in ways}
    name = "peer_over_gaard"
    yield Figure(f"{name}, published, GAA step", SHAPE, seconds["plain-gaa"] / seconds["gaard-gaa"], 6.0, True)
    yield Figure(f"{name}, published, PPO step", SHAPE, seconds["plain-ppo"] / seconds["gaard-ppo"])
    yield Figure(f"{name}, TRL 1.12, PPO step", SHAPE, seconds["trl-ppo"] / seconds["gaard-ppo"], 2.0, True)
    yield Figure(
        f"{name}, peak memory, published over gaard, GAA", SHAPE, peak["plain-gaa"] / peak["gaard-gaa"], 3, True
    )
    yield Figure(f"{name}, the same above weights and moments", SHAPE, above["plain-gaa"] / above["gaard-gaa"])
    yield Figure(f"{name}, peak memory, TRL over gaard, PPO", SHAPE, peak["trl-ppo"] / peak["gaard-ppo"])
    for way in ways:
        yield Figure(f"{name}, seconds a step of {way}", SHAPE, seconds[way])
        yield Figure(f"{name}, gigabytes of {way}", SHAPE, peak[way] / 1e9)


def trl_fold() -> Iterator[Figure]:
    """Gaard's fold in TRL's own GRPO."""
    from benchmarks import trl_fold  # TRL takes seconds to import

    yield from trl_fold.trl_fold()


def memory() -> Iterator[Figure]:
    """Gigabytes of training SmolLM2-135M on a CPU: worked out (docs/size.md), and measured."""
    from benchmarks.memory import figures

    yield from figures()


def critic_free() -> Iterator[Figure]:
    """Seconds of a step with group advantages, against one with a critic, and against TRL's GRPO."""
    for model, rounds in ((SMOLLM2, ROUNDS), (SHAPE, 2 * ROUNDS), (POCKET, 30)):
        trainers = {way: models.trainer(model, way) for way in ("grpo", "ppo")}
        seconds = turns({way: trainer.training_step for way, trainer in trainers.items()}, rounds)
        ratios = [without / ppo for without, ppo in zip(seconds["grpo"], seconds["ppo"], strict=True)]
        yield Figure("critic_free, step over that of PPO", model, statistics.median(ratios), 0.85)
    folder = models.saved(SHAPE)
    runs = [(in_process("benchmarks.trl_grpo", folder), one_step("gaard-grpo")) for _ in range(2)]
    theirs, ours = ({key: min(run[whose][key] for run in runs) for key in ("seconds", "peak")} for whose in (0, 1))
    yield Figure("critic_free, TRL 1.16, GRPO step over ours", SHAPE, theirs["seconds"] / ours["seconds"], 1.5, True)
    yield Figure("critic_free, peak memory, TRL over gaard", SHAPE, theirs["peak"] / ours["peak"])


def one_step(way: str, batch: int = BATCH, tokens: int = TOKENS, vocabulary: int | str = "") -> dict[str, float]:
    """Seconds and peak memory of a step, in a process of its own."""
    return in_process("benchmarks.one_step", way, SHAPE, str(batch), str(tokens), str(vocabulary))


def growth() -> Iterator[Figure]:
    """Exponents of a GAA step's time, and of its memory above weights and moments, in T, batch and vocabulary."""
    sizes = {
        "T": [dict(batch=8, tokens=tokens) for tokens in (10, 20, 40, 80)],
        "batch": [dict(batch=batch) for batch in (4, 8, 16, 32)],
        "vocabulary": [dict(batch=8, vocabulary=size) for size in (50_000, 100_000, 200_000)],
    }
    for name, settings in sizes.items():
        runs = [one_step("gaard-gaa", **setting) for setting in settings]
        doublings = np.log(2.0) * np.arange(len(runs))
        for key, values in (
            ("seconds", [run["seconds"] for run in runs]),
            ("memory", [max(1.0, run["peak"] - run["states"]) for run in runs]),
        ):
            slope = float(np.polyfit(doublings, np.log(values), 1)[0])
            yield Figure(f"growth, {key} with {name}, exponent", SHAPE, slope)


def pocket() -> Iterator[Figure]:
    """Seconds of a step of the pocket model, and the throughput of two runs side by side over that of one."""
    ways = {
        "ppo, 1 thread": [("1", "ppo")],
        "ppo, 2 threads": [("2", "ppo")],
        "gaa, 1 thread": [("1", "gaa")],
        "ppo twice": [("1", "ppo"), ("1", "ppo")],
    }
    taken: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(3):
        for way, runs in ways.items():
            with ThreadPoolExecutor() as pool:
                done = pool.map(lambda run: in_process("benchmarks.pocket_run", *run)["seconds"], runs)
            taken[way].append(statistics.mean(done))
    seconds = {way: statistics.median(values) for way, values in taken.items()}
    for way in ways:
        yield Figure(f"pocket, seconds a step, {way}", POCKET, seconds[way], 0.5)
    yield Figure(
        "pocket, two side by side over one", POCKET, 2 * seconds["ppo, 1 thread"] / seconds["ppo twice"], 1.8, True
    )
    alone = min(seconds["ppo, 1 thread"], seconds["ppo, 2 threads"])
    yield Figure("pocket, two side by side over one on both threads", POCKET, 2 * alone / seconds["ppo twice"])


ROWS: dict[str, Row] = {
    row.__name__: row
    for row in (
        *(gaa_over_ppo, branch_over_naive, step_over_roofline, sampling_over_hf_generate, peer_over_gaard),
        *(growth, pocket, trl_fold, critic_free, memory, sharpness),
    )
}
