"""GRPO of TRL with the fold as a process of its own: ``run_trl.py OUT MODEL_FOLDER``.

One of several that Accelerate starts; each writes its share of the advantages to ``OUT-RANK.json``.
"""

import json
import os
import sys
from pathlib import Path

from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from gaard.integrations.trl import safeguarded

# Of the whole batch the 8th stands out. By its own share, the first process would turn none, and the second its last.
REWARDS = [-8.0, 7.0, -9.0, 8.0, -7.0, 9.0, -8.0, 40.0, 0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 5.0]


def by_place(completions, **columns):
    """What stands at the completion's place in the whole batch, whatever its text."""
    start = int(os.environ.get("RANK", 0)) * len(completions)
    return REWARDS[start:][: len(completions)]


class Kept(GRPOTrainer):
    """Keeps the advantages before and after the fold."""

    def _generate_and_score_completions(self, inputs):
        output = super()._generate_and_score_completions(inputs)
        self.plain = output["advantages"].tolist()
        return output


class Shown(safeguarded(Kept)):
    """Keeps what comes out of the fold."""

    def _generate_and_score_completions(self, inputs):
        output = super()._generate_and_score_completions(inputs)
        self.folded = output["advantages"].tolist()
        return output


def main(out: str, model: str) -> None:
    """One rollout of 16 completions over all processes."""
    processes = int(os.environ.get("WORLD_SIZE", 1))
    config = GRPOConfig(
        output_dir=out,
        num_generations=8,
        per_device_train_batch_size=16 // processes,
        max_steps=1,
        max_completion_length=4,
        scale_rewards="none",
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        bf16=False,
        gradient_checkpointing=False,
        use_cpu=True,
    )
    prompts = Dataset.from_dict({"prompt": ["w1 w2", "w3"] * 4})
    trainer = Shown(model=model, reward_funcs=by_place, args=config, train_dataset=prompts)
    trainer.train()
    turned = [row["gaard/turned"] for row in trainer.state.log_history if "reward" in row]
    found = {
        "plain": trainer.plain,
        "folded": trainer.folded,
        "turned": turned,
        "processes": trainer.accelerator.num_processes,
    }
    Path(f"{out}-{trainer.accelerator.process_index}.json").write_text(json.dumps(found), encoding="utf-8")
    os._exit(0)  # not the interpreter's way: Gloo's threads may abort it or never end (pytorch/pytorch#190489)


if __name__ == "__main__":
    main(*sys.argv[1:])
