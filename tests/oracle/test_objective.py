"""G9 and the terms around it against if/else loops, hand-derived numbers and enumerated expectations, in float64."""

import math

import pytest
import torch

from definitions import exact_kl, log_softmax
from gaard.method.coefficients import gaa_coefficients, ppo_coefficients
from gaard.method.objective import clipped_surrogate, estimated_kl, greedy_surrogate, objective, value_loss

CLIP = 0.2


RATIOS = [0.3, 0.79, 0.85, 1.0, 1.15, 1.21, 3.0]


def tensor(x, **kwargs) -> torch.Tensor:
    return torch.tensor(x, dtype=torch.float64, **kwargs)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def slope(function, at: float) -> float:
    """The derivative by autograd at one number."""
    x = tensor(at, requires_grad=True)
    function(x).backward()
    return x.grad.item()


def naive_surrogate(ratio: float, advantage: float) -> float:
    """PPO by cases: a better token gains no more above 1 + ε, a worse one no more below 1 − ε."""
    if advantage > 0 and ratio > 1 + CLIP:
        return (1 + CLIP) * advantage
    if advantage < 0 and ratio < 1 - CLIP:
        return (1 - CLIP) * advantage
    return ratio * advantage


@pytest.mark.parametrize("advantage", [-1.5, 0.0, 2.0])
def test_clipped_surrogate_equals_its_cases(advantage):
    surrogate = clipped_surrogate(tensor(RATIOS), torch.full((len(RATIOS),), advantage, dtype=torch.float64), CLIP)
    assert surrogate.tolist() == pytest.approx([naive_surrogate(r, advantage) for r in RATIOS], rel=1e-14)


@pytest.mark.parametrize(
    ("ratio", "advantage", "expected"),
    [
        (1.0, 2.0, 2.0),  # inside: the policy gradient
        (1.1, -2.0, -2.0),
        (1.5, 2.0, 0.0),  # a good token already up
        (0.5, -2.0, 0.0),  # a bad token already down
        (0.5, 2.0, 2.0),  # a good token down: still pulled back
        (1.5, -2.0, -2.0),
    ],
)
def test_clipped_surrogate_stops_only_the_gradient_that_goes_too_far(ratio, advantage, expected):
    assert slope(lambda r: clipped_surrogate(r, tensor(advantage), CLIP), ratio) == expected


@pytest.mark.parametrize(
    ("ratio", "advantage", "b", "outside", "inside"),
    [
        (0.3, 2.0, -0.5, -0.3, -0.8),  # −½·min(0.6, 1.6) and min(0.3·−1, 0.8·−1)
        (1.5, 2.0, -0.5, -1.2, -1.5),
        (0.3, -2.0, -0.5, 0.8, 0.3),  # −½·min(−0.6, −1.6) and min(0.3·1, 0.8·1)
        (1.5, -2.0, -0.5, 1.5, 1.2),
        (1.1, 2.0, -0.5, -1.1, -1.1),
        (0.9, -2.0, -0.5, 0.9, 0.9),
        (0.3, 2.0, 0.0, 0.0, 0.0),
    ],
)
def test_greedy_surrogate_by_hand(ratio, advantage, b, outside, inside):
    arguments = (tensor(ratio), tensor(advantage), tensor(b), CLIP)
    assert greedy_surrogate(*arguments, "outside").item() == pytest.approx(outside, rel=1e-14)
    assert greedy_surrogate(*arguments, "inside").item() == pytest.approx(inside, rel=1e-14)


@pytest.mark.parametrize(
    ("ratio", "advantage", "greedy_clip", "expected"),
    [
        (0.3, 2.0, "outside", -1.0),  # far below the trust region it still pushes down
        (0.3, 2.0, "inside", 0.0),  # the trust region holds
        (0.3, -2.0, "outside", 0.0),
        (0.3, -2.0, "inside", 1.0),
        (1.5, 2.0, "outside", 0.0),
        (1.5, 2.0, "inside", -1.0),
        (1.0, 2.0, "outside", -1.0),  # inside both push alike
        (1.0, 2.0, "inside", -1.0),
        (0.85, -2.0, "outside", 1.0),
        (0.85, -2.0, "inside", 1.0),
    ],
)
def test_gradient_of_the_greedy_surrogate_by_hand(ratio, advantage, greedy_clip, expected):
    push = slope(lambda r: greedy_surrogate(r, tensor(advantage), tensor(-0.5), CLIP, greedy_clip), ratio)
    assert push == expected


def naive_value_loss(value: float, old_value: float, target: float, clip: float) -> float:
    if value > old_value + clip:
        clipped = old_value + clip
    elif value < old_value - clip:
        clipped = old_value - clip
    else:
        clipped = value
    return max((value - target) ** 2, (clipped - target) ** 2) / 2


@pytest.mark.parametrize("clip", [0.2, 1.0])
def test_value_loss_equals_its_loop(clip):
    values, old_values, returns = normal(6, 8), normal(6, 8, seed=1), normal(6, 8, seed=2)
    triples = zip(*(x.flatten().tolist() for x in (values, old_values, returns)), strict=True)
    expected = [naive_value_loss(*triple, clip) for triple in triples]
    assert value_loss(values, old_values, returns, clip).flatten().tolist() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("value", "loss", "gradient"),
    [
        (0.1, 1.805, -1.9),  # within the clip around 0, target 2
        (1.0, 1.62, 0.0),  # moved far enough towards the target: ½·(0.2 − 2)², and no gradient
        (-1.0, 4.5, -3.0),  # moved away from it: pulled back
    ],
)
def test_value_loss_by_hand(value, loss, gradient):
    old_value, target = tensor(0.0), tensor(2.0)
    assert value_loss(tensor(value), old_value, target, CLIP).item() == pytest.approx(loss, rel=1e-12)
    assert slope(lambda v: value_loss(v, old_value, target, CLIP), value) == pytest.approx(gradient, rel=1e-12)


class TestEstimatedKL:
    """Expectations are enumerated over six tokens, with probabilities that carry no gradient, as samples do."""

    logits = normal(6)
    ref_logprobs = log_softmax(normal(6, seed=1))

    def expectation(self, estimator: str) -> float:
        logprobs = log_softmax(self.logits)
        estimates = estimated_kl(logprobs, self.ref_logprobs, estimator).tolist()
        return math.fsum(math.exp(p) * k for p, k in zip(logprobs.tolist(), estimates, strict=True))

    def expected_gradient(self, estimator: str) -> torch.Tensor:
        logits = self.logits.clone().requires_grad_()
        logprobs = log_softmax(logits)
        (logprobs.detach().exp() * estimated_kl(logprobs, self.ref_logprobs, estimator)).sum().backward()
        return logits.grad

    def gradient_of_kl(self, reverse: bool = False) -> torch.Tensor:
        """Of KL(π‖π_ref), or of KL(π_ref‖π)."""
        logits = self.logits.clone().requires_grad_()
        pair = (log_softmax(logits), self.ref_logprobs)
        exact_kl(*(reversed(pair) if reverse else pair)).backward()
        assert logits.grad.abs().max() > 0.01
        return logits.grad

    def exact(self) -> float:
        p, q = log_softmax(self.logits).tolist(), self.ref_logprobs.tolist()
        return math.fsum(math.exp(x) * (x - y) for x, y in zip(p, q, strict=True))

    @pytest.mark.parametrize("estimator", ["k1", "k3"])
    def test_k1_and_k3_are_unbiased(self, estimator):
        assert self.exact() > 0.1
        assert self.expectation(estimator) == pytest.approx(self.exact(), rel=1e-12)

    def test_k2_is_biased(self):
        assert abs(self.expectation("k2") / self.exact() - 1) > 0.01

    def test_expected_gradient_of_k1_is_zero(self):
        torch.testing.assert_close(self.expected_gradient("k1"), torch.zeros(6).double(), rtol=0, atol=1e-14)

    def test_expected_gradient_of_k2_is_that_of_the_exact_kl(self):
        torch.testing.assert_close(self.expected_gradient("k2"), self.gradient_of_kl(), rtol=1e-12, atol=1e-14)

    def test_expected_gradient_of_k3_is_that_of_the_kl_the_other_way_round(self):
        """E[(1 − π_ref/π) ∇log π] = −Σ π_ref ∇log π: the two agree only while π stays near π_ref."""
        expected = self.gradient_of_kl(reverse=True)
        torch.testing.assert_close(self.expected_gradient("k3"), expected, rtol=1e-12, atol=1e-14)
        assert (expected - self.gradient_of_kl()).abs().max() > 0.01

    @pytest.mark.parametrize(
        ("estimator", "expected"),
        [("k1", math.log(2)), ("k2", math.log(2) ** 2 / 2), ("k3", 0.5 - 1 + math.log(2))],
    )
    def test_a_token_twice_as_likely_as_before_by_hand(self, estimator, expected):
        estimate = estimated_kl(tensor(0.5).log(), tensor(0.25).log(), estimator)
        assert estimate.item() == pytest.approx(expected, rel=1e-12)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    @pytest.mark.parametrize("estimator", ["k2", "k3"])
    def test_k2_and_k3_are_never_negative_and_zero_for_equal_probabilities(self, estimator, dtype):
        distances = torch.cat([-torch.logspace(-12, 1.5, 500), torch.zeros(1), torch.logspace(-12, 1.5, 500)]).to(dtype)
        estimates = estimated_kl(torch.zeros_like(distances), distances, estimator)
        assert (estimates >= 0).all()
        assert estimates[500] == 0.0

    def test_k3_keeps_its_digits_near_the_reference(self):
        """d²/2 at a distance d of 1e-4, where exp(d) − 1 in float32 would be wrong by its whole size."""
        estimate = estimated_kl(torch.tensor(0.0), torch.tensor(1e-4), "k3")
        assert estimate.item() == pytest.approx(5e-9, rel=0.01)

    @pytest.mark.parametrize("estimator", ["exact", "k4"])
    def test_other_names_are_refused_with_the_remedy(self, estimator):
        with pytest.raises(ValueError, match=rf"{estimator}.*k1, k2 or k3"):
            estimated_kl(torch.zeros(1), torch.zeros(1), estimator)


HAND_MADE = {
    "ratio": tensor([[1.1]]),
    "advantages": tensor([[2.0]]),  # J_x = 2.2
    "a": tensor([[1.5]]),
    "greedy_ratio": tensor([[0.9]]),
    "greedy_advantages": tensor([[1.0]]),
    "b": tensor([[-0.5]]),  # b·J_x* = −0.45
    "value_error": tensor([[0.4]]),
    "kl": tensor([[0.3]]),
    "entropy": tensor([[1.5]]),
    "vf_coef": 0.1,
    "kl_coef": 0.2,
    "entropy_coef": 0.01,  # penalties: 0.04 + 0.06 − 0.015 = 0.085
    "cliprange": CLIP,
}


@pytest.mark.parametrize(
    ("scaled_terms", "expected"),
    [
        ("surrogate", -(1.5 * 2.2 - 0.085 - 0.45)),  # −2.765
        ("objective", -(1.5 * (2.2 - 0.085) - 0.45)),  # −2.7225
    ],
)
def test_objective_by_hand(scaled_terms, expected):
    terms = objective(**HAND_MADE, scaled_terms=scaled_terms, greedy_clip="outside")
    assert terms.loss.item() == pytest.approx(expected, rel=1e-12)
    parts = (terms.surrogate.item(), terms.greedy_surrogate.item(), terms.value_loss.item())
    assert parts == pytest.approx((2.2, -0.45, 0.4), rel=1e-12)


@pytest.mark.parametrize(("greedy_clip", "expected"), [("outside", -0.15), ("inside", -0.4)])
def test_objective_hands_on_how_the_greedy_term_is_clipped(greedy_clip, expected):
    given = HAND_MADE | {"greedy_ratio": tensor([[0.3]])}
    terms = objective(**given, scaled_terms="surrogate", greedy_clip=greedy_clip)
    assert terms.greedy_surrogate.item() == pytest.approx(expected, rel=1e-12)
    assert terms.loss.item() == pytest.approx(-(1.5 * 2.2 - 0.085 + expected), rel=1e-12)


@pytest.mark.parametrize(
    ("scaled_terms", "expected"),
    [
        # dJ_x/dr = A = 2, weighed by a; then value loss, KL, entropy; last the greedy ratio, −b·A*
        ("surrogate", {"ratio": -3.0, "value_error": 0.1, "kl": 0.2, "entropy": -0.01, "greedy_ratio": 0.5}),
        ("objective", {"ratio": -3.0, "value_error": 0.15, "kl": 0.3, "entropy": -0.015, "greedy_ratio": 0.5}),
    ],
)
def test_gradient_of_the_objective_by_hand(scaled_terms, expected):
    leaves = {name: HAND_MADE[name].clone().requires_grad_() for name in expected}
    objective(**HAND_MADE | leaves, scaled_terms=scaled_terms, greedy_clip="outside").loss.sum().backward()
    assert {name: leaf.grad.item() for name, leaf in leaves.items()} == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("scaled_terms", ["surrogate", "objective"])
@pytest.mark.parametrize("greedy_clip", ["outside", "inside"])
@pytest.mark.parametrize("coefficients", [ppo_coefficients, gaa_coefficients])
def test_without_a_gap_the_loss_is_ppos_to_the_last_bit(coefficients, greedy_clip, scaled_terms):
    """Loss and gradient, in float32, whatever the greedy tokens are like."""
    names = ("log_ratio", "advantages", "greedy_log_ratio", "greedy_advantages", "value_error", "kl", "entropy")
    x = {name: 0.3 * normal(16, 32, seed=seed).float() for seed, name in enumerate(names)}
    weights = {"vf_coef": 0.1, "kl_coef": 0.07, "entropy_coef": 0.013}
    a, b = coefficients(torch.rand(16, 32, generator=torch.Generator().manual_seed(9)), torch.zeros(16, 32))

    ratio = x["log_ratio"].exp().requires_grad_()
    given = {name: x[name] for name in ("advantages", "greedy_advantages", "value_error", "kl", "entropy")}
    given |= {"ratio": ratio, "greedy_ratio": x["greedy_log_ratio"].exp(), "a": a, "b": b, "cliprange": CLIP}
    loss = objective(**given, **weights, scaled_terms=scaled_terms, greedy_clip=greedy_clip).loss
    (gradient,) = torch.autograd.grad(loss.sum(), ratio)

    same_ratio = x["log_ratio"].exp().requires_grad_()
    unclipped, clipped = (r * x["advantages"] for r in (same_ratio, torch.clip(same_ratio, 1 - CLIP, 1 + CLIP)))
    penalties = 0.1 * x["value_error"] + 0.07 * x["kl"] - 0.013 * x["entropy"]
    ppo_loss = -(torch.min(unclipped, clipped) - penalties)
    (ppo_gradient,) = torch.autograd.grad(ppo_loss.sum(), same_ratio)

    assert torch.equal(loss, ppo_loss)
    assert torch.equal(gradient, ppo_gradient)
