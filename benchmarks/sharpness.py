"""What curvature costs: products with the Hessian, the top eigenvalues of the pocket model, a look while training."""

import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from benchmarks import models
from benchmarks.measuring import DEVICE, Figure
from benchmarks.models import POCKET, SHAPE
from gaard.policy.model import Policy
from gaard.sharpness import (
    Batch,
    Block,
    KeptHessian,
    Objective,
    block,
    eigenpairs,
    expected_reward,
    hessian_product,
    penalized_surrogate,
    twice_differentiable,
)
from gaard.sharpness.objectives import drawn_logprobs

SMALL = (8, 16)  # completions and their tokens, behind a prompt of 4: 8 × 20 tokens go through the model
LARGE = (256, 16)
PROMPT_TOKENS, KL_COEF, CLIP = 4, 0.05, 0.2
EIGENVALUES, TOLERANCE = 5, 1e-2
EVERY = 5  # the recommended sharpness_steps


def sharpness() -> Iterator[Figure]:
    """Products, eigenvalues and looks: processor time, which other programs on the machine change least."""
    for model, rounds in ((SHAPE, 3), (POCKET, 5)):
        yield from _products(model, rounds)
    yield from _eigenvalues()
    yield from _look()


def _products(model: str, rounds: int) -> Iterator[Figure]:
    """A product against plain double backward of the same scalar; the ways take turns."""
    lm = models.gpt2_shape().to(DEVICE).eval() if model == SHAPE else models.load(model)[0]
    policy = Policy(lm, critic=False)
    with twice_differentiable(policy.lm):
        batch, chosen = random_batch(policy, *SMALL), block(policy.lm)
        objective, vector = expected_reward(policy, batch), chosen.vector()
        kept = KeptHessian(objective, chosen)
        ways: dict[str, Callable[[], Any]] = {
            "plain": partial(plain_product, objective, chosen, vector),
            "gaard": partial(hessian_product, objective, chosen, vector),
            "kept": partial(kept, vector),
        }
        taken = in_turns(ways, rounds)
    for way in ("gaard", "kept"):
        ratio = statistics.median(a / b for a, b in zip(taken[way], taken["plain"], strict=True))
        name = "a product" if way == "gaard" else "a product with its graph kept"
        yield Figure(f"sharpness, {name}, over double backward", model, ratio, 1.05 if way == "gaard" else None)


def plain_product(objective: Objective, chosen: Block, vector: Tensor) -> list[Tensor]:
    """H v by two calls of ``autograd.grad`` on the whole scalar, without any of gaard's bookkeeping."""
    whole = sum(objective())
    slopes = torch.autograd.grad(whole, chosen.tensors, create_graph=True)
    along = sum((slope * x).sum() for slope, x in zip(slopes, chosen.split(vector), strict=True))
    return list(torch.autograd.grad(along, chosen.tensors))


def _eigenvalues() -> Iterator[Figure]:
    """Processor seconds of the top eigenvalues of PPO's objective over 256 completions of the pocket model."""
    policy = Policy(models.load(POCKET)[0], critic=False)
    reference = Policy(models.load(POCKET)[0], critic=False)
    with twice_differentiable(policy.lm), twice_differentiable(reference.lm):
        batch, chosen = random_batch(policy, *LARGE), block(policy.lm)
        objective = penalized_surrogate(policy, batch, reference, CLIP, KL_COEF)
        began = time.process_time()
        found = eigenpairs(KeptHessian(objective, chosen), chosen.vector(), EIGENVALUES, "top", TOLERANCE)
        seconds = time.process_time() - began
    yield Figure("sharpness, top 5 eigenvalues of 256 completions, processor seconds by 2", POCKET, seconds / 2, 60.0)
    yield Figure("sharpness, the same, products", POCKET, found.products)


def _look() -> Iterator[Figure]:
    """A step with a look over one without, spread over the steps between two looks."""
    trainers = {way: models.trainer_of(*models.load(POCKET), "ppo", sharpness_steps=n) for way, n in WITH.items()}
    taken = in_turns({way: trainer.training_step for way, trainer in trainers.items()}, 15)
    more = statistics.median(a / b for a, b in zip(taken["looks"], taken["not"], strict=True)) - 1
    yield Figure("sharpness, a look, share of a step", POCKET, more)
    yield Figure(f"sharpness, looks every {EVERY} steps, share of the time", POCKET, more / EVERY, 0.05)


WITH = {"not": None, "looks": 1}


def random_batch(policy: Policy, rows: int, tokens: int) -> Batch:
    """Random completions with advantages and rewards that have no pattern, as if the policy had drawn them."""
    generator = torch.Generator().manual_seed(0)
    vocabulary = policy.lm.get_output_embeddings().weight.shape[0]
    ids = torch.randint(1, vocabulary - 1, (rows, PROMPT_TOKENS + tokens), generator=generator).to(DEVICE)
    advantages = torch.randn(rows, tokens, generator=generator).to(DEVICE)
    prompts, mask = ids[:, :PROMPT_TOKENS], torch.ones_like(ids, dtype=torch.bool)
    drawn, mask = ids[:, PROMPT_TOKENS:], mask[:, PROMPT_TOKENS:]
    rewards = torch.randn(rows, generator=generator).to(DEVICE)
    batch = Batch(prompts, torch.ones_like(prompts, dtype=torch.bool), drawn, mask, advantages, advantages, rewards)
    with torch.no_grad():
        return Batch(**{**vars(batch), "logprobs": drawn_logprobs(policy, batch)})


def in_turns(ways: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Processor seconds of each way, one after the other, after a first round that does not count."""
    taken: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(rounds + 1):
        for way, action in ways.items():
            began = time.process_time()
            action()
            if number:
                taken[way].append(time.process_time() - began)
    return taken
