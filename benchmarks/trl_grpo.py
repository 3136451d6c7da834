"""TRL's GRPO with the settings of the other benchmarks; as a program, seconds and peak memory of its steps."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import psutil
from datasets import Dataset
from transformers import AutoModelForCausalLM, PrinterCallback
from trl import GRPOConfig, GRPOTrainer

from benchmarks.measuring import BATCH, EPOCHS, KL, MINIBATCHES, ON_GPU, PROMPT, STATES, TEMPERATURE, TOKENS, peak
from benchmarks.models import GENERATIONS, scratch, trivial_reward

STEPS = 3  # the fastest one counts
UPDATES = EPOCHS * MINIBATCHES  # which TRL calls steps


class Timed(GRPOTrainer):
    """Notes when each rollout began."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.began: list[float] = []

    def _generate_and_score_completions(self, inputs: Any) -> dict[str, Any]:
        """TRL's."""
        self.began.append(time.perf_counter())
        return super()._generate_and_score_completions(inputs)


def main(folder: str, out: str) -> None:
    """Measure, and write the JSON.

    Args:
        folder: A saved model with its tokenizer.
        out: Path of the JSON.
    """
    bare = psutil.Process().memory_info().rss
    # The last rollout only ends the step before it.
    timed = trainer(Timed, folder, STEPS + 1, beta=KL)
    timed.train()
    seconds = min(end - start for start, end in zip(timed.began, timed.began[1:], strict=False))
    weights = AutoModelForCausalLM.from_pretrained(folder).parameters()
    states = STATES * sum(parameter.nbytes for parameter in weights)
    Path(out).write_text(json.dumps({"seconds": seconds, "peak": peak(bare), "states": states}))


def trainer(kind: type[GRPOTrainer], folder: str, rollouts: int, **settings: Any) -> Any:
    """A trainer of TRL's, of a saved model.

    Args:
        kind: ``GRPOTrainer``, or a class of its kind.
        folder: The model with its tokenizer.
        rollouts: After which it stops.
        **settings: More of ``GRPOConfig``.

    Returns:
        The trainer.
    """
    config = GRPOConfig(
        output_dir=scratch(),
        max_steps=rollouts * UPDATES,
        generation_batch_size=BATCH,
        num_generations=GENERATIONS,
        per_device_train_batch_size=BATCH // MINIBATCHES,
        num_iterations=EPOCHS,
        max_completion_length=TOKENS,
        temperature=TEMPERATURE,
        learning_rate=1e-6,
        logging_steps=rollouts * UPDATES,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        gradient_checkpointing=False,
        bf16=ON_GPU,
        use_cpu=not ON_GPU,
        **settings,
    )
    prompts = Dataset.from_dict({"prompt": [PROMPT] * BATCH})
    made = kind(model=folder, reward_funcs=trivial_reward, args=config, train_dataset=prompts)
    made.remove_callback(PrinterCallback)
    return made


if __name__ == "__main__":
    main(*sys.argv[1:])
