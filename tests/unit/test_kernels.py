"""What a CPU does faster, against what PyTorch does; and that it is done only when asked for."""

import platform
import subprocess
import sys

import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from gaard import GAAConfig, GAATrainer
from gaard.method import projection
from gaard.policy import kernels
from gaard.policy.kernels import packed
from gaard.policy.model import Policy, Reference
from gaard.policy.sampling import sample
from tiny import VOCABULARY, WORDS, tiny_lm, word_tokenizer, words_reward

pytestmark = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="PyTorch was built without oneDNN")


# Packed layers --------------------------------------------------------------------------------------------------------


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
    monkeypatch.setattr(kernels, "_multiplies", lambda dtype: dtype == torch.float32)
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
    monkeypatch.setattr(kernels, "SMALLEST", 1)
    policy = Policy(tiny_lm(architecture, torch.float32), temperature=1.0)
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


# The switch -----------------------------------------------------------------------------------------------------------


def learned(architecture: str, cpu_kernels: bool) -> dict[str, torch.Tensor]:
    """Figures of a rollout and of a learning forward, and the gradients of all their sums."""
    policy = Policy(tiny_lm(architecture), 1.3, cpu_kernels)
    policy.initialize_value_head(torch.Generator().manual_seed(1))
    reference = Policy(tiny_lm(architecture, seed=3), 1.3, cpu_kernels)
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(VOCABULARY, (6, 4), generator=generator)
    mask = torch.ones_like(ids).bool()
    with policy.packed(6):
        samples = sample(policy, ids, mask, torch.rand(6, 12, generator=generator, dtype=torch.float64), [], 0)
    with torch.no_grad():
        hidden = reference.completion_hidden(ids, mask, samples.completion_ids, samples.completion_mask)
    frozen = Reference(hidden, reference)
    seen = policy(ids, mask, samples.completion_ids, samples.completion_mask, samples.greedy_ids, frozen, True)
    found = {"sampled logprobs": samples.logprobs, "sampled values": samples.values, **vars(seen)}
    sum(figure.sum() for figure in vars(seen).values()).backward()
    found |= {name: parameter.grad for name, parameter in policy.named_parameters()}
    return {"tokens": samples.completion_ids, **{name: x.detach() for name, x in found.items()}}


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_with_and_without_the_kernels_all_is_the_same_but_for_rounding(architecture, monkeypatch):
    monkeypatch.setattr(kernels, "SMALLEST", 1)
    plain, fast = learned(architecture, False), learned(architecture, True)
    assert len(plain) > 20
    for name, expected in plain.items():
        scale = float(expected.abs().max())
        torch.testing.assert_close(fast[name], expected, atol=1e-5 * max(scale, 1.0), rtol=1e-4, msg=name)


def test_without_the_kernels_the_users_model_is_left_as_it_was_and_none_is_called(tmp_path, monkeypatch):
    def shape(lm):
        return {name: (type(module), sorted(vars(module))) for name, module in lm.named_modules()}

    def never(*arguments):
        raise AssertionError("a kernel was used")

    for name in ("packed", "product", "fused", "keep_freed_memory"):
        monkeypatch.setattr(kernels, name, never)
    lm = tiny_lm("gpt2")
    before, forward = shape(lm), {name: module.forward.__func__ for name, module in lm.named_modules()}
    policy = Policy(lm)
    assert policy.projection.product is projection.rows_by_matrix
    args = GAAConfig(output_dir=str(tmp_path), batch_size=4, num_mini_batches=1, max_completion_length=4, max_steps=1)
    trainer = GAATrainer(lm, words_reward, off(args), ["w1 w2"], processing_class=word_tokenizer(WORDS))
    trainer.training_step()
    assert shape(lm) == before
    assert {name: module.forward.__func__ for name, module in lm.named_modules()} == forward


def off(args: GAAConfig) -> GAAConfig:
    """The settings without kernels."""
    vars(args)["cpu_kernels"] = False
    return args


# The others -----------------------------------------------------------------------------------------------------------


def test_gpt2s_activation_is_one_operation_and_the_same_function():
    lm = tiny_lm("gpt2", torch.float64)
    assert lm.config.activation_function == "gelu_new"
    ids = torch.arange(6)[None]
    before = lm(input_ids=ids).logits
    policy = Policy(lm, cpu_kernels=True)
    assert not [module for module in policy.modules() if type(module).__name__ == "NewGELUActivation"]
    assert len([module for module in policy.modules() if isinstance(module, torch.nn.GELU)]) == len(lm.transformer.h)
    torch.testing.assert_close(policy.lm(input_ids=ids).logits, before, atol=1e-12, rtol=1e-12)


FAULTS = """
import resource, torch
from gaard.policy.kernels import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        torch.ones(30_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

before = faults()
kept = keep_freed_memory()
faults()
faults()
print(kept, before, faults())
"""


@pytest.mark.slow
def test_freed_memory_is_used_again():
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    kept, before, after = done.stdout.split()
    if platform.libc_ver()[0] != "glibc":
        assert kept == "False"
        return
    assert kept == "True"
    # Which hole of the heap a tensor fits is chance: one of the five may still need fresh pages.
    assert int(after) <= int(before) / 4
