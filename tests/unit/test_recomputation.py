"""With ``gradient_checkpointing`` layers are computed twice, with dropout off, and the gradients are the same."""

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, OPTConfig
from transformers.modeling_layers import GradientCheckpointingLayer

from gaard.errors import ConfigError
from gaard.policy.model import Policy
from gaard.policy.recomputation import recompute_layers
from gaard.policy.sampling import sample
from saved import saved_bytes
from tiny import VOCABULARY, tiny_config, tiny_trainer


def opt_config():
    """Drops hidden states in the layer itself, not in a module of its own."""
    sizes = dict(vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, ffn_dim=64)
    return OPTConfig(**sizes, word_embed_proj_dim=32, dropout=0.5)


def learned(config, enable: bool) -> tuple[list[torch.Tensor], int]:
    """Log-probabilities and gradients of a learning forward after a rollout, and how often the last layer ran."""
    torch.manual_seed(0)
    lm = AutoModelForCausalLM.from_config(config)
    if enable:
        recompute_layers(lm)
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


def test_the_models_own_switch_is_heeded_too():
    lm = AutoModelForCausalLM.from_config(tiny_config("llama"))
    getattr(lm, "activation_checkpointing_enable", lm.gradient_checkpointing_enable)()
    seen = AutoModelForCausalLM.from_config(tiny_config("llama"))
    recompute_layers(seen)
    layers = [[x.gradient_checkpointing for x in one.model.layers] for one in (lm, seen)]
    assert layers == [[True, True]] * 2


def test_far_less_is_kept_for_the_gradient():
    """Of 8 layers only their inputs: 1 of some 15 numbers a layer, token and width."""
    kept = {}
    for enable in (False, True):
        sizes = dict(hidden_size=64, intermediate_size=192, num_hidden_layers=8, num_attention_heads=4)
        lm = AutoModelForCausalLM.from_config(LlamaConfig(vocab_size=VOCABULARY, **sizes))
        if enable:
            recompute_layers(lm)
        policy = Policy(lm)
        ids = torch.randint(VOCABULARY, (4, 33), generator=torch.Generator().manual_seed(0))
        mask = torch.ones_like(ids).bool()
        prompts, texts, theirs = ids[:, :1], ids[:, 1:], mask[:, 1:]
        kept[enable] = saved_bytes(policy, lambda p=policy, x=prompts, y=texts, m=theirs: p(x, m[:, :1], y, m, y))
    assert kept[True] < 0.2 * kept[False]


def test_a_run_goes_on_with_it_where_memory_was_short(tmp_path):
    tiny_trainer(tmp_path / "whole").train()
    half = tiny_trainer(tmp_path / "half", save_steps=2)
    step = half.training_step
    half.training_step = lambda: step() if half.state.step < 2 else (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        half.train()
    tiny_trainer(tmp_path / "half", save_steps=2, gradient_checkpointing=True).train()
    rows = [(tmp_path / name / "metrics.jsonl").read_bytes() for name in ("whole", "half")]
    assert rows[0] == rows[1]


def test_a_model_without_such_layers_is_refused():
    with pytest.raises(ConfigError, match="gradient_checkpointing=True: Linear has no layers that can be computed"):
        recompute_layers(torch.nn.Linear(2, 2))
