"""``gaard sharpness``: what it measures of a run's saved policies, what it keeps, and what it refuses."""

import json
from pathlib import Path

import pytest
import torch

from commands import refused
from gaard import cli
from gaard.lab.sharpness import curvature, landscape, measuring
from gaard.lab.sharpness.blocks import named_blocks
from gaard.lab.sharpness.measuring import At, Choice, Settings
from gaard.lab.sharpness.samples import fixed_batch, less_the_others, resampled
from gaard.lab.sharpness.saved import SavedRun, saved_steps
from gaard.policy.model import Policy
from gaard.report.landscape import landscape_section
from gaard.report.run_files import read_run_files
from gaard.sharpness import KeptHessian, block, gradient, hessian_product, twice_differentiable
from stored import save_tiny
from tiny import tiny_lm

pytestmark = pytest.mark.slow

REWARD = """
def score(completions, **columns):
    return [len(set(text.split())) / 4 for text in completions]

def hacks(completions, **columns):
    return ["hi" in text for text in completions]
"""
SIZES = ["--batch_size", "8", "--num_mini_batches", "2", "--max_completion_length", "5", "--use_cpu", "true"]
SOME = ["--functions", "reward", "--blocks", "all,mlp"]
FEW = ["--samples", "8", "--eigenvalues", "2"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run of four steps of a tiny model, saved after two and after four."""
    folder = tmp_path_factory.mktemp("sharpness")
    save_tiny(folder / "tiny")
    (folder / "reward.py").write_text(REWARD)
    rewards = [f"--{role}={folder}/reward.py:score" for role in ("reward_funcs", "true_reward_funcs")]
    given = ["train", "--model", str(folder / "tiny"), "--prompts", '["hi yo"]', *rewards, *SIZES]
    given += [f"--hack_detector={folder}/reward.py:hacks", "--learning_rate", "1e-2", "--max_steps", "4"]
    given += ["--save_steps", "2", "--save_total_limit", "9", "--eval_completions", "0", "--progress", "false"]
    assert cli.main([*given, "--output_dir", str(folder / "run")]) == 0
    return folder / "run"


@pytest.fixture(scope="module")
def measured(made):
    """Measures of the last policy, some of them of the untrained one."""
    with pytest.MonkeyPatch.context() as fewer:
        fewer.setattr(landscape, "PLANE_STEPS", (-1.0, 0.0, 1.0))
        fewer.setattr(curvature, "TRACE_PRODUCTS", 6)
        assert cli.main(["sharpness", str(made), "--steps", "4", *SOME, *FEW]) == 0
        assert cli.main(["sharpness", str(made), "--steps", "0", "--measures", "lines", *SOME, *FEW]) == 0
    return json.loads((made / "sharpness.json").read_text())


def test_every_measure_is_there_and_the_policy_is_in_the_middle(made, measured):
    assert measured["settings"] == {"samples": 8, "eigenvalues": 2, "seed": 0}
    names = ("proxy", "true", "hack_rate", "kl")
    for policy in measured["policies"].values():
        assert set(policy["lines"]) == {"gradient", "random-0", "random-1", "eigenvector-all", "eigenvector-mlp"}
        for line in policy["lines"].values():
            assert [line[key][5] for key in names] == [policy["here"][key] for key in names]
            assert line["at"] == sorted(line["at"])
    policy = measured["policies"]["4"]
    assert policy["plane"]["proxy"][1][1] == policy["here"]["proxy"]
    assert {function: set(blocks) for function, blocks in policy["curvature"].items()} == {"reward": {"all", "mlp"}}
    for figures in policy["curvature"]["reward"].values():
        assert len(figures["top"]) == len(figures["bottom"]) == len(figures["top_residuals"]) == 2
        assert figures["top"][0] >= figures["top"][1] >= figures["bottom"][1] >= figures["bottom"][0]
    assert measured["policies"]["0"]["here"]["kl"] == pytest.approx(0, abs=1e-6)
    assert measured["policies"]["4"]["here"]["kl"] > 1e-4


def test_a_place_is_measured_at_weights_that_are_moved(made, measured, tmp_path):
    """The last step along the gradient again, by weights moved by hand."""
    run = SavedRun(made, tmp_path)
    run.load(4)
    trainer = run.trainer
    with twice_differentiable(trainer.policy.lm):
        at = At(trainer, named_blocks(trainer.policy), Settings(8, 2))
        slope = -gradient(at.function("reward"), at.blocks["all"])
        with torch.no_grad():
            steps = at.blocks["all"].split(slope / slope.norm())
            for p, step in zip(trainer.policy.lm.parameters(), steps, strict=True):
                p.add_(step)
        found = resampled(trainer, 8, 0)
    line = measured["policies"]["4"]["lines"]["gradient"]
    assert {key: line[key][-1] for key in found} == pytest.approx(found, rel=1e-4)
    assert found["proxy"] >= line["proxy"][5]  # uphill


def test_what_is_there_is_not_measured_again(made, measured, monkeypatch):
    path, before = made / "sharpness.json", (made / "run.json").read_bytes()
    kept = path.read_text()
    content = json.loads(kept)
    del content["policies"]["4"]["curvature"]["reward"]["mlp"]
    path.write_text(json.dumps(content))
    monkeypatch.setattr(curvature, "TRACE_PRODUCTS", 6)
    taken, own = [], At.measured
    monkeypatch.setattr(At, "measured", lambda self, key: taken.append(key) or own(self, key))
    assert cli.main(["sharpness", str(made), *SOME, *FEW]) == 0
    assert taken == [("curvature", "reward", "mlp")]
    again, first = (
        json.loads(text)["policies"]["4"]["curvature"]["reward"]["mlp"] for text in (path.read_text(), kept)
    )
    assert {**again, "seconds": 0} == {**first, "seconds": 0}
    assert (made / "run.json").read_bytes() == before
    content["policies"]["4"]["weights"] = "those of another run"
    path.write_text(json.dumps(content))
    assert cli.main(["sharpness", str(made), "--measures", "lines", "--blocks", "mlp", *FEW]) == 0
    assert taken[1:] == measuring.wanted(Choice(measures=("lines",), blocks=("mlp",)))
    path.write_text(kept)


def test_other_settings_are_refused_and_may_be_forced(made, measured, capsys):
    path = made / "sharpness.json"
    kept = path.read_text()
    assert cli.main(["sharpness", str(made), "--samples", "9"]) == 2
    line = capsys.readouterr().err
    assert "holds measures by other settings: give the same, or --overwrite" in line
    assert path.read_text() == kept
    few = ["--measures", "lines", "--blocks", "mlp", "--samples", "4"]
    assert cli.main(["sharpness", str(made), "--overwrite", *few]) == 0
    assert list(json.loads(path.read_text())["policies"]) == ["4"]
    path.write_text(kept)


def test_what_cannot_be_is_said(made, tmp_path, capsys):
    assert saved_steps(made) == [0, 2, 4]
    line = refused(["sharpness", str(made), "--steps", "3"], capsys)
    assert "has no checkpoint of step 3: choose from 0, 2, 4" in line
    assert "--steps x: give training steps" in refused(["sharpness", str(made), "--steps", "x"], capsys)
    assert "holds no run.json" in refused(["sharpness", str(tmp_path)], capsys)
    assert "--blocks head: there is no such" in refused(["sharpness", str(made), "--blocks", "head"], capsys)
    assert "samples=1 must be 2 or more" in refused(["sharpness", str(made), "--samples", "1"], capsys)


def test_a_reward_that_has_changed_since_is_refused(made, capsys, tmp_path):
    reward = made.parent / "reward.py"
    reward.write_text(REWARD.replace("/ 4", "/ 5"))
    try:
        assert cli.main(["sharpness", str(made), *FEW]) == 2
        line = capsys.readouterr().err
        assert "its policies would be measured by other rewards or prompts" in line
    finally:
        reward.write_text(REWARD)


def test_a_damaged_checkpoint_is_refused(made, tmp_path):
    run = SavedRun(made, tmp_path)
    path = made / "checkpoints" / "step-000002" / "policy.safetensors"
    kept = path.read_bytes()
    path.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
    with pytest.raises(cli.GaardError, match="step-000002 is damaged"):
        run.load(2)
    path.write_bytes(kept)


def test_a_reward_less_the_others():
    assert less_the_others(torch.tensor([1.0, 2.0, 6.0])).tolist() == [1 - 4, 2 - 3.5, 6 - 1.5]


def test_products_are_the_same_where_the_graph_is_not_kept(made, tmp_path, monkeypatch):
    run = SavedRun(made, tmp_path)
    with twice_differentiable(run.trainer.policy.lm):
        at = At(run.trainer, named_blocks(run.trainer.policy), Settings(8, 2))
        objective, chosen = at.function("objective"), at.blocks["mlp"]
        vector = torch.randn(chosen.size, generator=torch.Generator().manual_seed(1))
        kept = at._hessian(objective, chosen)
        monkeypatch.setattr(curvature, "KEPT_LOGITS", 0)
        fresh = at._hessian(objective, chosen)
        assert isinstance(kept, KeptHessian)
        assert not isinstance(fresh, KeptHessian)
        torch.testing.assert_close(kept(vector), fresh(vector))
        torch.testing.assert_close(fresh(vector), hessian_product(objective, chosen, vector))


def test_the_fixed_samples_are_those_of_the_seed(made, tmp_path):
    run = SavedRun(made, tmp_path)
    first, again, other = (fixed_batch(run.trainer, 8, seed) for seed in (0, 0, 1))
    assert torch.equal(first.completion_ids, again.completion_ids)
    assert first.completion_ids.tolist() != other.completion_ids.tolist()
    assert first.rewards.sum().item() == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("architecture", ["gpt2", "llama", "qwen2", "gemma3"])
def test_blocks_of_four_architectures(architecture):
    blocks = named_blocks(Policy(tiny_lm(architecture)))
    assert list(blocks) == ["all", "unembedding", "mlp", "attention"]
    assert len(blocks["unembedding"].names) == 1
    assert all(".1." in name and "mlp" in name for name in blocks["mlp"].names)
    assert all("attn." in name for name in blocks["attention"].names)
    assert {".0." in name for name in blocks["attention"].names} == {True, False}


def test_the_page_of_a_run_shows_it(made, measured):
    section = landscape_section(read_run_files(made))
    assert section.label == "Sharpness after step 4"
    assert set(section.plots) == {"chart-plane", "chart-lines"}
    proxy, _, true, _ = section.plots["chart-plane"]["traces"]
    assert proxy["z"][1][1] == pytest.approx(measured["policies"]["4"]["here"]["proxy"], abs=1e-4)
    assert (proxy["zmin"], proxy["zmax"]) == (true["zmin"], true["zmax"])
    assert len(section.table["rows"]) == 2
    assert cli.main(["report", str(made)]) == 0
    assert "Sharpness after step 4" in (made / "report.html").read_text()
    (made / "sharpness.json").rename(made / "elsewhere")
    assert landscape_section(read_run_files(made)) is None
    Path(made / "elsewhere").rename(made / "sharpness.json")


def test_the_second_difference_of_the_reward_is_that_of_fresh_completions(measured):
    policy = measured["policies"]["4"]
    for name in ("all", "mlp"):
        line = policy["lines"][f"eigenvector-{name}"]
        assert (line["at"][4], line["at"][6]) == (-0.05, 0.05)
        bent = -(line["proxy"][4] - 2 * line["proxy"][5] + line["proxy"][6]) / 0.05**2
        assert policy["curvature"]["reward"][name]["second_difference"] == pytest.approx(bent)


def test_the_rise_up_a_gradient_and_the_second_difference_of_a_saddle():
    """Of 3x² − y² at (1, 2): the gradient is (6, −4)."""
    place = torch.nn.Linear(2, 1, bias=False, dtype=torch.float64)
    with torch.no_grad():
        place.weight.copy_(torch.tensor([[1.0, 2.0]]))
    here = block(place)

    def height():
        x, y = place.weight.detach()[0]
        return float(3 * x**2 - y**2)

    slope = torch.tensor([6.0, -4.0], dtype=torch.float64)
    bent = (6 * 36 - 2 * 16) / 52
    assert curvature.rise(height, here, slope) == pytest.approx(0.05 * 52**0.5 + bent * 0.05**2 / 2)
    assert curvature.rise(height, here, torch.zeros_like(slope)) == 0
    assert curvature.along(height, here, torch.tensor([0.0, 1.0], dtype=torch.float64)) == pytest.approx(-2)
    assert place.weight.tolist() == [[1.0, 2.0]]
