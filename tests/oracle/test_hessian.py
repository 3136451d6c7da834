"""Products with the Hessian against the whole Hessian, and the objectives against models whose texts can be counted."""

import subprocess
import sys
from dataclasses import replace
from itertools import product as combinations

import pytest
import torch
from torch import nn
from torch.func import functional_call, hessian

from gaard.policy.model import Policy, Reference
from gaard.sharpness import (
    Batch,
    KeptHessian,
    block,
    difference_product,
    divergence,
    expected_reward,
    gradient,
    hessian_product,
    penalized_surrogate,
    surrogate,
    twice_differentiable,
    weighted_sum,
)
from gaard.sharpness.objectives import drawn_logprobs
from tiny import tiny_lm


def network():
    """A smooth function of 31 weights, and the same as a function of one vector."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3)).double()
    x, y = torch.randn(2, 5, 3, dtype=torch.float64)
    return model, lambda: [((model(x[i : i + 1]) - y[i : i + 1]) ** 2).sum() for i in range(5)], (x, y)


def dense(model, x, y, chosen):
    """The Hessian of the same sum, made whole by torch.func from one vector."""
    shapes = [(name, p.shape, p.numel()) for name, p in model.named_parameters() if name in chosen.names]

    def whole(vector):
        parts, start = {}, 0
        for name, shape, size in shapes:
            parts[name] = vector[start : start + size].view(shape)
            start += size
        return ((functional_call(model, parts, (x,)) - y) ** 2).sum()

    return hessian(whole)(chosen.vector())


@pytest.mark.parametrize("pattern", ["", "^0", "2.weight"])
@pytest.mark.parametrize("way", ["fresh", "kept"])
def test_equals_the_whole_hessian(pattern, way):
    model, objective, (x, y) = network()
    chosen = block(model, pattern)
    matrix = dense(model, x, y, chosen)
    vectors = torch.randn(3, chosen.size, dtype=torch.float64)
    kept = KeptHessian(objective, chosen) if way == "kept" else None
    for vector in vectors:
        found = kept(vector) if kept else hessian_product(objective, chosen, vector)
        torch.testing.assert_close(found, matrix @ vector, rtol=1e-8, atol=1e-12)


def test_differences_come_near_and_leave_the_weights_as_they_are():
    model, objective, (x, y) = network()
    chosen = block(model)
    before, vector = chosen.vector(), torch.randn(chosen.size, dtype=torch.float64)
    found = difference_product(objective, chosen, vector)
    exact = dense(model, x, y, chosen) @ vector
    assert (found - exact).norm() / exact.norm() < 1e-7  # ε^⅔ times a constant
    assert torch.equal(chosen.vector(), before)


def test_a_function_of_other_weights_has_no_curvature_here():
    model, _, (x, _) = network()
    weight = block(model, "^0.weight")
    other = block(model, "2.bias")
    assert not hessian_product(lambda: [(model[2].bias ** 2).sum()], weight, weight.vector()).any()
    torch.testing.assert_close(
        hessian_product(lambda: [(model[2].bias ** 2).sum()], other, other.vector()), 2 * other.vector()
    )
    assert not hessian_product(lambda: [model(x)[0, 0]], other, other.vector()).any()  # linear


def drawn(policy, rewards=None, seed=0, rows=6, length=4):
    """Random texts, some of them shorter, with advantages that have no pattern."""
    generator = torch.Generator().manual_seed(seed)
    vocabulary = policy.lm.get_output_embeddings().weight.shape[0]
    prompts = torch.randint(4, vocabulary, (rows, 3), generator=generator)
    ids = torch.randint(4, vocabulary, (rows, length), generator=generator)
    mask = torch.ones(rows, length, dtype=torch.bool)
    mask[0, 2:] = False
    advantages = torch.randn(rows, length, generator=generator, dtype=torch.float64)
    rewards = torch.randn(rows, generator=generator, dtype=torch.float64) if rewards is None else rewards
    batch = Batch(prompts, torch.ones_like(prompts, dtype=torch.bool), ids, mask, advantages, advantages, rewards)
    with torch.no_grad():
        return replace(batch, logprobs=drawn_logprobs(policy, batch))


class Logits(nn.Module):
    """A model as curvlinops takes it."""

    def __init__(self, lm):
        super().__init__()
        self.lm = lm

    def forward(self, ids):
        return self.lm(input_ids=ids, use_cache=False).logits


class PPOLoss(nn.Module):
    """Surrogate and KL from the logits of whole texts, written down once more."""

    reduction = "sum"

    def __init__(self, batch, frozen):
        super().__init__()
        self.batch, self.frozen = batch, frozen

    def forward(self, logits, ids):
        start, mask = self.batch.prompt_ids.shape[1], self.batch.completion_mask
        now, then = (x[:, start - 1 : -1].log_softmax(-1) for x in (logits, self.frozen))
        ratio = (now.gather(-1, ids[:, start:, None])[..., 0] - self.batch.logprobs).exp()
        advantages = self.batch.advantages
        gain = torch.minimum(ratio * advantages, ratio.clamp(0.8, 1.2) * advantages)
        return ((0.05 * (now.exp() * (now - then)).sum(-1) - gain) * mask).sum() / mask.sum()


# What curvlinops needs to be imported. Its own list asks for torchvision, and so for another PyTorch: it is left out.
CURVLINOPS = (
    "curvlinops-for-pytorch==3.0.1",
    "backpack-for-pytorch==1.7.1",
    "einconv==0.1.0",
    "einops==0.8.2",
    "linear_operator==0.6.1",
    "opt_einsum==3.4.0",
    "unfoldNd==0.2.3",
)


@pytest.fixture
def curvlinops(tmp_path, monkeypatch):
    """Another's Hessian, installed for this test alone."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(tmp_path)]
    subprocess.run([*pip, *CURVLINOPS], check=True)
    monkeypatch.syspath_prepend(tmp_path)
    import curvlinops

    return curvlinops


@pytest.mark.network
@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")
def test_equals_curvlinops_with_ppos_objective(curvlinops):
    lm, other = tiny_lm("gpt2", torch.float64), tiny_lm("gpt2", torch.float64, seed=1)
    policy, reference = Policy(lm, critic=False), Policy(other, critic=False)
    batch = drawn(policy)
    ids = torch.cat([batch.prompt_ids, batch.completion_ids], dim=1)
    chosen = block(lm, "h.1.mlp")
    vector = torch.randn(chosen.size, dtype=torch.float64)
    with twice_differentiable(lm):
        objective = weighted_sum((1.0, surrogate(policy, batch, 0.2)), (0.05, divergence(policy, batch, reference)))
        found = hessian_product(objective, chosen, vector)
        loss = PPOLoss(batch, other(input_ids=ids).logits.detach())
        theirs = curvlinops.HessianLinearOperator(
            Logits(lm), loss, list(chosen.tensors), [(ids, ids)], check_deterministic=False
        )  # fmt: skip
        torch.testing.assert_close(found, theirs @ vector, rtol=1e-8, atol=1e-12)
    assert found.norm() > 1e-3


class Bigram(nn.Module):
    """Stands in for a policy whose completions can all be counted: two tokens of three, the second after the first."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.first = nn.Parameter(torch.randn(3, dtype=torch.float64))
        self.second = nn.Parameter(torch.randn(3, 3, dtype=torch.float64))

    def logprobs(self, ids):
        first = self.first.log_softmax(0)[ids[:, 0]]
        return torch.stack([first, self.second.log_softmax(1)[ids[:, 0], ids[:, 1]]], dim=1)


def test_expected_reward_has_the_hessian_of_the_expectation_and_log_probabilities_do_not(monkeypatch):
    """Over all nine texts, each as often as it is drawn, the estimate's mean must be the exact derivative."""
    model = Bigram()
    ids = torch.tensor(list(combinations(range(3), repeat=2)))
    rewards = torch.linspace(-1, 2, 9, dtype=torch.float64) ** 2
    chosen = block(model)

    def exact():
        return [-(model.logprobs(ids).sum(1).exp() * rewards).sum()]

    with torch.no_grad():
        old = model.logprobs(ids)
        share = old.sum(1).exp()
    true = torch.stack([hessian_product(exact, chosen, v) for v in torch.eye(12, dtype=torch.float64)])
    mask = torch.ones(9, 2, dtype=torch.bool)
    # A batch in which text i stands for its share of all texts: rewards scaled by 9 × its probability.
    batch = Batch(ids, mask, ids, mask, old, old, rewards * share * 9)
    monkeypatch.setattr(
        "gaard.sharpness.objectives.drawn_logprobs", lambda _, part: model.logprobs(part.completion_ids)
    )
    policy = Policy(tiny_lm(), critic=False)  # for its vocabulary alone
    objective = expected_reward(policy, batch)
    found = torch.stack([hessian_product(objective, chosen, v) for v in torch.eye(12, dtype=torch.float64)])
    torch.testing.assert_close(found, true, rtol=1e-8, atol=1e-12)
    torch.testing.assert_close(gradient(objective, chosen), gradient(exact, chosen), rtol=1e-8, atol=1e-12)

    def logs():
        return [-(share * rewards * model.logprobs(ids).sum(1)).sum()]

    torch.testing.assert_close(gradient(logs, chosen), gradient(exact, chosen), rtol=1e-8, atol=1e-12)
    wrong = torch.stack([hessian_product(logs, chosen, v) for v in torch.eye(12, dtype=torch.float64)])
    assert (wrong - true).norm() > 0.1 * true.norm()


def test_objectives_in_parts_are_the_objectives_whole(monkeypatch):
    lm = tiny_lm("llama", torch.float64)
    policy = Policy(lm, temperature=0.7, critic=False)
    batch, reference = drawn(policy), Policy(tiny_lm("llama", torch.float64, seed=1), 0.7, critic=False)

    def gradients():
        each = (surrogate(policy, batch, 0.2), divergence(policy, batch, reference), expected_reward(policy, batch))
        return [gradient(one, block(lm)) for one in each]

    whole = gradients()
    monkeypatch.setattr("gaard.sharpness.objectives.LOGITS_AT_ONCE", 1)
    for one, other in zip(whole, gradients(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_the_plain_forward_says_what_the_trainers_says():
    lm = tiny_lm("gemma3", torch.float64)
    policy = Policy(lm, temperature=0.7, critic=False)
    batch, reference = drawn(policy), Policy(tiny_lm("gemma3", torch.float64, seed=1), 0.7, critic=False)
    hidden = reference.completion_hidden(
        batch.prompt_ids, batch.prompt_mask, batch.completion_ids, batch.completion_mask
    )
    seen = policy(
        batch.prompt_ids, batch.prompt_mask, batch.completion_ids, batch.completion_mask, batch.completion_ids,
        Reference(hidden.detach(), reference),
    )  # fmt: skip
    torch.testing.assert_close(drawn_logprobs(policy, batch), seen.logprobs, rtol=1e-9, atol=1e-12)
    kl = sum(divergence(policy, batch, reference)())
    torch.testing.assert_close(kl, (seen.kl * batch.completion_mask).sum() / batch.completion_mask.sum())


def test_attention_is_put_back():
    lm = tiny_lm()
    seen = []

    def fail():
        with twice_differentiable(lm):
            seen.append(lm.config._attn_implementation)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert [*seen, lm.config._attn_implementation] == ["eager", "sdpa"]


def test_surrogate_and_kl_from_one_forward_are_their_sum(monkeypatch):
    """In parts and whole; a policy that has moved from the one that drew, so that the clip is felt."""
    lm, other = tiny_lm("gpt2", torch.float64), tiny_lm("gpt2", torch.float64, seed=1)
    policy, reference = Policy(lm, critic=False), Policy(other, critic=False)
    batch = drawn(policy)
    batch = replace(batch, logprobs=batch.logprobs + 0.3 * batch.advantages)
    chosen = block(lm, "h.1.mlp")
    vector = torch.randn(chosen.size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    both = weighted_sum((1.0, surrogate(policy, batch, 0.2)), (0.05, divergence(policy, batch, reference)))
    with twice_differentiable(lm):
        wanted = hessian_product(both, chosen, vector)
        slope = gradient(both, chosen)
        for numbers in (2**24, 1):
            monkeypatch.setattr("gaard.sharpness.objectives.LOGITS_AT_ONCE", numbers)
            one = penalized_surrogate(policy, batch, reference, 0.2, 0.05)
            torch.testing.assert_close(hessian_product(one, chosen, vector), wanted, rtol=1e-9, atol=1e-12)
            torch.testing.assert_close(gradient(one, chosen), slope, rtol=1e-9, atol=1e-12)
