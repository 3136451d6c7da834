"""Which models are let through, and why the others are refused before they train."""

import math

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    BertConfig,
    BloomConfig,
    CohereConfig,
    FalconConfig,
    Gemma2Config,
    GPTNeoConfig,
    GPTNeoXConfig,
    GraniteConfig,
    Llama4TextConfig,
    MambaConfig,
    MptConfig,
    OPTConfig,
    Phi3Config,
    XLNetConfig,
)

from gaard.errors import ModelError
from gaard.policy.model import Policy
from gaard.policy.support import check_supported
from tiny import EOS, tiny_config, tiny_lm

SIZES = dict(vocab_size=37, bos_token_id=2, eos_token_id=EOS, pad_token_id=0)
ROTARY = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2)


def checked(config, completion: int = 8) -> None:
    torch.manual_seed(0)
    policy = Policy(AutoModelForCausalLM.from_config(config))
    check_supported(policy, ("a prompt", 4), completion)


@pytest.mark.parametrize(
    "config",
    [
        tiny_config("gpt2"),
        tiny_config("llama"),
        tiny_config("qwen2"),
        OPTConfig(
            hidden_size=32, num_hidden_layers=2, num_attention_heads=4, ffn_dim=64, word_embed_proj_dim=32, **SIZES
        ),
        GPTNeoXConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, **SIZES),
        FalconConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, alibi=False, **SIZES),
        Gemma2Config(**ROTARY, head_dim=8, **SIZES),
        Llama4TextConfig(**ROTARY, num_local_experts=2, intermediate_size_mlp=64, head_dim=8, **SIZES),
    ],
    ids=lambda config: config.model_type,
)
def test_models_that_work_are_let_through(config):
    checked(config)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (MptConfig(d_model=32, n_heads=4, n_layers=2, **SIZES), "ALiBi"),
        (BloomConfig(hidden_size=32, n_layer=2, n_head=4, **SIZES), "ALiBi"),
        (FalconConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, alibi=True, **SIZES), "ALiBi"),
        (XLNetConfig(d_model=32, n_layer=2, n_head=4, d_inner=64, **SIZES), "depend on later tokens"),
        (BertConfig(**{**ROTARY, "num_key_value_heads": None}, **SIZES), "depend on later tokens"),
        (MambaConfig(hidden_size=32, num_hidden_layers=2, state_size=8, **SIZES), "no keys and values"),
        (CohereConfig(**ROTARY, **SIZES), "logits that are not the product"),
        (GraniteConfig(**ROTARY, logits_scaling=8.0, **SIZES), "logits that are not the product"),
    ],
    ids=lambda x: getattr(x, "model_type", ""),
)
def test_models_that_would_be_trained_wrongly_are_refused_with_the_reason(config, reason):
    with pytest.raises(ModelError, match=rf"gaard cannot train {config.model_type} models: .*{reason}"):
        checked(config)


def test_a_window_that_the_greedy_branch_would_fall_out_of_is_refused():
    sizes = dict(hidden_size=32, num_layers=2, num_heads=4, attention_types=[[["global", "local"], 1]])
    checked(GPTNeoConfig(**sizes, window_size=20, **SIZES))
    with pytest.raises(ModelError, match=r"needs 20 places in the cache, more than window_size=19 of gpt_neo"):
        checked(GPTNeoConfig(**sizes, window_size=19, **SIZES))


def test_weights_that_are_not_numbers_are_refused():
    lm = tiny_lm()
    lm.transformer.h[0].mlp.c_fc.weight.data.fill_(math.nan)
    with pytest.raises(ModelError, match="not finite"):
        check_supported(Policy(lm), ("a prompt", 4), 8)


def test_chunks_of_attention_are_a_window():
    sizes = dict(**ROTARY, num_local_experts=2, intermediate_size_mlp=64, head_dim=8)
    checked(Llama4TextConfig(**sizes, attention_chunk_size=20, **SIZES))
    with pytest.raises(ModelError, match=r"needs 20 places in the cache, more than attention_chunk_size=19 of llama4"):
        checked(Llama4TextConfig(**sizes, attention_chunk_size=19, **SIZES))


def test_positions_that_change_past_the_original_length_are_refused_there():
    """At 13 places of 12 every key would be turned by another angle than when it was written to the cache."""
    rotation = dict(rope_type="longrope", rope_theta=10000.0, short_factor=[1.0] * 4, long_factor=[4.0] * 4, factor=8.0)
    lengths = dict(max_position_embeddings=96, original_max_position_embeddings=12)
    config = Phi3Config(**ROTARY, **lengths, rope_parameters=rotation, **SIZES)
    checked(config, completion=8)
    with pytest.raises(ModelError, match=r"needs 13, but phi3 has other positions \(longrope\) past .*=12, which"):
        checked(config, completion=9)


def test_the_trial_is_as_long_as_training():
    """Positions that are others once a sequence passes 16 places, which no configuration tells."""
    lm = tiny_lm("llama")

    def stretch(module, arguments, keywords):
        positions = keywords["position_ids"]
        return arguments, {**keywords, "position_ids": positions * (2 if positions.max() >= 16 else 1)}

    lm.model.rotary_emb.register_forward_pre_hook(stretch, with_kwargs=True)
    policy = Policy(lm)
    check_supported(policy, ("a prompt", 4), 12)
    with pytest.raises(ModelError, match="gaard cannot train llama models: a trial"):
        check_supported(policy, ("a prompt", 4), 14)


def test_a_cap_that_no_configuration_tells_is_found_although_logits_are_small():
    lm = tiny_lm("llama")
    with torch.no_grad():
        lm.lm_head.weight.mul_(3.0 / lm(torch.arange(30)[None]).logits.abs().max())

    def cap(module, arguments, output):
        output.logits = 30.0 * torch.tanh(output.logits / 30.0)
        return output

    check_supported(Policy(lm), ("a prompt", 4), 8)
    lm.register_forward_hook(cap)
    with pytest.raises(ModelError, match="logits that are not the product"):
        check_supported(Policy(lm), ("a prompt", 4), 8)


def test_a_model_that_is_frozen_throughout_is_refused():
    """The critic alone would learn, and nobody would be told."""
    with pytest.raises(ModelError, match="no parameter of the model requires a gradient"):
        check_supported(Policy(tiny_lm().requires_grad_(False)), ("a prompt", 4), 8)


def test_a_projection_that_is_more_than_its_weights_is_refused():
    class Doubling(torch.nn.Linear):
        def forward(self, x):
            return 2.0 * super().forward(x)

    lm = tiny_lm("llama", torch.float32)
    lm.lm_head.__class__ = Doubling
    with pytest.raises(ModelError, match="weights of its vocabulary projection"):
        check_supported(Policy(lm), ("the prompt", 3), 4)
