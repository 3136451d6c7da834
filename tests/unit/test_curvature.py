"""What ``gaard sharpness`` is made of, on functions that are known everywhere, and the blocks of models."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from commands import refused
from gaard import cli
from gaard.errors import ConfigError
from gaard.lab.sharpness import curvature, landscape, measuring
from gaard.lab.sharpness.blocks import named_blocks
from gaard.lab.sharpness.measuring import Choice
from gaard.lab.sharpness.objective import check_objective
from gaard.lab.sharpness.samples import less_the_others
from gaard.policy.model import Policy
from gaard.sharpness import KeptHessian, block
from gaard.training.config import GAAConfig
from tiny import tiny_lm


def linear(*rows):
    """A module whose weights are so, in double precision."""
    place = nn.Linear(len(rows[0]), len(rows), bias=False, dtype=torch.float64)
    with torch.no_grad():
        place.weight.copy_(torch.tensor(rows))
    return place


def test_the_rise_up_a_gradient_and_the_second_difference_of_a_saddle():
    """Of 3x² − y² at (1, 2): the gradient is (6, −4)."""
    place = linear([1.0, 2.0])
    here = block(place)

    def height():
        x, y = place.weight.detach()[0]
        return float(3 * x**2 - y**2), 0.0

    slope = torch.tensor([6.0, -4.0], dtype=torch.float64)
    bent = (6 * 36 - 2 * 16) / 52
    assert curvature.rise(height, here, slope) == pytest.approx((0.05 * 52**0.5 + bent * 0.05**2 / 2, 0))
    assert curvature.rise(height, here, torch.zeros_like(slope)) == (0, 0)
    assert curvature.rise(height, here, -slope)[0] < 0
    assert curvature.along(height, here, torch.tensor([0.0, 1.0], dtype=torch.float64)) == pytest.approx((-2, 0))
    assert place.weight.tolist() == [[1.0, 2.0]]


def test_a_flat_function_that_is_sampled_has_no_sharpness_and_errors_that_are_true():
    generator, here = np.random.default_rng(0), block(linear([1.0, 2.0]))
    direction = torch.tensor([0.6, 0.8], dtype=torch.float64)

    def height():
        drawn = generator.random(64) < 0.5
        return drawn.mean(), drawn.std(ddof=1) / 8

    for estimator in (curvature.rise, curvature.along):
        values, errors = np.array([estimator(height, here, direction) for _ in range(400)]).T
        assert abs(values.mean()) < 3 * values.std() / 20
        assert errors.mean() == pytest.approx(values.std(), rel=0.1)


def test_the_figures_of_a_parabola():
    """Of ½ Σ dᵢ wᵢ² with 2 × 3 weights all is known: the Hessian has d on its diagonal."""
    place = linear([1.0, 3.0, 0.5], [2.0, 0.1, 1.0])
    bent = torch.tensor([[5.0, 1.0, -2.0], [3.0, 9.0, -4.0]], dtype=torch.float64)
    here = block(place)

    def f():
        yield (bent * place.weight**2).sum() / 2

    def height():
        return float(sum(part.detach() for part in f())), 0.0

    found = curvature.curvature(f, height, here, lambda: KeptHessian(f, here), 2, 0)
    figures, w = found.figures, place.weight.detach()
    assert figures["top"] == pytest.approx([9, 5], rel=0.02)
    assert figures["bottom"] == pytest.approx([-4, -2], rel=0.02)
    assert figures["trace"]["value"] == pytest.approx(12)
    assert figures["adaptive_top"] == pytest.approx(12, rel=0.02)  # 3 · 2²
    assert figures["filter_top"] == pytest.approx(51.25, rel=0.02)  # 5 · (1² + 3² + 0.5²)
    slope = bent * w
    assert figures["gradient_norm"] == pytest.approx(float(slope.norm()))
    step = 0.05 * slope / slope.norm()
    assert figures["epsilon_sharpness"] == pytest.approx(float((slope * step + bent * step**2 / 2).sum()))
    assert figures["second_difference"] == pytest.approx(9, rel=0.02)
    assert (figures["epsilon_sharpness_error"], figures["second_difference_error"]) == (0, 0)
    assert abs(found.top[4]) == pytest.approx(1, abs=0.02)


def test_a_plane_has_a_row_for_each_step_up():
    """Up is given aslant, and stands at right angles to across."""
    place = linear([0.0, 0.0])
    across, up = (torch.tensor(x, dtype=torch.float64) for x in ([2.0, 0.0], [1.0, 3.0]))
    found = landscape.plane(
        lambda: dict(zip("xy", place.weight[0].tolist(), strict=True)), block(place), across, up, [-1.0, 0, 2]
    )
    assert found["x"] == [[-1, 0, 2]] * 3
    assert found["y"] == [[-1] * 3, [0] * 3, [2] * 3]


def test_a_reward_less_the_others():
    assert less_the_others(torch.tensor([1.0, 2.0, 6.0])).tolist() == [1 - 4, 2 - 3.5, 6 - 1.5]


@pytest.mark.parametrize("architecture", ["gpt2", "llama", "qwen2", "gemma3"])
def test_blocks_of_four_architectures(architecture):
    blocks = named_blocks(Policy(tiny_lm(architecture)))
    assert list(blocks) == ["all", "unembedding", "mlp", "attention"]
    assert len(blocks["unembedding"].names) == 1
    assert all(".1." in name and "mlp" in name for name in blocks["mlp"].names)
    assert all("attn." in name for name in blocks["attention"].names)
    assert {".0." in name for name in blocks["attention"].names} == {True, False}


def adapted():
    """A model of which an adapter in the attention alone is trained."""
    peft = pytest.importorskip("peft")
    lm = tiny_lm("llama")
    lm.add_adapter(peft.LoraConfig(r=2, target_modules=["q_proj"]))
    return SimpleNamespace(policy=Policy(lm), args=GAAConfig("runs/none"))


def test_of_an_adapter_the_blocks_that_are_there_are_measured():
    trainer = adapted()
    assert list(measuring._blocks(trainer, Choice())) == ["all", "attention"]
    with pytest.raises(ConfigError, match="--blocks mlp: this model has no such block"):
        measuring._blocks(trainer, Choice(blocks=("all", "mlp")))


@pytest.mark.parametrize(
    ("option", "given", "told"),
    [
        ("steps", "x", "--steps x: give training steps"),
        ("blocks", "head", "--blocks head: there is no such"),
        ("samples", "1", "samples=1 must be 2 or more"),
        ("eigenvalues", "999999999", "eigenvalues=999999999 must be 100 or fewer"),
        *((option, ",", f"--{option} ',' is empty: give names") for option in ("measures", "functions", "blocks")),
    ],
)
def test_options_that_cannot_be(tmp_path, capsys, option, given, told):
    assert told in refused(["sharpness", str(tmp_path), f"--{option}", given], capsys)


def test_when_it_is_stopped_it_says_what_is_lost(tmp_path, capsys, monkeypatch):
    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(measuring, "measure_run", stopped)
    assert cli.main(["sharpness", str(tmp_path)]) == 130
    told = capsys.readouterr().err
    assert told.startswith("gaard: interrupted; the measure in hand is lost, those before it are kept, and without")
    assert "checkpoint" not in told


# What "objective" lacks -----------------------------------------------------------------------------------------------

OTHERS = {
    "method='gaa' with a second term": {"method": "gaa"},
    "entropy_coef=0.1": {"entropy_coef": 0.1},
    "kl_estimator='k3'": {"kl_estimator": "k3"},
    "regularizer 'chi2', which adds a penalty": {"regularizers": "chi2"},
    "regularizer 'pid-kl', which controls kl_coef": {"regularizers": "pid-kl"},
    "regularizer 'reference-resets', which moves the reference": {"regularizers": "reference-resets"},
    "regularizer 'sam', which takes the gradient elsewhere": {"regularizers": "sam"},
    "regularizer 'policy-filtration', which may leave completions out": {"regularizers": "policy-filtration"},
}


@pytest.mark.parametrize("term", OTHERS)
def test_a_run_that_trains_on_another_objective_is_refused(term):
    trainer = SimpleNamespace(policy=Policy(tiny_lm()), args=GAAConfig("runs/none", **OTHERS[term]))
    with pytest.raises(ConfigError, match=f"{term}: take reward or kl$"):
        measuring._blocks(trainer, Choice(functions=("reward", "objective")))
    assert measuring._blocks(trainer, Choice())
    assert measuring._blocks(trainer, Choice(measures=("lines",), functions=("objective",)))


@pytest.mark.parametrize("given", [{}, {"method": "fold"}, {"regularizers": "max-min"}, {"kl_coef": 0.0}])
def test_a_run_that_trains_on_it_is_not_refused(given):
    check_objective(GAAConfig("runs/none", **given))
