"""``gradient_checkpointing_enable`` has layers computed twice, with dropout off, and the same gradients."""

import pytest
import torch
from transformers import AutoModelForCausalLM, OPTConfig
from transformers.modeling_layers import GradientCheckpointingLayer

from gaard.policy.model import Policy
from gaard.policy.sampling import sample
from tiny import VOCABULARY, tiny_config


def opt_config():
    """Drops hidden states in the layer itself, not in a module of its own."""
    sizes = dict(vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, ffn_dim=64)
    return OPTConfig(**sizes, word_embed_proj_dim=32, dropout=0.5)


def learned(config, enable: bool) -> tuple[list[torch.Tensor], int]:
    """Log-probabilities and gradients of a learning forward after a rollout, and how often the last layer ran."""
    torch.manual_seed(0)
    lm = AutoModelForCausalLM.from_config(config)
    if enable:
        lm.gradient_checkpointing_enable()
    policy = Policy(lm)
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(VOCABULARY, (3, 4), generator=generator)
    mask = torch.ones_like(ids).bool()
    samples = sample(policy, ids, mask, torch.rand(3, 6, generator=generator, dtype=torch.float64), [], 0)
    runs = []
    layers = [x for x in lm.modules() if isinstance(x, GradientCheckpointingLayer)]
    last = layers[-1].get_submodule("fc2" if config.model_type == "opt" else "mlp")
    last.register_forward_pre_hook(lambda *_: runs.append(1))
    seen = policy(ids, mask, samples.completion_ids, samples.completion_mask, samples.greedy_ids)
    torch.testing.assert_close(seen.logprobs.detach(), samples.logprobs, atol=1e-5, rtol=1e-5)
    (seen.logprobs + seen.values).sum().backward()
    assert not [layer for layer in lm.modules() if "forward" in vars(layer)]
    return [seen.logprobs.detach(), *(parameter.grad for parameter in policy.parameters())], len(runs)


@pytest.mark.parametrize(
    "config", [tiny_config("gpt2"), tiny_config("llama"), opt_config()], ids=lambda x: x.model_type
)
def test_layers_run_again_for_the_gradient_which_is_the_same(config):
    (kept, once), (again, twice) = learned(config, False), learned(config, True)
    assert (once, twice) == (1, 2)
    for expected, found in zip(kept, again, strict=True):
        assert torch.equal(found, expected)
