"""The one-pass greedy branch against one full forward a position, in float64."""

from dataclasses import replace

import pytest
import torch

from gaard.policy.branch import greedy_hidden, greedy_values
from gaard.policy.model import Policy
from gaard.policy.sampling import Samples, sample
from tiny import EOS, VOCABULARY, tiny_lm

ARCHITECTURES = ["gpt2", "llama", "qwen2", "gemma3"]


def rollout(
    architecture: str, horizon: int, attention: str = "sdpa", dtype: torch.dtype = torch.float64
) -> tuple[Policy, Samples]:
    lm = tiny_lm(architecture, dtype)
    lm.set_attn_implementation(attention)
    policy = Policy(lm, temperature=1.7)
    policy.value_head.weight.data.normal_(generator=torch.Generator().manual_seed(1))
    generator = torch.Generator().manual_seed(2)
    lengths = torch.tensor([7, 1, 4, 6, 3])
    prompt_mask = torch.arange(7) >= 7 - lengths[:, None]
    prompt_ids = torch.randint(4, VOCABULARY, (5, 7), generator=generator).where(prompt_mask, torch.tensor(0))
    uniforms = torch.rand(5, horizon, generator=generator, dtype=torch.float64)
    return policy, sample(policy, prompt_ids, prompt_mask, uniforms, [EOS], pad_token_id=0)


def naive_greedy_values(policy: Policy, samples: Samples) -> torch.Tensor:
    """V(x_<t, x*_t) by a forward of its own for every row and position, without padding, cache or mask."""
    out = torch.full(samples.completion_ids.shape, float("nan"), dtype=samples.values.dtype)
    for row in range(len(out)):
        prompt = samples.prompt_ids[row][samples.prompt_mask[row]]
        for t in range(int(samples.completion_mask[row].sum())):
            ids = torch.cat([prompt, samples.completion_ids[row, :t], samples.greedy_ids[row, t : t + 1]])[None]
            hidden = policy.lm(input_ids=ids, output_hidden_states=True).hidden_states[-1][0, -1]
            out[row, t] = hidden @ policy.value_head.weight[0] + policy.value_head.bias[0]
    return out


def unknown(samples: Samples) -> torch.Tensor:
    """Where a greedy token was not sampled and is not the last."""
    mask = samples.completion_mask
    followed = torch.cat([mask[:, 1:], torch.zeros_like(mask[:, :1])], dim=1)
    return mask & followed & (samples.greedy_ids != samples.completion_ids)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("horizon", [1, 2, 9, 64])
@torch.no_grad()
def test_equals_separate_forwards(architecture, horizon):
    policy, samples = rollout(architecture, horizon)
    expected = naive_greedy_values(policy, samples)
    mask = samples.completion_mask
    assert expected[mask].std() > 0.1 or horizon == 1  # the values differ, so equality says something
    everywhere = policy.values(greedy_hidden(policy, samples, mask))
    torch.testing.assert_close(everywhere[mask], expected[mask], atol=1e-9, rtol=0)
    wanted = unknown(samples)
    values = greedy_values(policy, samples)
    torch.testing.assert_close(values[wanted], expected[wanted], atol=1e-9, rtol=0)
    assert (values[~wanted] == 0.0).all()
    assert wanted.any() == (horizon > 1)
    if horizon == 64:
        assert (mask.sum(-1) < 64).any()  # some row ended early
        assert (wanted.sum(-1) < wanted.sum(-1).max()).any()  # and not all rows have as many tokens in the branch


@torch.no_grad()
def test_only_greedy_tokens_that_were_not_sampled_are_computed(monkeypatch):
    policy, samples = rollout("llama", 12)
    seen = []
    monkeypatch.setattr(
        policy, "hidden", lambda ids, *rest: seen.append(ids.shape) or Policy.hidden(policy, ids, *rest)
    )
    greedy_values(policy, samples)
    assert seen == [(5, int(unknown(samples).sum(-1).max()))]
    seen.clear()
    certain = replace(samples, greedy_ids=samples.completion_ids)
    assert torch.equal(greedy_values(policy, certain), torch.zeros(samples.values.shape).double())
    assert seen == []


@torch.no_grad()
def test_equals_separate_forwards_with_eager_attention():
    """In float32: transformers' eager attention has a softmax in float32 whatever the dtype of the model."""
    policy, samples = rollout("llama", 12, attention="eager", dtype=torch.float32)
    wanted = unknown(samples)
    assert wanted.any()
    torch.testing.assert_close(
        greedy_values(policy, samples)[wanted], naive_greedy_values(policy, samples)[wanted], atol=1e-4, rtol=0
    )


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_leaves_the_cache_as_it_was(architecture):
    policy, samples = rollout(architecture, 9)
    keys = [layer.keys.clone() for layer in samples.cache.layers]
    first, second = greedy_values(policy, samples), greedy_values(policy, samples)
    assert torch.equal(first, second)
    for before, layer in zip(keys, samples.cache.layers, strict=True):
        assert torch.equal(before, layer.keys)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@torch.no_grad()
def test_sampling_sees_what_a_full_forward_sees(architecture):
    """Log-prob, entropy, greedy token and value kept while sampling equal those of a fresh forward, row by row."""
    policy, samples = rollout(architecture, 24)
    for row in range(len(samples.prompt_ids)):
        prompt = samples.prompt_ids[row][samples.prompt_mask[row]]
        length = int(samples.completion_mask[row].sum())
        completion = samples.completion_ids[row, :length]
        out = policy.lm(input_ids=torch.cat([prompt, completion])[None], output_hidden_states=True)
        states = slice(len(prompt) - 1, len(prompt) - 1 + length)
        logprobs = torch.log_softmax(out.logits[0, states] / 1.7, dim=-1)
        values = out.hidden_states[-1][0, states] @ policy.value_head.weight[0] + policy.value_head.bias[0]
        close = dict(atol=1e-9, rtol=0)
        torch.testing.assert_close(samples.logprobs[row, :length], logprobs[range(length), completion], **close)
        torch.testing.assert_close(samples.entropy[row, :length], -(logprobs.exp() * logprobs).sum(-1), **close)
        torch.testing.assert_close(samples.greedy_logprobs[row, :length], logprobs.max(-1).values, **close)
        torch.testing.assert_close(samples.values[row, :length], values, **close)
        assert torch.equal(samples.greedy_ids[row, :length], logprobs.argmax(-1))
        assert EOS not in completion[:-1]
        assert length == samples.completion_ids.shape[1] or completion[-1] == EOS
