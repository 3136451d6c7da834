"""What memory a run takes is worked out as PyTorch, transformers and PEFT have it."""

from dataclasses import replace

import pytest
import torch
from peft import LoraConfig
from studies.memory import FULL, SHAPES
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config

from gaard.lab.check.costs import needs
from gaard.lab.memory import Shape, Way, activations, layer_activations, memory
from gaard.policy.model import Policy
from gaard.policy.recomputation import recompute_layers
from saved import saved_bytes
from tiny import tiny_trainer

SMALL = Shape(64, 192, 8, 4, 2, 37, tied=False)
WAY = Way(batch=8, prompt=1, completion=64, at_once=4)
WAYS = [replace(WAY, bf16=bf16, rank=rank) for bf16 in (False, True) for rank in (None, 2)]


def model(shape: Shape, rank: int | None = None):
    """A model of a shape."""
    sizes = {name: getattr(shape, name) for name in vars(shape) if name not in ("tied", "attention_bias")}
    kind = Qwen2Config if shape.attention_bias else LlamaConfig
    lm = AutoModelForCausalLM.from_config(kind(**sizes, tie_word_embeddings=shape.tied, bos_token_id=0, eos_token_id=1))
    if rank:
        lm.add_adapter(LoraConfig(r=rank, target_modules="all-linear"))
    return lm


def kept(shape: Shape, way: Way) -> int:
    """Bytes that the learning forward of a model keeps for its gradient."""
    lm = model(shape, way.rank)
    if way.recomputed:
        recompute_layers(lm)
    policy = Policy(lm)
    ids = torch.randint(37, (way.at_once, way.prompt + way.completion), generator=torch.Generator().manual_seed(0))
    mask, first = torch.ones_like(ids).bool(), way.prompt
    parts = (ids[:, :first], mask[:, :first], ids[:, first:], mask[:, first:], ids[:, first:])
    with torch.autocast("cpu", torch.bfloat16, enabled=way.bf16):
        return saved_bytes(policy, lambda: policy(*parts))


@pytest.mark.parametrize("name", SHAPES)
def test_the_weights_of_the_table_are_those_of_the_models(name):
    with torch.device("meta"):
        lm = model(SHAPES[name])
    assert sum(weight.numel() for weight in lm.parameters()) == SHAPES[name].weights
    assert abs(SHAPES[name].weights / 1e9 / float(name[:-1].rpartition("-")[2].replace("135", "0.135")) - 1) < 0.25


def test_those_of_an_adapter_are_pefts():
    trained = sum(weight.numel() for weight in model(SMALL, 4).parameters() if weight.requires_grad)
    assert SMALL.adapter(4) == trained


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("shape", [SMALL, replace(SMALL, hidden_size=128, num_key_value_heads=1)], ids=str)
def test_what_a_layer_keeps_is_worked_out_to_the_byte(shape, way):
    """Of a model with four layers more; casts of weights to bfloat16 stand elsewhere."""
    tokens = way.at_once * (way.prompt + way.completion - 1)
    more = kept(shape, way) - kept(replace(shape, num_hidden_layers=4), way)
    a_layer = replace(shape, num_hidden_layers=1)
    norms = 3 * shape.hidden_size  # two of the layer, and the last
    cast = a_layer.weights - 2 * a_layer.head - norms + (a_layer.adapter(way.rank) if way.rank else 0)
    assert more / 4 - 2 * cast * way.bf16 == tokens * layer_activations(shape, way)


def test_all_that_a_forward_keeps_is_worked_out_nearly():
    """The inputs of layers and the last hidden states; with recomputation a layer is there only in the backward."""
    logits = 4 * 64 * 37 * 4
    whole, again = WAY, replace(WAY, recomputed=True)
    assert kept(SMALL, whole) == pytest.approx(activations(SMALL, whole) + logits, rel=0.02)
    one_layer = 4 * 64 * layer_activations(SMALL, again)
    assert kept(SMALL, again) == pytest.approx(activations(SMALL, again) - one_layer + logits, rel=0.05)


def test_what_is_held_is_what_a_trainer_holds(tmp_path):
    """Weights and gradients once, moments twice; the critic among them."""
    trainer = tiny_trainer(tmp_path)
    counted = needs(trainer)
    critic = sum(weight.nbytes for weight in trainer.policy.value_head.parameters())
    numbers = sum(weight.numel() for weight in trainer.policy.lm.parameters())
    assert (counted.weights, counted.gradients, counted.moments) == tuple(k * (4 * numbers + critic) for k in (1, 1, 2))


def test_the_peak_by_hand():
    """8·10⁹ weights: four copies and a reference in float32, all else on top; the rollout lets gradients go."""
    found = memory(SHAPES["Llama-3.1-8B"], FULL)
    weights = 4 * SHAPES["Llama-3.1-8B"].weights
    assert found.held.total == 5 * weights
    assert found.peak == 5 * weights + found.activations + found.learning
    small = memory(SHAPES["Llama-3.1-8B"], replace(FULL, batch=512))
    assert small.peak == 4 * weights + small.collecting
    lora = memory(SHAPES["Llama-3.1-8B"], replace(FULL, rank=16))
    assert lora.held.references == 0
    half = memory(SHAPES["Llama-3.1-8B"], replace(FULL, bf16=True))
    assert half.held.references == 1.5 * weights
