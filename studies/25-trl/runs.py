"""GRPO in TRL's own loop on the scenario `capped`, with and without gaard's fold: `runs.parquet` and `steps.parquet`.

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
from trl import GRPOConfig, GRPOTrainer

from gaard.integrations.trl import safeguarded
from gaard.lab.scenarios import find_scenario
from gaard.models.loading import load_model_and_tokenizer

ARMS = ("none", "fold")
SEEDS = range(2000, 2005)
SCENARIO = find_scenario("capped")
PROXY = SCENARIO.proxy  # its detector and its truth are the honeypot's own
TRAINING = SCENARIO.training
GROUP = 8
UPDATES = TRAINING["num_mini_batches"] * TRAINING["num_ppo_epochs"]  # optimizer steps of one rollout
FRESH = 256  # completions that are measured after training
LOGGED = {"reward": "reward", "true_reward": "true_reward", "hack_rate": "hack_rate", "turned": "gaard/turned"}
LOGGED |= {"kl": "kl", "entropy": "entropy"}


def capped(prompts, completions, completion_ids, log_metric=None, **columns):
    """The honeypot as a plain reward function; what was meant and how many texts are hacks is logged beside it."""
    paid, true = PROXY.proxy_and_true(prompts=prompts, completions=completions, completion_ids=completion_ids)
    if log_metric:
        log_metric("true_reward", sum(true) / len(true))
        log_metric("hack_rate", sum(PROXY.detect(completions)) / len(completions))
    return paid


def config(folder: Path, seed: int) -> GRPOConfig:
    """The settings of the scenario, as far as TRL has them; else TRL's own."""
    batch = TRAINING["batch_size"]
    return GRPOConfig(
        output_dir=str(folder),
        seed=seed,
        num_generations=GROUP,
        generation_batch_size=batch,
        per_device_train_batch_size=batch // TRAINING["num_mini_batches"],
        num_iterations=TRAINING["num_ppo_epochs"],
        max_steps=TRAINING["max_steps"] * UPDATES,
        learning_rate=TRAINING["learning_rate"],
        lr_scheduler_type="constant_with_warmup",
        warmup_steps=5 * UPDATES,
        adam_epsilon=1e-5,
        beta=SCENARIO.kl_coef,
        temperature=SCENARIO.temperature,
        max_completion_length=SCENARIO.max_completion_length,
        logging_steps=UPDATES,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        gradient_checkpointing=False,
        bf16=False,
        use_cpu=True,
    )


def trained(folder: Path, pocket: Path, arm: str, seed: int) -> GRPOTrainer:
    """A trainer at the end of its training."""
    rollouts = TRAINING["max_steps"] * TRAINING["batch_size"] // GROUP
    prompts = [SCENARIO.prompts[row % len(SCENARIO.prompts)] for row in range(rollouts)]
    trainer = safeguarded(GRPOTrainer, method=arm)(
        model=str(pocket),
        reward_funcs=capped,
        args=config(folder, seed),
        train_dataset=Dataset.from_dict({"prompt": prompts}),
    )
    trainer.train()
    return trainer


def measured(trainer: GRPOTrainer, seed: int) -> dict[str, float]:
    """Hack rate and true reward of fresh completions."""
    tokenizer, model = trainer.processing_class, trainer.model.eval()
    prompts = [SCENARIO.prompts[row % len(SCENARIO.prompts)] for row in range(FRESH)]
    inputs = tokenizer(prompts, return_tensors="pt", padding=True, padding_side="left")
    torch.manual_seed(10_000 + seed)
    sampling = {"do_sample": True, "temperature": SCENARIO.temperature, "top_k": 0, "top_p": 1.0}
    ids = model.generate(**inputs, **sampling, max_new_tokens=SCENARIO.max_completion_length)
    texts = tokenizer.batch_decode(ids[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    _, true = PROXY.proxy_and_true(prompts=prompts, completions=texts, completion_ids=[[]] * FRESH)
    return {"hack_rate": sum(PROXY.detect(texts)) / FRESH, "true_reward": sum(true) / FRESH, "distinct": distinct(texts)}


def distinct(texts: list[str]) -> float:
    """The share of texts that are not a copy of another."""
    return len(set(texts)) / len(texts)


def run(out: Path, pocket: Path, arm: str, seed: int) -> dict:
    """What came of one run, trained if it is not there yet."""
    file = out / f"{arm}-seed{seed}.json"
    if not file.exists():
        start = time.perf_counter()
        trainer = trained(out / file.stem, pocket, arm, seed)
        seconds = time.perf_counter() - start
        logs = [row for row in trainer.state.log_history if "reward" in row]
        steps = [{name: row.get(key) for name, key in LOGGED.items()} for row in logs]
        found = {"arm": arm, "seed": seed, **measured(trainer, seed), "seconds": seconds, "steps": steps}
        file.write_text(json.dumps(found), encoding="utf-8")
        print({key: value for key, value in found.items() if key != "steps"}, steps[-1], flush=True)
    return json.loads(file.read_text(encoding="utf-8"))


def main(out: Path) -> None:
    """Train what is missing and write the record.

    Args:
        out: Folder of the runs.
    """
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    pocket = out / "pocket"
    for part in load_model_and_tokenizer("pocket"):
        part.save_pretrained(pocket)
    runs = [run(out, pocket, arm, seed) for seed, arm in product(SEEDS, ARMS)]
    steps = [{"arm": one["arm"], "seed": one["seed"], "step": n, **row} for one in runs for n, row in enumerate(one["steps"])]
    here = Path(__file__).parent
    pl.DataFrame([{key: value for key, value in one.items() if key != "steps"} for one in runs]).write_parquet(
        here / "runs.parquet"
    )
    pl.DataFrame(steps, infer_schema_length=None).write_parquet(here / "steps.parquet")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
