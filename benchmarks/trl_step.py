"""PPO steps of TRL 1.12, run by the interpreter of its own environment: seconds a step and peak memory, as JSON."""

import json
import sys
import tempfile
import time
from pathlib import Path

import psutil
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer, TrainerCallback
from trl.experimental.ppo import PPOConfig, PPOTrainer

from benchmarks.measuring import BATCH, EPOCHS, MINIBATCHES, ON_GPU, PROMPT, STATES, TEMPERATURE, TOKENS, peak

STEPS = 3  # the fastest one counts


class Backbone(torch.nn.Module):
    """Gives the last token's id as its hidden state."""

    def forward(self, input_ids, **kwargs):
        """As a transformers trunk does."""
        states = input_ids[..., None].float()
        return type("Output", (), {"hidden_states": [states]})()


class TrivialReward(torch.nn.Module):
    """Costs nothing: the last token's id, scaled."""

    base_model_prefix = "model"

    def __init__(self):
        super().__init__()
        self.model = Backbone()

    def score(self, states):
        """One number a position."""
        return states / 50_000


class Stopwatch(TrainerCallback):
    """When each step ended."""

    def __init__(self):
        self.times = []

    def on_train_begin(self, *arguments, **kwargs):
        """The start."""
        self.times.append(time.perf_counter())

    def on_step_end(self, *arguments, **kwargs):
        """A step's end."""
        self.times.append(time.perf_counter())


def main(folder: str, out: str) -> None:
    """Measure, and write the JSON.

    Args:
        folder: A saved model with its tokenizer.
        out: Path of the JSON.
    """
    bare = psutil.Process().memory_info().rss
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    tokenizer.add_special_tokens({"pad_token": tokenizer.pad_token or tokenizer.eos_token})
    policy = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    value = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1, dtype=torch.float32)
    stopwatch = Stopwatch()
    PPOTrainer(
        args=config(),
        processing_class=tokenizer,
        model=policy,
        ref_model=AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32),
        reward_model=TrivialReward(),
        value_model=value,
        train_dataset=Dataset.from_dict({"input_ids": [tokenizer(PROMPT).input_ids] * BATCH * STEPS}),
        callbacks=[stopwatch],
    ).train()
    seconds = torch.tensor(stopwatch.times, dtype=torch.float64).diff().tolist()
    states = STATES * sum(parameter.nbytes for parameter in policy.parameters())
    Path(out).write_text(json.dumps({"seconds": min(seconds), "peak": peak(bare), "states": states}))


def config() -> PPOConfig:
    """The settings of the other benchmarks, and nothing that only costs time."""
    return PPOConfig(
        output_dir=tempfile.mkdtemp(),
        total_episodes=BATCH * STEPS,
        per_device_train_batch_size=BATCH,  # of a rollout; a minibatch is a share of it
        gradient_accumulation_steps=1,
        num_mini_batches=MINIBATCHES,
        num_ppo_epochs=EPOCHS,
        local_rollout_forward_batch_size=BATCH,
        response_length=TOKENS,
        temperature=TEMPERATURE,
        learning_rate=1e-6,
        num_sample_generations=0,
        gradient_checkpointing=False,
        save_strategy="no",
        report_to="none",
        bf16=ON_GPU,
        use_cpu=not ON_GPU,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
