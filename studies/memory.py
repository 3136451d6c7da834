"""The tables of docs/size.md: what gaard's own trainer takes for models of common sizes, and how far that is off.

``python -m studies.memory`` prints them; `make results` writes them into the page.
"""

import json
from dataclasses import replace

from benchmarks.markdown import RESULTS
from benchmarks.memory import RANK, SHAPE

from gaard.lab.memory import Shape, Way, memory
from studies.markdown import NOTHING, table

SHAPES = {
    "SmolLM2-135M": SHAPE,
    "Qwen2.5-0.5B": Shape(896, 4864, 24, 14, 2, 151_936, attention_bias=True),
    "Llama-3.2-1B": Shape(2048, 8192, 16, 32, 8, 128_256),
    "Llama-3.2-3B": Shape(3072, 8192, 28, 24, 8, 128_256),
    "Llama-3.1-8B": Shape(4096, 14_336, 32, 32, 8, 128_256, tied=False),
    "Qwen2.5-14B": Shape(5120, 13_824, 48, 40, 8, 152_064, tied=False, attention_bias=True),
    "Qwen2.5-32B": Shape(5120, 27_648, 64, 40, 8, 152_064, tied=False, attention_bias=True),
    "Llama-3.1-70B": Shape(8192, 28_672, 80, 64, 8, 128_256, tied=False),
}
FULL = Way(batch=32, prompt=128, completion=384, at_once=2)
WAYS = {
    "all weights, float32": FULL,
    "all weights, bf16": replace(FULL, bf16=True),
    "LoRA, float32": replace(FULL, rank=RANK),
    "LoRA, bf16": replace(FULL, rank=RANK, bf16=True),
}


def gigabytes(size: float) -> str:
    """Of bytes, to two digits or the whole number; nothing for nothing."""
    if not size:
        return NOTHING
    number = size / 1e9
    return f"{number:.0f}" if number >= 10 else f"{number:.1f}" if number >= 1 else f"{number:.2g}"


def peaks() -> str:
    """A row a model: the peak of each way, and with gradient checkpointing."""
    rows = []
    for name, shape in SHAPES.items():
        cells = []
        for way in WAYS.values():
            both = (memory(shape, replace(way, recomputed=again)).peak for again in (False, True))
            cells.append(" / ".join(map(gigabytes, both)))
        rows.append([name, f"{shape.weights / 1e9:.2g}", *cells])
    return table(["model", "10⁹ weights", *WAYS], rows)


def parts() -> str:
    """A row a model: of what the peak is made up, all weights or LoRA, in float32."""
    rows = []
    for name, shape in SHAPES.items():
        for what, way in (("all", FULL), ("LoRA", replace(FULL, rank=RANK))):
            found, again = memory(shape, way), memory(shape, replace(way, recomputed=True))
            held = found.held
            sizes = [held.weights, held.references, held.gradients, held.moments]
            sizes += [found.activations, again.activations, found.learning, found.collecting]
            rows.append([name, what, *map(gigabytes, sizes)])
    head = ["model", "trains", "weights", "reference", "gradients", "Adam", "activations", "the same, recomputed"]
    return table([*head, "logits and the rest", "rollout"], rows)


def measured() -> str:
    """A row a way that was run: worked out, measured, and their ratio."""
    found = [one for one in json.loads(RESULTS.read_text(encoding="utf-8")) if one["name"].startswith("memory, ")]
    values = {one["name"].removeprefix("memory, "): one["value"] for one in found}
    rows = []
    for name in sorted({key.rpartition(", ")[0] for key in values}):
        worked, seen = values[f"{name}, worked out"], values[f"{name}, measured"]
        rows.append([name, f"{worked:.2f}", f"{seen:.2f}", f"{seen / worked - 1:+.0%}"])
    return table(["way", "worked out, GB", "measured, GB", "off by"], rows)


if __name__ == "__main__":
    print(peaks(), parts(), measured(), sep="\n")
