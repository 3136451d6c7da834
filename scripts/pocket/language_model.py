"""Train the pocket model: GPT-2's architecture, small, on one document a row."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from corpus import POSITIONS, VOCABULARY
from rich.progress import Progress
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.optim.lr_scheduler import LambdaLR
from transformers import GPT2Config, GPT2LMHeadModel


class Shape(NamedTuple):
    """Of the transformer."""

    layers: int
    width: int
    heads: int
    vocabulary: int = VOCABULARY
    dropout: float = 0.1


class Recipe(NamedTuple):
    """Of the training.

    Attributes:
        epochs: Times that the texts are gone through.
        plain: Whether AdamW trains all, in single precision: faster where a processor has no bfloat16.
    """

    epochs: int
    plain: bool


POCKET = Shape(layers=4, width=192, heads=6)
WRITTEN = Recipe(epochs=10, plain=False)
SAMPLED = Recipe(epochs=3, plain=True)  # the text has less in it than what was written: it was drawn from a model
BATCH_TOKENS = 2048
# Muon for the matrices inside the layers, AdamW for all else: after one epoch, held-out perplexity per word was 51
# (written) and 1,078 (people), where AdamW alone had 107 and 2,456; with batches of 2,048 tokens for 4,096, 43 and 910.
MUON_RATE, ADAM_RATE = 0.02, 3e-3
WARM_UP, DECAY, FINAL_SHARE = 0.02, 0.7, 0.02  # shares of the steps; share of the rate at the end
WEIGHT_DECAY = 0.1
CHECKPOINT_STEPS = 200
IGNORED = -100


def new_model(end: int, shape: Shape) -> GPT2LMHeadModel:
    """The untrained model; dropout is for this training alone and is off in the saved configuration."""
    config = GPT2Config(
        vocab_size=shape.vocabulary,
        n_positions=POSITIONS,
        n_layer=shape.layers,
        n_embd=shape.width,
        n_head=shape.heads,
        activation_function="gelu_pytorch_tanh",  # one fused operation, where GPT-2's own is eight
        resid_pdrop=shape.dropout,
        embd_pdrop=shape.dropout,
        attn_pdrop=shape.dropout,
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
    )
    return GPT2LMHeadModel(config)


def batches(documents: list[np.ndarray], epoch: int, seed: int) -> list[np.ndarray]:
    """Rows of each batch of an epoch: documents of like length together, in an order of chance."""
    generator = np.random.default_rng([seed, epoch])
    lengths = np.array([len(document) for document in documents])
    order = np.argsort(lengths + generator.uniform(0, 4, len(lengths)), kind="stable")
    groups, start = [], 0
    while start < len(order):
        size = max(1, BATCH_TOKENS // int(lengths[order[min(start + 64, len(order) - 1)]]))
        groups.append(order[start : start + size])
        start += size
    generator.shuffle(groups)
    return groups


def padded(documents: list[np.ndarray], end: int) -> tuple[Tensor, Tensor]:
    """Inputs and targets, [B, L]; what is no target is ``IGNORED``, so that padding on the right needs no mask."""
    width = max(len(document) for document in documents) - 1
    inputs = torch.full((len(documents), width), end)
    targets = torch.full((len(documents), width), IGNORED)
    for row, document in enumerate(documents):
        inputs[row, : len(document) - 1] = torch.from_numpy(document[:-1])
        targets[row, : len(document) - 1] = torch.from_numpy(document[1:])
    return inputs, targets


def train(
    documents: list[np.ndarray],
    end: int,
    folder: Path,
    seed: int,
    progress: Progress,
    shape: Shape = POCKET,
    recipe: Recipe = WRITTEN,
) -> GPT2LMHeadModel:
    """Train to the end, from the last checkpoint if there is one; the same seed gives the same weights either way.

    Args:
        documents: Token ids, one array a text.
        end: Id of the end-of-text token.
        folder: Of the checkpoint; one of another training is left alone and not used.
        seed: Of weights, order and dropout.
        progress: Where to show it.
        shape: Of the model.
        recipe: Of the training.

    Returns:
        The model, in evaluation mode.
    """
    torch.manual_seed(seed)
    model = new_model(end, shape)
    optimizers = build_optimizers(model, recipe.plain)
    total = sum(len(batches(documents, epoch, seed)) for epoch in range(recipe.epochs))
    schedulers = [LambdaLR(optimizer, lambda step: rate(step, total)) for optimizer in optimizers]
    path = folder / f"training-{fingerprint(documents, seed, shape, recipe)}.pt"
    done = restore(path, model, *optimizers, *schedulers)
    task = progress.add_task("training the model", total=total, completed=done)
    model.train()
    for step, rows in steps_from(documents, seed, done, recipe.epochs):
        loss = learn(model, optimizers, *padded([documents[row] for row in rows], end), recipe.plain)
        for scheduler in schedulers:
            scheduler.step()
        progress.update(task, completed=step + 1, description=f"training the model, loss {loss:.2f}")
        if (step + 1) % CHECKPOINT_STEPS == 0 or step + 1 == total:
            save(path, step + 1, model, *optimizers, *schedulers)
    for dropout in ("resid_pdrop", "embd_pdrop", "attn_pdrop"):  # whoever trains it further decides for themselves
        setattr(model.config, dropout, 0.0)
    return model.eval()


def build_optimizers(model: GPT2LMHeadModel, plain: bool) -> list[torch.optim.Optimizer]:
    """Muon (Jordan et al., 2024) and AdamW, each for its own parameters; or AdamW for all."""
    if plain:
        return [torch.optim.AdamW(model.parameters(), lr=ADAM_RATE, betas=(0.9, 0.95), weight_decay=0.0, fused=True)]
    inside = [p for name, p in model.named_parameters() if p.dim() == 2 and ".h." in name]
    outside = [p for name, p in model.named_parameters() if not (p.dim() == 2 and ".h." in name)]
    return [
        torch.optim.Muon(inside, lr=MUON_RATE, weight_decay=WEIGHT_DECAY),
        torch.optim.AdamW(outside, lr=ADAM_RATE, betas=(0.9, 0.95), weight_decay=0.0, fused=True),
    ]


def fingerprint(documents: list[np.ndarray], seed: int, shape: Shape, recipe: Recipe) -> str:
    """What tells one training from another."""
    sizes = (POSITIONS, *shape)
    rates = (MUON_RATE, ADAM_RATE, WARM_UP, DECAY, FINAL_SHARE, WEIGHT_DECAY)
    digest = hashlib.sha256(repr((seed, recipe, BATCH_TOKENS, sizes, rates)).encode())
    for document in documents:
        digest.update(document.tobytes())
    return digest.hexdigest()[:12]


def steps_from(documents: list[np.ndarray], seed: int, done: int, epochs: int) -> Iterator[tuple[int, np.ndarray]]:
    """Steps and their rows, from a step on."""
    step = 0
    for epoch in range(epochs):
        for rows in batches(documents, epoch, seed):
            if step >= done:
                yield step, rows
            step += 1


def learn(
    model: GPT2LMHeadModel,
    optimizers: list[torch.optim.Optimizer],
    inputs: Tensor,
    targets: Tensor,
    plain: bool,
) -> float:
    """One step; the loss is nats a token."""
    everything = torch.ones_like(inputs)  # padding stands on the right, where causal attention never looks
    # 1.4 times the tokens a second where a processor has bfloat16; the weights stay in single precision.
    with torch.autocast("cpu", torch.bfloat16, enabled=not plain):
        logits = model(inputs, attention_mask=everything).logits
    loss = cross_entropy(logits.float().flatten(0, 1), targets.flatten(), ignore_index=IGNORED)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad()
    return loss.item()


def rate(step: int, total: int) -> float:
    """Warm-up, a plateau, then a straight line down."""
    rising, falling = (step + 1) / (WARM_UP * total), (total - step) / (DECAY * total)
    return max(min(1.0, rising, falling), FINAL_SHARE)


def save(path: Path, step: int, model: GPT2LMHeadModel, *parts: torch.optim.Optimizer | LambdaLR) -> None:
    """A whole checkpoint or none."""
    state = [model.state_dict(), *(part.state_dict() for part in parts)]
    half = path.with_suffix(".half")
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"step": step, "state": state, "generator": torch.get_rng_state()}, half)
    os.replace(half, path)


def restore(path: Path, *parts: torch.nn.Module | torch.optim.Optimizer | LambdaLR) -> int:
    """Steps already done."""
    if not path.exists():
        return 0
    checkpoint = torch.load(path, weights_only=True)
    for part, state in zip(parts, checkpoint["state"], strict=True):
        part.load_state_dict(state)
    torch.set_rng_state(checkpoint["generator"])
    return checkpoint["step"]


@torch.no_grad()
def nats(model: GPT2LMHeadModel, documents: list[np.ndarray], end: int) -> float:
    """−ln p of all documents, each with its end."""
    total = 0.0
    for start in range(0, len(documents), 64):
        inputs, targets = padded(documents[start : start + 64], end)
        logits = model(inputs, attention_mask=torch.ones_like(inputs)).logits.flatten(0, 1).float()
        total += float(cross_entropy(logits, targets.flatten(), ignore_index=IGNORED, reduction="sum"))
    return total
