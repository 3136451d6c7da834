"""Sampling from a cache whose prompts are shared and whose rows leave, against row-by-row forwards."""

import pytest
import torch

from gaard.method.masking import distinct_prompts
from gaard.policy import sampling
from gaard.policy.model import Policy
from gaard.policy.sampling import Samples, sample
from tiny import VOCABULARY, tiny_lm

INPUTS = ("prompt_ids", "prompt_mask", "completion_ids", "completion_mask", "greedy_ids")
ENDS = list(range(3, 12))  # a quarter of the vocabulary, so that rows end at many different times


def rollout(architecture: str, eos: list[int], padded: bool = True) -> tuple[Policy, Samples]:
    policy = Policy(tiny_lm(architecture, torch.float64), temperature=3.0)
    generator = torch.Generator().manual_seed(5)
    mask = torch.arange(4) >= torch.tensor([0, 2, 1] if padded else [0, 0, 0])[:, None]
    ids = torch.randint(12, VOCABULARY, (3, 4), generator=generator) * mask
    rows = torch.tensor([0, 1, 2, 1, 0, 0, 2, 1, 1, 0, 2, 2])
    uniforms = torch.rand(12, 16, generator=generator, dtype=torch.float64)
    return policy, sample(policy, ids[rows], mask[rows], uniforms, eos, pad_token_id=0)


@pytest.mark.parametrize("architecture", ["gpt2", "llama", "qwen2"])
def test_rows_that_leave_early_and_shared_prompts_change_no_number(architecture, monkeypatch):
    _, leaving = rollout(architecture, ENDS)
    monkeypatch.setattr(sampling, "LEAVE_SHARE", 2.0)  # nobody leaves
    _, staying = rollout(architecture, ENDS)
    lengths = leaving.completion_mask.sum(-1)
    assert lengths.unique().numel() > 4
    for name in ("completion_ids", "completion_mask"):
        assert torch.equal(getattr(leaving, name), getattr(staying, name))
    mask = leaving.completion_mask
    assert torch.equal(leaving.greedy_ids[mask], staying.greedy_ids[mask])
    for name in ("logprobs", "entropy", "greedy_logprobs", "values"):
        torch.testing.assert_close(getattr(leaving, name)[mask], getattr(staying, name)[mask], atol=1e-10, rtol=0)
    fed = torch.cat([leaving.prompt_mask, mask[:, 1:]], dim=1)  # a token's keys are kept if another follows
    for one, other in zip(leaving.cache.layers, staying.cache.layers, strict=True):
        for x, y in ((one.keys, other.keys), (one.values, other.values)):
            assert x.shape == y.shape == (12, x.shape[1], fed.shape[1], x.shape[3])
            torch.testing.assert_close(x.transpose(1, 2)[fed], y.transpose(1, 2)[fed], atol=1e-10, rtol=0)


@pytest.mark.parametrize("architecture", ["gpt2", "llama", "qwen2"])
@pytest.mark.parametrize("leaving", [0.25, 2.0])
def test_prompts_of_one_length_need_no_mask_and_change_no_number(architecture, leaving, monkeypatch):
    monkeypatch.setattr(sampling, "LEAVE_SHARE", leaving)
    masks = []
    plain = Policy.hidden
    monkeypatch.setattr(
        Policy, "hidden", lambda self, ids, mask, *rest: masks.append(mask) or plain(self, ids, mask, *rest)
    )
    policy, samples = rollout(architecture, ENDS, padded=False)
    assert len(masks) > 4
    assert all(mask.ndim == 2 and mask.all() for mask in masks)
    with torch.no_grad():
        seen = policy(*(getattr(samples, name) for name in INPUTS))
    mask = samples.completion_mask
    for name in ("logprobs", "greedy_logprobs", "values"):
        torch.testing.assert_close(getattr(samples, name)[mask], getattr(seen, name)[mask], atol=1e-10, rtol=0)


def test_finished_rows_are_not_computed(monkeypatch):
    sizes = []
    plain = Policy.hidden
    monkeypatch.setattr(Policy, "hidden", lambda self, ids, *rest: sizes.append(len(ids)) or plain(self, ids, *rest))
    _, samples = rollout("llama", ENDS)
    assert sizes[0] == 3  # the distinct prompts
    needed = samples.completion_mask[:, 1:].sum(0).tolist()
    assert len(sizes[1:]) == len(needed)
    assert all(need <= size for size, need in zip(sizes[1:], needed, strict=True))
    assert all(need > (1 - sampling.LEAVE_SHARE) * size for size, need in zip(sizes[1:], needed, strict=True))
    assert sizes[-1] < 6


def test_the_cache_is_not_copied_at_each_token(monkeypatch):
    places = []
    plain = Policy.hidden

    def watched(self, ids, mask, positions, cache):
        out = plain(self, ids, mask, positions, cache)
        places.append(cache.layers[0].all_keys.data_ptr())
        return out

    monkeypatch.setattr(Policy, "hidden", watched)
    rollout("llama", [])
    assert len(places) == 16
    assert len(set(places)) == 1


def test_distinct_prompts_give_each_row_its_own():
    ids = torch.tensor([[9, 5, 6], [1, 5, 6], [7, 5, 6], [9, 5, 6], [0, 0, 6]])
    mask = torch.tensor([[True] * 3, [False, True, True], [False, True, True], [True] * 3, [False, False, True]])
    distinct, distinct_mask, rows = distinct_prompts(ids, mask)
    assert len(distinct) == 3  # rows 1 and 2 differ in padding alone
    assert torch.equal(distinct_mask[rows], mask)
    assert torch.equal(distinct[rows][mask], ids[mask])


@pytest.mark.parametrize("architecture", ["gpt2", "llama", "qwen2"])
@pytest.mark.parametrize("horizon", [1, 6])
def test_hidden_states_are_the_same_with_shared_prompts_and_without(architecture, horizon):
    """Learning reads each prompt anew, the reference and evaluation once: ratios rest on their agreement."""
    policy, samples = rollout(architecture, ENDS)
    part = (samples.prompt_ids, samples.prompt_mask, samples.completion_ids[:, :horizon])
    mask = samples.completion_mask[:, :horizon]
    together = policy.completion_hidden(*part, mask)
    with torch.no_grad():
        shared = policy.completion_hidden(*part, mask)
    assert together.requires_grad
    assert together.shape == shared.shape == (12, horizon, 32)
    torch.testing.assert_close(shared[mask], together.detach()[mask], atol=1e-10, rtol=0)
