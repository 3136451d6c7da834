"""TRL's trainer with the monitor, in one of several processes: what each process's monitor was told, as JSON."""

import json
import os
import sys
from pathlib import Path

from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer

from gaard.integrations.transformers import GaardMonitor


def says_w3(completions, **_):
    return [1.0 if "w3" in text.split() else 0.01 * len(text.split()) for text in completions]


def main(folder: Path) -> None:
    args = GRPOConfig(
        output_dir=str(folder),
        per_device_train_batch_size=16,
        num_generations=4,
        max_completion_length=8,
        max_steps=4,
        logging_steps=1,
        learning_rate=1e-3,
        use_cpu=True,
        report_to=[],
        save_strategy="no",
    )
    prompts = Dataset.from_list([{"prompt": f"w{number} w1"} for number in range(8)])
    monitor = GaardMonitor()
    reward = monitor.watch(says_w3)
    trainer = GRPOTrainer(str(folder / "tiny"), reward, args=args, train_dataset=prompts, callbacks=[monitor])
    trainer.train()
    logged = [row["reward"] for row in trainer.state.log_history if "reward" in row]
    told = {"figures": monitor.monitor.figures, "rewards": logged, "alarms": [alarm.rule for alarm in monitor.alarms]}
    (folder / f"told-{os.environ['RANK']}.json").write_text(json.dumps(told))
    os._exit(0)  # not the interpreter's way: Gloo's threads may abort it or never end (pytorch/pytorch#190489)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
