"""The models of the benchmarks, and trainers for them."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from transformers import AutoModelForCausalLM, GPT2Config, PreTrainedModel, PreTrainedTokenizerBase

from benchmarks.measuring import BATCH, DEVICE, EPOCHS, KL, MINIBATCHES, ON_GPU, PROMPT, TEMPERATURE, TOKENS
from gaard import GAAConfig, GAATrainer
from gaard.models.loading import load_model_and_tokenizer
from gaard.training import collect

POCKET, SHAPE, SMOLLM2 = "pocket", "GPT-2-small shape", "SmolLM2-135M"
GENERATIONS = 8  # of a prompt, for group advantages; TRL's default
WAYS: dict[str, dict[str, Any]] = {
    "ppo": {"method": "ppo"},
    "gaa": {"method": {"name": "gaa", "reading": "text"}},
    "expected": {"method": {"name": "gaa", "reading": "expected"}},
    "grpo": {"method": "ppo", "advantages": {"name": "grpo", "num_generations": GENERATIONS}},
}


def load(model: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A model in evaluation mode on the run's device, and its tokenizer.

    Args:
        model: One of the names above.

    Returns:
        Both. The shape of GPT-2 small has random weights, and the tokens of SmolLM2, which are fewer than its own.
    """
    if model != SHAPE:
        lm, tokenizer = load_model_and_tokenizer({POCKET: "pocket", SMOLLM2: "smollm2-135m"}[model])
        return lm.to(DEVICE).eval(), tokenizer
    return gpt2_shape().to(DEVICE).eval(), tokens_of_smollm2()


def tokens_of_smollm2() -> PreTrainedTokenizerBase:
    """A tokenizer of 49,152 tokens."""
    return load_model_and_tokenizer("smollm2-135m")[1]


def gpt2_shape(vocab_size: int = 50_257) -> PreTrainedModel:
    """GPT-2 small with random weights."""
    torch.manual_seed(0)
    # Its own end of text is the last token, which no text of the tokenizer's has.
    config = GPT2Config(vocab_size=vocab_size, bos_token_id=0, eos_token_id=vocab_size - 1, pad_token_id=0)
    return AutoModelForCausalLM.from_config(config, attn_implementation="sdpa")


def trivial_reward(completions: list[str], **columns: Any) -> list[float]:
    """Share of vowels: costs nothing, and differs from text to text."""
    return [sum(letter in "aeiou" for letter in text) / max(1, len(text)) for text in completions]


def trainer(model: str, way: str) -> GAATrainer:
    """A trainer whose steps can be called one by one.

    Args:
        model: One of the names above.
        way: One of ``WAYS``.

    Returns:
        The trainer.
    """
    return trainer_of(*load(model), way)


def trainer_of(lm: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, way: str, **options: Any) -> GAATrainer:
    """As :func:`trainer`, of a loaded model, with further settings of ``GAAConfig``."""
    settings: dict[str, Any] = dict(
        batch_size=BATCH,
        max_completion_length=TOKENS,
        num_ppo_epochs=EPOCHS,
        num_mini_batches=MINIBATCHES,
        temperature=TEMPERATURE,
        kl_coef=KL,
        max_steps=10**6,
        learning_rate=1e-6,  # so small that all steps are alike
        advantages={"value_learning_rate": 1e-6},
        log_completions=0,
        bf16=ON_GPU,
        use_cpu=not ON_GPU,
        cpu_kernels=not ON_GPU,
        progress=False,
    )
    args = GAAConfig(output_dir=scratch(), **(settings | WAYS[way] | options))
    made = GAATrainer(lm, trivial_reward, args, [PROMPT], processing_class=tokenizer)
    if (way == "grpo") != (made.policy.value_head is None):
        raise SystemExit(f"{way} has {'no' if made.policy.value_head is None else 'a'} critic: not what its name says")
    return made


def greedy_looks(action: Callable[[], Any]) -> int:
    """How often gaard looks at greedy tokens while something is done: what tells GAA from all else.

    Args:
        action: Such as a training step.

    Returns:
        Calls of the greedy branch.
    """
    with mock.patch.object(collect, "greedy_values", wraps=collect.greedy_values) as branch:
        action()
    return branch.call_count


def check_named(way: str, looks: int) -> None:
    """Stop a row that does not run what its name says.

    Args:
        way: The name, with hyphens: GAA, and it alone, has the part ``gaa``.
        looks: How often greedy tokens were looked at.

    Raises:
        SystemExit: If GAA did not look, or something else did.
    """
    if ("gaa" in way.split("-")) != (looks > 0):
        raise SystemExit(f"{way} looked at greedy tokens {looks} times: it does not run what its name says")


def scratch() -> str:
    """A folder that goes when the process ends."""
    folder = tempfile.TemporaryDirectory()
    _kept.append(folder)
    return str(Path(folder.name) / "run")


_kept: list[tempfile.TemporaryDirectory[str]] = []


def saved(model: str) -> str:
    """A folder with the model, for programs of other environments."""
    lm, tokenizer = load(model)
    folder = scratch()
    lm.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
