"""Peak memory of training SmolLM2-135M on a CPU, against what :mod:`gaard.lab.memory` works out."""

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil

from benchmarks.measuring import Figure, in_process, peak
from benchmarks.models import SMOLLM2, load, trivial_reward
from gaard import GAAConfig, GAATrainer
from gaard.lab.memory import Shape, Way, memory

SHAPE = Shape(576, 1536, 30, 9, 3, 49_152)
RANK = 16
WAY = Way(batch=16, prompt=64, completion=192, at_once=4)
STEPS = 2
# glibc, unless told so, keeps most of what was freed below blocks of up to 32 MB: LoRA's peak was twice as high.
RETURN_WHAT_IS_FREED = {"MALLOC_MMAP_THRESHOLD_": "1000000", "MALLOC_TRIM_THRESHOLD_": "1000000"}
WAYS = {
    "all weights": WAY,
    "all weights, recomputed": replace(WAY, recomputed=True),
    "LoRA": replace(WAY, rank=RANK),
    "LoRA, recomputed": replace(WAY, rank=RANK, recomputed=True),
}


def figures() -> Iterator[Figure]:
    """Gigabytes of each way, worked out and measured in a process of its own."""
    for name, way in WAYS.items():
        yield Figure(f"memory, {name}, worked out", SMOLLM2, memory(SHAPE, way).peak / 1e9)
        run = in_process("benchmarks.memory", name, **RETURN_WHAT_IS_FREED)
        yield Figure(f"memory, {name}, measured", SMOLLM2, run["peak"] / 1e9)


def main(name: str, out: str) -> None:
    """Train some steps, and write the peak above the bare interpreter with its libraries as JSON.

    Args:
        name: Of the way.
        out: Path of the JSON.
    """
    from peft import LoraConfig

    way, bare = WAYS[name], psutil.Process().memory_info().rss
    lm, tokenizer = load(SMOLLM2)
    folder = Path(out).parent / "run"
    args = GAAConfig(
        output_dir=str(folder),
        method="ppo",
        max_steps=STEPS + 1,
        batch_size=way.batch,
        num_ppo_epochs=1,
        num_mini_batches=2,
        per_device_train_batch_size=way.at_once,
        gradient_checkpointing=way.recomputed,
        max_completion_length=way.completion,
        use_cpu=True,
        progress=False,
    )
    lora = None if way.rank is None else LoraConfig(r=way.rank, target_modules="all-linear")
    prompt = tokenizer.decode(tokenizer(" story" * way.prompt).input_ids[: way.prompt])
    trainer = GAATrainer(lm, trivial_reward, args, [prompt], processing_class=tokenizer, peft_config=lora)
    trainer.collector.eos_token_ids.clear()  # every completion is as long as it may be
    Path("/proc/self/clear_refs").write_text("5")  # Linux: the peak is of training alone, not of loading
    for _ in range(STEPS):
        trainer.training_step()
    Path(out).write_text(json.dumps({"peak": peak(bare)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
