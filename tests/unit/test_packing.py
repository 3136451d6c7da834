"""Packed linear layers against the layers themselves."""

import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from gaard.policy import packing
from gaard.policy.model import PolicyWithValue
from gaard.policy.packing import packed
from gaard.policy.sampling import sample
from tiny import VOCABULARY, tiny_lm

pytestmark = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="PyTorch was built without oneDNN")


def layers() -> nn.ModuleDict:
    torch.manual_seed(0)
    plain, conv = nn.Linear(160, 192), Conv1D(192, 160)
    nn.init.normal_(conv.bias)
    return nn.ModuleDict({"linear": plain, "no bias": nn.Linear(160, 192, bias=False), "conv": conv})


@torch.no_grad()
@pytest.mark.parametrize("name", ["linear", "no bias", "conv"])
@pytest.mark.parametrize(
    "shape", [(1, 160), (7, 160), (32, 160), (500, 160), (3, 4, 160)], ids=lambda shape: "x".join(map(str, shape))
)
def test_a_packed_layer_multiplies_as_the_plain_one(name, shape):
    model, x = layers(), torch.randn(shape)
    exact = model[name].double()(x.double())
    model.float()
    with packed(model, rows=32):
        assert "forward" in vars(model[name])
        torch.testing.assert_close(model[name](x).double(), exact, atol=1e-5, rtol=1e-5)
        turned = x.transpose(0, -2).contiguous().transpose(0, -2)
        torch.testing.assert_close(model[name](turned).double(), exact, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_bfloat16_is_packed_too():
    model = layers().bfloat16()
    x = torch.randn(9, 160).bfloat16()
    plain = model["linear"](x)
    with packed(model, rows=9):
        assert ("forward" in vars(model["linear"])) == torch.ops.mkldnn._is_mkldnn_bf16_supported()
        torch.testing.assert_close(model["linear"](x), plain, atol=2e-2, rtol=2e-2)


@torch.no_grad()
def test_bfloat16_is_left_alone_where_the_processor_has_none(monkeypatch):
    monkeypatch.setattr(packing, "_multiplies", lambda dtype: dtype == torch.float32)
    model = layers().bfloat16()
    with packed(model, rows=9):
        assert not [layer for layer in model.values() if "forward" in vars(layer)]


@torch.no_grad()
def test_weights_that_changed_between_are_packed_anew_and_an_error_leaves_nothing():
    model, x = layers(), torch.randn(2, 160)
    with packed(model, rows=2):
        model["conv"](x)
    model["conv"].weight += 1.0
    with packed(model, rows=2):
        torch.testing.assert_close(model["conv"](x), x @ model["conv"].weight + model["conv"].bias)
    with pytest.raises(ZeroDivisionError), packed(model, rows=2):
        _ = 1 / 0
    assert not [layer for layer in model.values() if "forward" in vars(layer)]


def test_what_is_not_a_plain_linear_layer_is_left_alone():
    class Scaled(nn.Linear):
        def forward(self, x):
            return 2.0 * super().forward(x)

    hooked = nn.Linear(160, 192)
    hooked.forward = lambda x: x
    model = nn.ModuleList([Scaled(160, 192), nn.Linear(160, 192).double(), nn.Linear(4, 4), hooked])
    with packed(model, rows=1):
        assert ["forward" in vars(layer) for layer in model] == [False, False, False, True]
        assert hooked(3) == 3
    assert hooked(3) == 3


@pytest.mark.parametrize("architecture", ["gpt2", "llama", "qwen2"])
def test_a_rollout_with_packed_weights_is_the_same_rollout(architecture, monkeypatch):
    monkeypatch.setattr(packing, "SMALLEST", 1)
    policy = PolicyWithValue(tiny_lm(architecture, torch.float32), temperature=1.0)
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(VOCABULARY, (6, 4), generator=generator)
    uniforms = torch.rand(6, 12, generator=generator, dtype=torch.float64)
    arguments = (policy, ids, torch.ones_like(ids).bool(), uniforms, [], 0)
    plain = sample(*arguments)
    with packed(policy.lm, 6):
        assert sum("forward" in vars(layer) for layer in policy.lm.modules()) > 6
        fast = sample(*arguments)
    assert torch.equal(fast.completion_ids, plain.completion_ids)
    assert torch.equal(fast.greedy_ids, plain.greedy_ids)
    for name in ("logprobs", "greedy_logprobs", "entropy", "values"):
        torch.testing.assert_close(getattr(fast, name), getattr(plain, name), atol=1e-5, rtol=1e-5)
