"""One pass over the vocabulary in blocks, against whole distributions and autograd."""

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from definitions import entropy, exact_kl, log_softmax, selected
from gaard.method import projection
from gaard.method.projection import Projection, token_figures

N, D, V, TEMPERATURE = 7, 5, 23, 0.7


@pytest.fixture(params=[1, 4, 23, 100])
def block(request, monkeypatch):
    """Blocks of one token, of some with a rest, of all, and larger than the vocabulary."""
    monkeypatch.setattr(projection, "BLOCK", request.param)


def drawn(*shape, seed=0, scale=1.0):
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def world(with_bias=True):
    """Hidden states, a projection and a reference of it, sampled and greedy tokens."""
    hidden, weight = drawn(N, D), drawn(V, D, seed=1)
    bias = drawn(V, seed=2) if with_bias else None
    reference = drawn(N, D, seed=3), Projection(drawn(V, D, seed=4), drawn(V, seed=5) if with_bias else None, 1.3)
    greedy = Projection(weight, bias, TEMPERATURE).block(hidden, 0, V).argmax(-1)
    tokens = torch.arange(N) * 3
    tokens[0] = greedy[0]  # the same token twice
    return hidden, weight, bias, tokens, greedy, reference


def single_operations(hidden, policy, tokens, greedy, reference, with_entropy):
    """The definition, one operation after the other, for autograd to differentiate."""

    def whole(states, by):
        out = states @ by.weight.t()
        out = out if by.bias is None else out + by.bias
        return log_softmax((out if by.cap is None else by.cap * torch.tanh(out / by.cap)) / by.temperature)

    logprobs = whole(hidden, policy)
    zeros = torch.zeros(N, dtype=logprobs.dtype)
    return (
        selected(logprobs, tokens),
        selected(logprobs, greedy),
        entropy(logprobs) if with_entropy else zeros,
        zeros if reference is None else exact_kl(logprobs, whole(*reference)),
    )


@pytest.mark.parametrize("with_entropy", [False, True])
@pytest.mark.parametrize("with_reference", [False, True])
@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("cap", [None, 2.0])
@pytest.mark.usefixtures("block")
def test_the_figures_and_their_gradients_are_those_of_the_single_operations(
    with_entropy, with_reference, with_bias, cap
):
    hidden, weight, bias, tokens, greedy, reference = world(with_bias)
    reference = reference[0], reference[1]._replace(cap=cap)
    factors = drawn(4, N, seed=6)
    found = []
    for way in (token_figures, single_operations):
        leaves = [x.clone().requires_grad_() for x in (hidden, weight, bias) if x is not None]
        policy = Projection(leaves[1], leaves[2] if with_bias else None, TEMPERATURE, cap=cap)
        figures = way(leaves[0], policy, tokens, greedy, reference if with_reference else None, with_entropy)
        sum((factor * figure).sum() for factor, figure in zip(factors, figures, strict=True)).backward()
        found.append([torch.stack(tuple(figures)).detach(), *(leaf.grad for leaf in leaves)])
    for ours, expected in zip(*found, strict=True):
        torch.testing.assert_close(ours, expected, atol=1e-12, rtol=0)


@pytest.mark.usefixtures("block")
def test_the_gradient_of_a_frozen_projection_is_not_computed():
    hidden, weight, bias, tokens, greedy, reference = world()
    leaf = hidden.clone().requires_grad_()
    token_figures(leaf, Projection(weight, bias, TEMPERATURE), tokens, greedy, reference)[3].sum().backward()
    assert leaf.grad.abs().sum() > 0
    assert weight.grad is None


@pytest.mark.usefixtures("block")
def test_kl_to_oneself_is_exactly_zero():
    hidden, weight, bias, tokens, greedy, _ = world()
    policy = Projection(weight.float(), bias.float(), TEMPERATURE)
    figures = token_figures(hidden.float(), policy, tokens, greedy, (hidden.float(), policy))
    assert figures.kl.tolist() == [0.0] * N


@pytest.mark.usefixtures("block")
def test_huge_logits_stay_finite():
    hidden, weight, _, tokens, greedy, _ = world()
    figures = token_figures(1e4 * hidden.float(), Projection(weight.float(), None, 0.1), tokens, greedy, None, True)
    assert all(figure.isfinite().all() for figure in figures)
    assert figures.greedy_logprobs.max() == 0.0


def test_without_a_gradient_nothing_of_the_vocabularys_size_is_kept(monkeypatch):
    """Under a checkpoint, too, which keeps only what is saved in the open."""
    monkeypatch.setattr(projection, "BLOCK", 4)
    hidden, weight, bias, tokens, greedy, reference = world()
    policy, leaf = Projection(weight, bias, TEMPERATURE), hidden.clone().requires_grad_()
    kept = []

    def pack(tensor):
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        with torch.no_grad():
            token_figures(leaf, policy, tokens, greedy, reference)
        assert kept == []
        token_figures(leaf, policy, tokens, greedy, reference)
        assert sum(kept) >= 2 * N * V
    whole = token_figures(leaf, policy, tokens, greedy, reference)
    again = checkpoint(token_figures, leaf, policy, tokens, greedy, reference, use_reentrant=False)
    assert not [key for key in vars(again[0].grad_fn) if "kept" in key]
    gradients = [torch.autograd.grad(sum(figures).sum(), leaf)[0] for figures in (whole, again)]
    torch.testing.assert_close(*gradients)


def test_under_autocast_products_are_in_bfloat16_and_all_else_in_float32():
    hidden, weight, _, tokens, greedy, reference = world(with_bias=False)
    leaves = [x.float().requires_grad_() for x in (hidden, weight)]
    reference = reference[0].float(), Projection(reference[1].weight.float(), None, 1.3)
    expected = token_figures(leaves[0], Projection(leaves[1], None, TEMPERATURE), tokens, greedy, reference, True)
    with torch.autocast("cpu", torch.bfloat16):
        cast = token_figures(leaves[0], Projection(leaves[1], None, TEMPERATURE), tokens, greedy, reference, True)
    rounded = Projection(leaves[1].detach().bfloat16(), None, TEMPERATURE)
    by_hand = token_figures(
        leaves[0].detach().bfloat16(),
        rounded,
        tokens,
        greedy,
        (reference[0].bfloat16(), Projection(reference[1].weight.bfloat16(), None, 1.3)),
        True,
    )
    for one, other, wide in zip(cast, by_hand, expected, strict=True):
        assert one.dtype == torch.float32
        torch.testing.assert_close(one, other)
        torch.testing.assert_close(one, wide, atol=0.1, rtol=0.05)
        assert not torch.equal(one, wide)
    gradients = [torch.autograd.grad(sum(figures).sum(), leaves) for figures in (cast, expected)]
    for one, wide in zip(*gradients, strict=True):
        assert one.dtype == torch.float32
        torch.testing.assert_close(one, wide, atol=0.2, rtol=0.1)
