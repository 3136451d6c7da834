"""``gaard sharpness``: what it measures of a run's saved policies, what it keeps, and what it refuses."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from commands import refused
from gaard import cli
from gaard.lab.sharpness import curvature, landscape, measuring
from gaard.lab.sharpness.blocks import named_blocks
from gaard.lab.sharpness.measuring import At, Choice, Settings
from gaard.lab.sharpness.samples import fixed_batch, resampled, rolled_out
from gaard.lab.sharpness.saved import SavedRun, saved_steps
from gaard.report.landscape import landscape_section
from gaard.report.run_files import read_run_files
from gaard.sharpness import KeptHessian, eigenpairs, gradient, hessian_product, random_direction, trace, value
from gaard.sharpness.objectives import twice_differentiable
from gaard.training.estimate import estimate
from gaard.training.update import add_gradients
from stored import save_tiny

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


@pytest.fixture
def at(made, tmp_path):
    """The last policy, to be measured by hand."""
    run = SavedRun(made, tmp_path)
    run.load(4)
    trainer = run.trainer
    with twice_differentiable(trainer.policy.lm), twice_differentiable(trainer.untrained.lm):
        yield At(trainer, named_blocks(trainer.policy), Settings(8, 2))


@pytest.fixture(scope="module")
def measured(made):
    """Measures of the last policy, and some of the untrained one."""
    with pytest.MonkeyPatch.context() as fewer:
        fewer.setattr(landscape, "PLANE_STEPS", (-1.0, 0.0, 1.0))
        fewer.setattr(curvature, "TRACE_PRODUCTS", 6)
        assert cli.main(["sharpness", str(made), "--steps", "4", *SOME, *FEW]) == 0
        assert cli.main(["sharpness", str(made), "--steps", "0", "--measures", "lines", *SOME, *FEW]) == 0
        kl = ["--measures", "curvature", "--functions", "kl", "--blocks", "mlp"]
        assert cli.main(["sharpness", str(made), "--steps", "4", *kl, *FEW]) == 0
    return json.loads((made / "sharpness.json").read_text())


def test_every_measure_is_there_and_the_policy_is_in_the_middle(made, measured):
    assert measured["settings"] == {"samples": 8, "eigenvalues": 2, "seed": 0}
    names = ("proxy", "true", "hack_rate", "kl")
    for policy in measured["policies"].values():
        assert set(policy["lines"]) == {"gradient", "random-0", "random-1", "eigenvector-all", "eigenvector-mlp"}
        for line in policy["lines"].values():
            middle = line["at"].index(0.0)
            assert [line[key][middle] for key in names] == [policy["here"][key] for key in names]
            assert line["at"] == sorted(line["at"])
    policy = measured["policies"]["4"]
    assert policy["plane"]["proxy"][1][1] == policy["here"]["proxy"]
    blocks = {function: set(blocks) for function, blocks in policy["curvature"].items()}
    assert blocks == {"reward": {"all", "mlp"}, "kl": {"mlp"}}
    for figures in (*policy["curvature"]["reward"].values(), policy["curvature"]["kl"]["mlp"]):
        assert len(figures["top"]) == len(figures["bottom"]) == len(figures["top_residuals"]) == 2
        assert figures["top"][0] >= figures["top"][1] >= figures["bottom"][1] >= figures["bottom"][0]
    assert measured["policies"]["0"]["here"]["kl"] == pytest.approx(0, abs=1e-6)
    assert measured["policies"]["4"]["here"]["kl"] > 1e-4


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
    assert "holds measures by other settings: give the same, or --overwrite" in capsys.readouterr().err
    assert path.read_text() == kept
    few = ["--measures", "lines", "--blocks", "mlp", "--samples", "4"]
    assert cli.main(["sharpness", str(made), "--overwrite", *few]) == 0
    assert list(json.loads(path.read_text())["policies"]) == ["4"]
    path.write_text(kept)


def test_what_cannot_be_is_said(made, tmp_path, capsys):
    assert saved_steps(made) == [0, 2, 4]
    line = refused(["sharpness", str(made), "--steps", "3"], capsys)
    assert "has no checkpoint of step 3: choose from 0, 2, 4" in line
    assert "holds no run.json" in refused(["sharpness", str(tmp_path)], capsys)


def test_a_reward_that_has_changed_since_is_refused(made, capsys):
    reward = made.parent / "reward.py"
    reward.write_text(REWARD.replace("/ 4", "/ 5"))
    try:
        assert cli.main(["sharpness", str(made), *FEW]) == 2
        assert "its policies would be measured by other rewards or prompts" in capsys.readouterr().err
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


def test_products_are_the_same_where_the_graph_is_not_kept(at, monkeypatch):
    objective, chosen = at.function("objective"), at.blocks["mlp"]
    vector = torch.randn(chosen.size, generator=torch.Generator().manual_seed(1))
    kept = at._hessian(objective, chosen)
    monkeypatch.setattr(curvature, "KEPT_LOGITS", 0)
    fresh = at._hessian(objective, chosen)
    assert isinstance(kept, KeptHessian)
    assert not isinstance(fresh, KeptHessian)
    torch.testing.assert_close(kept(vector), fresh(vector))
    torch.testing.assert_close(fresh(vector), hessian_product(objective, chosen, vector))


def test_the_fixed_samples_are_those_of_the_seed(at):
    first, again, other = (fixed_batch(at.trainer, 8, seed) for seed in (0, 0, 1))
    assert torch.equal(first.completion_ids, again.completion_ids)
    assert first.completion_ids.tolist() != other.completion_ids.tolist()
    assert first.rewards.sum().item() == pytest.approx(0, abs=1e-5)


def test_the_page_of_a_run_shows_it(made, measured):
    section = landscape_section(read_run_files(made))
    assert section.label == "Sharpness after step 4"
    assert set(section.plots) == {"chart-plane", "chart-lines"}
    proxy, _, true, _ = section.plots["chart-plane"]["traces"]
    assert proxy["z"][1][1] == pytest.approx(measured["policies"]["4"]["here"]["proxy"], abs=1e-4)
    assert (proxy["zmin"], proxy["zmax"]) == (true["zmin"], true["zmax"])
    assert len(section.tables[0]["rows"]) == 3
    rises = [row["cells"][-1] for row in section.tables[0]["rows"]]
    error = measured["policies"]["4"]["curvature"]["reward"]["all"]["epsilon_sharpness_error"]
    assert rises[0]["range"] == f"± {error:.3g}"
    assert rises[2]["range"] == ""
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
        figures = policy["curvature"]["reward"][name]
        assert figures["second_difference"] == pytest.approx(bent)
        behind, here, ahead = line["proxy_error"][4:7]
        error = (behind**2 + 4 * here**2 + ahead**2) ** 0.5 / 0.05**2
        assert figures["second_difference_error"] == pytest.approx(error)
        assert figures["epsilon_sharpness_error"] > here > 0
    kl = policy["curvature"]["kl"]["mlp"]  # of fixed samples
    assert (kl["epsilon_sharpness_error"], kl["second_difference_error"]) == (0, 0)


# Measured by hand -----------------------------------------------------------------------------------------------------


def moved_by_hand(at, chosen, step):
    """What is measured at weights that are moved, parameter by parameter."""
    before = [p.detach().clone() for p in chosen.tensors]
    with torch.no_grad():
        for p, part in zip(chosen.tensors, chosen.split(step), strict=True):
            p.add_(part)
        found = resampled(at.trainer, 8, 0)
        for p, old in zip(chosen.tensors, before, strict=True):
            p.copy_(old)
    return found


def test_lines_are_measured_at_weights_that_are_moved(at, measured):
    """The last steps again: up the gradient, and along directions that are random, each its own."""
    whole, lines = at.blocks["all"], measured["policies"]["4"]["lines"]
    slope = -gradient(at.function("reward"), whole)
    random = [random_direction(whole, landscape.generator_of(0, i)) for i in range(2)]
    steps = {"gradient": slope / slope.norm(), "random-0": 0.2 * random[0], "random-1": 0.2 * random[1]}
    for name, step in steps.items():
        found = moved_by_hand(at, whole, step)
        assert {key: lines[name][key][-1] for key in found} == pytest.approx(found, rel=1e-4)
    assert lines["gradient"]["proxy"][-1] >= lines["gradient"]["proxy"][5]  # uphill
    assert lines["random-0"]["kl"][-1] != lines["random-1"]["kl"][-1]


def test_rows_of_the_plane_are_steps_up_and_columns_steps_across(at, monkeypatch):
    monkeypatch.setattr(landscape, "PLANE_STEPS", (-1.0, 0.5))
    plane = at.measured(("plane",))
    across, up = at._uphill, at.top("all")
    up = up - (up @ across) * across
    up = up / up.norm()
    for row, column in ((0, 1), (1, 0)):
        steps = plane["across"][column], plane["up"][row]
        found = moved_by_hand(at, at.blocks["all"], steps[0] * across + steps[1] * up)
        assert {key: plane[key][row][column] for key in found} == pytest.approx(found, rel=1e-3)


@pytest.mark.parametrize("after", ["nothing", "curvature"])
def test_the_top_eigenvector_is_that_of_the_largest_eigenvalue(at, measured, after, monkeypatch):
    monkeypatch.setattr(curvature, "TRACE_PRODUCTS", 6)
    if after == "curvature":  # it is then kept, and not found again
        at.measured(("curvature", "reward", "mlp"))
    top = at.top("mlp")
    along = hessian_product(at.function("reward"), at.blocks["mlp"], top)
    largest = measured["policies"]["4"]["curvature"]["reward"]["mlp"]["top"][0]
    assert largest > 0
    assert float(top @ along) == pytest.approx(largest, rel=0.02)


def test_the_figures_of_a_block_are_those_of_each_estimator(at, measured):
    chosen = at.blocks["mlp"]
    product, like = KeptHessian(at.function("reward"), chosen), chosen.vector()
    lengths = [(w.norm(dim=1, keepdim=True) if w.dim() > 1 else w.norm()).expand_as(w) for w in chosen.tensors]
    scales = {"adaptive": like.abs(), "filter": torch.cat([x.detach().flatten() for x in lengths])}
    figures = measured["policies"]["4"]["curvature"]["reward"]["mlp"]
    for name, scale in scales.items():
        top = eigenpairs(lambda v, scale=scale: scale * product(scale * v), like, 1, "top", 1e-3).values
        assert figures[f"{name}_top"] == pytest.approx(float(top), rel=0.02)
    found = trace(product, like, 6, torch.Generator().manual_seed(0))
    assert (figures["trace"]["value"], figures["trace"]["error"]) == pytest.approx((found.value, found.error), rel=1e-3)


def test_the_kl_is_that_to_the_untrained_model(at, measured):
    batch, logs = at.batch, []
    ids = torch.cat([batch.prompt_ids, batch.completion_ids], 1)
    mask = torch.cat([batch.prompt_mask, batch.completion_mask], 1)
    for policy in (at.trainer.policy, at.trainer.untrained):
        logits = policy.lm(ids, attention_mask=mask).logits[:, batch.prompt_ids.shape[1] - 1 : -1]
        logs.append(logits.log_softmax(-1))
    kl = (logs[0].exp() * (logs[0] - logs[1])).sum(-1)[batch.completion_mask].mean()
    assert value(at.function("kl")) == pytest.approx(kl.item(), rel=1e-3)
    slopes = torch.autograd.grad(kl, at.blocks["mlp"].tensors)
    length = torch.cat([slope.flatten() for slope in slopes]).norm()
    assert float(length) > 1e-3
    figures = measured["policies"]["4"]["curvature"]["kl"]["mlp"]
    assert figures["gradient_norm"] == pytest.approx(float(length), rel=1e-3)


def test_the_objective_has_the_gradient_that_trains(at):
    trainer = at.trainer
    ours = gradient(at.function("objective"), at.blocks["all"])
    args = replace(trainer.args, num_mini_batches=1)
    experience = estimate(rolled_out(trainer, 8, 0, args.observes), args)
    add_gradients(trainer.model, trainer.reference, experience, trainer.accelerator, args)
    own = torch.cat([p.grad.flatten() for p in at.blocks["all"].tensors])
    assert float((ours - own).norm() / own.norm()) < 0.01


def test_a_direction_of_length_0_has_the_policy_alone(at):
    """The gradient where all samples are paid the same: a line of the same numbers would look flat."""
    whole = at.blocks["all"]
    still = landscape.line(at.place, whole, torch.zeros(whole.size), landscape.UNIT_STEPS)
    assert still == {"at": [0.0], **{name: [value] for name, value in at.place().items()}}
    moved = landscape.line(at.place, whole, torch.ones(whole.size), landscape.UNIT_STEPS)
    assert len(moved["at"]) == 11
