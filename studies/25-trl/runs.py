"""GRPO in TRL's own loop on gaard's scenarios, with and without the fold: `runs.parquet` and `steps.parquet`.

`python studies/25-trl/runs.py FOLDER` trains what is not in FOLDER yet, one run after another, and writes the record.
"""

import json
import sys
import time
from itertools import product
from pathlib import Path

import polars as pl
import torch
from datasets import Dataset
from transformers import PrinterCallback
from trl import GRPOConfig, GRPOTrainer

from gaard.integrations.trl import safeguarded
from gaard.lab.scenarios import Scenario, find_scenario
from gaard.models.loading import load_model_and_tokenizer

SCENARIOS = ("capped", "clean")
ARMS = ("none", "fold")
SEEDS = range(2000, 2005)
GROUP = 8
FRESH = 256  # completions that are measured after training
LOGGED = {"reward": "reward", "true_reward": "true_reward", "hack_rate": "hack_rate", "turned": "gaard/turned"}
LOGGED |= {"kl": "kl", "entropy": "entropy"}


def measured(scenario: Scenario, **texts) -> dict[str, float]:
    """What was meant of some completions, and how many of them are hacks."""
    true = (scenario.true_reward or scenario.proxy.true_reward)(**texts)
    hacks = (scenario.hack_detector or scenario.proxy.detect)(texts["completions"])
    return {"true_reward": sum(true) / len(true), "hack_rate": sum(hacks) / len(hacks)}


def reward_function(scenario: Scenario):
    """The scenario's reward as a plain function, which also logs what is measured, by TRL's own means."""

    def reward(prompts, completions, completion_ids, log_metric, **columns):
        texts = {"prompts": prompts, "completions": completions, "completion_ids": completion_ids}
        for name, value in measured(scenario, **texts).items():
            log_metric(name, value)
        return scenario.proxy(**texts)

    return reward


def config(scenario: Scenario, folder: Path, seed: int) -> GRPOConfig:
    """The settings of the scenario, as far as TRL has them; else TRL's own."""
    training = scenario.training
    updates = training["num_mini_batches"] * training["num_ppo_epochs"]  # of one rollout
    return GRPOConfig(
        output_dir=str(folder),
        seed=seed,
        num_generations=GROUP,
        generation_batch_size=training["batch_size"],
        per_device_train_batch_size=training["batch_size"] // training["num_mini_batches"],
        num_iterations=training["num_ppo_epochs"],
        max_steps=training["max_steps"] * updates,
        learning_rate=training["learning_rate"],
        lr_scheduler_type="constant_with_warmup",
        warmup_steps=5 * updates,
        adam_epsilon=1e-5,
        beta=scenario.kl_coef,
        temperature=scenario.temperature,
        max_completion_length=scenario.max_completion_length,
        logging_steps=updates,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        gradient_checkpointing=False,
        bf16=False,
        use_cpu=True,
    )


def trained(scenario: Scenario, folder: Path, pocket: Path, arm: str, seed: int) -> GRPOTrainer:
    """A trainer at the end of its training."""
    trainer = safeguarded(GRPOTrainer, method=arm)(
        model=str(pocket),
        reward_funcs=reward_function(scenario),
        args=config(scenario, folder, seed),
        train_dataset=Dataset.from_dict({"prompt": prompts(scenario, 320)}),
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return trainer


def prompts(scenario: Scenario, count: int) -> list[str]:
    """The scenario's prompts in turn."""
    return [scenario.prompts[row % len(scenario.prompts)] for row in range(count)]


def fresh(scenario: Scenario, trainer: GRPOTrainer, seed: int) -> dict[str, float]:
    """What is measured of new completions after training, and the share of them that are no copy of another."""
    tokenizer, asked = trainer.processing_class, prompts(scenario, FRESH)
    inputs = tokenizer(asked, return_tensors="pt", padding=True, padding_side="left")
    torch.manual_seed(10_000 + seed)
    sampling = {"do_sample": True, "temperature": scenario.temperature, "top_k": 0, "top_p": 1.0}
    ids = trainer.model.eval().generate(**inputs, **sampling, max_new_tokens=scenario.max_completion_length)
    texts = tokenizer.batch_decode(ids[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    found = measured(scenario, prompts=asked, completions=texts, completion_ids=[[]] * FRESH)
    return {**found, "distinct": len(set(texts)) / FRESH}


def run(out: Path, name: str, arm: str, seed: int) -> dict:
    """What came of one run, trained if it is not there yet."""
    file = out / f"{name}-{arm}-seed{seed}.json"
    if not file.exists():
        scenario, start = find_scenario(name), time.perf_counter()
        trainer = trained(scenario, out / file.stem, out / "pocket", arm, seed)
        which = {"scenario": name, "arm": arm, "seed": seed, "seconds": time.perf_counter() - start}
        logs = [row for row in trainer.state.log_history if "reward" in row]
        steps = [{short: row.get(key) for short, key in LOGGED.items()} for row in logs]
        which |= fresh(scenario, trainer, seed)
        print(which, flush=True)
        file.write_text(json.dumps({**which, "steps": steps}), encoding="utf-8")
    return json.loads(file.read_text(encoding="utf-8"))


def main(out: Path) -> None:
    """Train what is missing and write the record.

    Args:
        out: Folder of the runs.
    """
    torch.set_num_threads(1)
    for part in load_model_and_tokenizer("pocket"):
        part.save_pretrained(out / "pocket")
    runs = [run(out, *which) for which in product(SCENARIOS, ARMS, SEEDS)]
    steps = []
    for one in runs:
        curve = one.pop("steps")
        steps += [
            {"scenario": one["scenario"], "arm": one["arm"], "seed": one["seed"], "step": n, **row}
            for n, row in enumerate(curve)
        ]
    for name, rows in (("runs", runs), ("steps", steps)):
        pl.DataFrame(rows, infer_schema_length=None).write_parquet(Path(__file__).with_name(f"{name}.parquet"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
