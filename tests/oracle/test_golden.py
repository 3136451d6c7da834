"""Golden runs: whoever changes what a run of the same settings gives has to move ``gaard.version.ALGORITHM_VERSION``.

``golden.json`` holds the metrics of a tiny model's first steps, in float64, to four significant digits. Once the
version has moved, ``python tests/oracle/test_golden.py`` writes it anew.
"""

import json
import sys
import tempfile
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where this is run as a script

from gaard.errors import CheckpointError
from gaard.method import (
    advantages,
    coefficients,
    control,
    divergence,
    local_regression,
    objective,
    sign_radius,
    token_worth,
)
from gaard.method.advantages import advantage_gap, heights, turning_weights
from gaard.method.coefficients import gaa_coefficients
from gaard.method.token_worth import evidence
from gaard.methods import METHODS
from gaard.methods.gaa import READINGS
from gaard.regularizers import (
    PAR,
    REGULARIZERS,
    KLBudget,
    imperfect_detector,
    kl_control,
    policy_filtration,
    uphill,
)
from gaard.regularizers.uphill import gradient_uphill
from gaard.rewards import ensemble, honeypot
from gaard.training import estimate, outcome, update
from gaard.version import ALGORITHM_VERSION, __version__
from tiny import CERTIFIED, tiny_trainer, words_reward

FILE = Path(__file__).with_name("golden.json")
COMMAND = "python tests/oracle/test_golden.py"
DIGITS, TOLERANCE = 4, 1e-3  # float64 agrees over machines to far more; what is left is the rounding of the file


def spiked(completions, **_):
    """A broad hill, and one word that pays far more."""
    texts = zip(words_reward(completions), completions, strict=True)
    return [score + 20.0 * ("bait" in text) for score, text in texts]


RUNS = {
    "ppo": {"method": "ppo"},
    "fold": {"method": "fold"},
    "gaa-text": {"method": {"name": "gaa", "reading": "text"}},
    "gaa-code": {"method": {"name": "gaa", "reading": "code"}},
    "gaa-expected": {"method": {"name": "gaa", "reading": "expected"}},
    "gradient-norm": {"method": "ppo", "regularizers": {"name": "gradient-norm", "coef": 0.5}},
    "sam": {"method": "ppo", "regularizers": {"name": "sam", "radius": 0.1}},
    "reference-resets": {"method": "ppo", "regularizers": {"name": "reference-resets", "steps": 2}},
    "kl-budget": {"method": "ppo", "regularizers": {"name": "kl-budget", "limit": 0.01}},
    "par": {"method": "ppo", "regularizers": {"name": "par", "completions": 3}},
    "chi2": {"method": "ppo", "regularizers": {"name": "chi2", "coef": 0.5}},
    "max-min": {"method": "ppo", "regularizers": {"name": "max-min", "completions": 3}},
    "pid-kl": {"method": "ppo", "regularizers": {"name": "pid-kl", "target": 1e-3, "kp": 20.0, "kd": 20.0}},
    "adaptive-kl": {"method": "ppo", "regularizers": {"name": "adaptive-kl", "target": 1e-3, "gain": 1.0}},
    "signcert": {"method": "signcert", **CERTIFIED},
    "drop": {"method": {"name": "drop", "threshold": 2.0}},
    "clip": {"method": {"name": "clip", "threshold": 2.0}},
    "robust-scaling": {"method": "robust-scaling"},
    "ensemble": {"method": "ppo", "regularizers": "ensemble", "ensemble": (words_reward, spiked)},
    "policy-filtration": {"method": "ppo", "regularizers": "policy-filtration"},
    "imperfect-detector": {"method": "ppo", "regularizers": {"name": "imperfect-detector", "action": "screening"}},
    "length-residual": {"method": "ppo", "regularizers": "length-residual"},
}


def run(name: str, folder: Path | str, disturbance: float = 0.0) -> list[dict[str, float]]:
    """The metrics of a golden run, each to a few significant digits; weights off by ``disturbance``, relative."""
    settings = {"learning_rate": 1e-2, "warmup_steps": 2, "lr_scheduler_type": "linear", "entropy_coef": 0.01}
    settings |= {"advantages": {"value_learning_rate": 1e-2, "cliprange_value": 0.1}}
    settings["reward"] = honeypot(spiked, word="bait") if name == "imperfect-detector" else spiked
    made = tiny_trainer(folder, dtype=torch.float64, max_steps=4, **(settings | RUNS[name]))
    with torch.no_grad():
        for weight in made.policy.parameters():
            weight.mul_(1.0 + disturbance * torch.randn_like(weight))
    made.train()
    rows = made.run.log.read("metrics.jsonl")
    return [{key: float(f"{round(value, 12):.{DIGITS}g}") for key, value in row.items()} for row in rows]


def changes(old: list[dict[str, float]], new: list[dict[str, float]]) -> list[str]:
    """Which numbers of a run are other ones, a line each; keys that only one of the two has are not compared."""
    if len(old) != len(new):
        return [f"{len(old)} steps there, {len(new)} now"]
    return [
        f"step {before['step']:g}, {key}: {before[key]!r} there, {now[key]!r} now"
        for before, now in zip(old, new, strict=True)
        for key in before
        if key in now and now[key] != pytest.approx(before[key], rel=TOLERANCE, abs=1e-7)
    ]


def golden() -> dict:
    """What stands in the file."""
    return json.loads(FILE.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", RUNS)
def test_the_metrics_are_those_of_this_algorithm(name, tmp_path):
    stored = golden()
    if stored["algorithm"] != ALGORITHM_VERSION:
        pytest.fail(
            f"{FILE.name} is of algorithm {stored['algorithm']}, and gaard.version.ALGORITHM_VERSION is "
            f"{ALGORITHM_VERSION}: run `{COMMAND}` to write it anew"
        )
    found = run(name, tmp_path)
    if changed := changes(stored["runs"][name], found):
        pytest.fail(
            f"the golden run {name!r} gives other metrics, and gaard.version.ALGORITHM_VERSION is {ALGORITHM_VERSION} "
            "still. Is the change meant? Then raise ALGORITHM_VERSION, so that no run goes on under another algorithm, "
            f"run `{COMMAND}` to write {FILE.name} anew, and say so in CHANGELOG.md. What changed:\n  "
            + "\n  ".join(changed[:12])
        )
    if [list(row) for row in stored["runs"][name]] != [list(row) for row in found]:
        pytest.fail(f"metrics have come, gone or been renamed, their numbers the same: run `{COMMAND}`")


def test_every_method_reading_and_regularizer_has_a_golden_run():
    assert set(RUNS) == (set(METHODS) - {"gaa"}) | {f"gaa-{reading}" for reading in READINGS} | set(REGULARIZERS)
    assert set(golden()["runs"]) == set(RUNS)


def test_the_golden_runs_see_what_is_peculiar_to_each():
    """A run in which a method or regulariser has nothing to do would guard nothing."""
    runs = golden()["runs"]
    last = {name: rows[-1] for name, rows in runs.items()}
    assert all(row["turned"] > 0 for row in runs["fold"][:2])
    assert min(row["b"] for row in runs["gaa-text"]) < -0.01
    assert min(row["b"] for row in runs["gaa-expected"]) < -0.01
    assert len({row["loss"] for row in last.values()}) == len(RUNS)
    assert len(runs["kl-budget"]) < len(runs["ppo"])  # spent
    assert runs["reference-resets"][2]["kl_ref"] == 0.0 < runs["ppo"][2]["kl_ref"]
    assert runs["ppo"][-1]["clip_fraction"] > 0


def flipped_b(eta, sigma, **scales):
    a, b = gaa_coefficients(eta, sigma, **scales)
    return a, -b


def low_ones_stand_out(values, mask):
    return -heights(-values, mask)


def rare_everywhere(advantages, logprobs, ids, mask, judged=None):
    return evidence(advantages, torch.full_like(logprobs, -60.0), ids, mask, judged)


def unclipped(values, old_values, returns, cliprange_value):
    return 0.5 * (values - returns) ** 2


def downhill(policy, critic, again, radius):
    return gradient_uphill(policy, critic, again, -radius)


BROKEN = [  # run, module, name, what stands there instead
    ("fold", advantages, "heights", low_ones_stand_out),
    ("fold", advantages, "turning_weights", lambda values, threshold: turning_weights(values, 1.1 * threshold)),
    ("gaa-text", coefficients, "gaa_coefficients", flipped_b),
    ("gaa-code", coefficients, "gaa_coefficients", flipped_b),
    ("gaa-text", advantages, "advantage_gap", lambda one, greedy, spread: advantage_gap(greedy, one, spread)),
    ("gaa-code", coefficients, "at_granularity", lambda x, mask, granularity: x),
    ("gaa-expected", token_worth, "evidence", rare_everywhere),
    ("gaa-text", estimate, "GREEDY_SCORE_LIMIT", 1.0),
    ("ppo", objective, "value_loss", unclipped),
    ("ppo", update, "kl_loss", lambda statistics, ref_logprobs, config: 1.1 * statistics.kl),
    ("ppo", objective, "clipped_surrogate", lambda ratio, advantages, cliprange: ratio * advantages),
    ("sam", uphill, "gradient_uphill", downhill),
    ("gradient-norm", uphill, "gradient_uphill", downhill),
    ("reference-resets", REGULARIZERS["reference-resets"], "resets_reference", lambda self, step: step == 1),
    ("kl-budget", KLBudget, "ends", lambda self, metrics: False),
    ("chi2", divergence, "chi2_costs", lambda log_ratio: log_ratio.expm1()),
    ("max-min", divergence, "chi2_costs", lambda log_ratio: log_ratio.expm1()),
    ("pid-kl", kl_control, "pid", lambda memory, *rest: control.pid(memory._replace(cost=0.0), *rest)),
    ("adaptive-kl", control, "CLIPPED", 0.1),
    ("signcert", sign_radius, "sign_radii", lambda advantages, distances: advantages.abs()),
    ("length-residual", local_regression, "ROUNDS", 0),
    ("policy-filtration", policy_filtration, "filtered", lambda scores, kept, *_: kept),
    ("imperfect-detector", imperfect_detector, "chance", lambda ids, seed: 1.0),
    ("ensemble", ensemble.EnsembleReward, "of", lambda self, scores: sum(scores) / len(scores)),
    ("robust-scaling", advantages, "robust_deviation", lambda advantages, mask: advantages[mask].std()),
    ("par", PAR, "shape_scores", lambda self, scores, baseline: torch.sigmoid(scores - baseline.mean(-1))),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "place", "broken", "instead"), BROKEN, ids=lambda x: x if isinstance(x, str) else "")
def test_a_broken_line_is_seen(name, place, broken, instead, tmp_path, monkeypatch):
    monkeypatch.setattr(place, broken, instead)
    assert changes(golden()["runs"][name], run(name, tmp_path))


@pytest.mark.parametrize("name", ["fold", "gaa-text", "gaa-code", "sam"])
def test_weights_that_another_machine_draws_a_little_differently_are_no_change(name, tmp_path):
    """Float32 rounds at 6e-8; only what a run does with its weights is to be seen."""
    assert not changes(golden()["runs"][name], run(name, tmp_path, disturbance=1e-7))


def test_rounding_of_another_machine_is_no_change():
    row = {"step": 1.0, "loss": 0.12345, "kl_ref": 0.0}
    assert not changes([row], [row | {"loss": 0.12345 * (1 + 5e-4), "kl_ref": 1e-12}])
    assert changes([row], [row | {"loss": 0.12345 * 1.01}]) == ["step 1, loss: 0.12345 there, 0.1246845 now"]
    assert changes([row, row], [row]) == ["2 steps there, 1 now"]


# Runs of another algorithm --------------------------------------------------------------------------------------------


def test_a_run_by_another_algorithm_has_another_id_and_is_not_gone_on_with(tmp_path, monkeypatch):
    tiny_trainer(tmp_path / "one", max_steps=1).train()
    first = json.loads((tmp_path / "one" / "run.json").read_text())
    before = {path: path.read_bytes() for path in (tmp_path / "one").iterdir() if path.is_file()}
    monkeypatch.setattr(outcome, "ALGORITHM_VERSION", ALGORITHM_VERSION + 1)
    with pytest.raises(CheckpointError) as caught:
        tiny_trainer(tmp_path / "one", max_steps=1).train()
    assert f"holds a run by algorithm {ALGORITHM_VERSION} (gaard {__version__})" in str(caught.value)
    assert f"this is algorithm {ALGORITHM_VERSION + 1} (gaard {__version__})" in str(caught.value)
    assert {path: path.read_bytes() for path in (tmp_path / "one").iterdir() if path.is_file()} == before
    tiny_trainer(tmp_path / "two", max_steps=1).train()
    second = json.loads((tmp_path / "two" / "run.json").read_text())
    assert (first["algorithm"], second["algorithm"]) == (ALGORITHM_VERSION, ALGORITHM_VERSION + 1)
    assert first["id"] != second["id"]
    metrics = [(tmp_path / name / "metrics.jsonl").read_bytes() for name in ("one", "two")]
    assert metrics[0] == metrics[1]  # nothing else differs
    tiny_trainer(tmp_path / "one", max_steps=1, overwrite=True).train()
    assert json.loads((tmp_path / "one" / "run.json").read_text())["id"] == second["id"]


def write() -> str:
    """Write the file anew, unless the version has yet to move."""
    with tempfile.TemporaryDirectory() as folder:
        runs = {name: run(name, Path(folder) / name) for name in RUNS}
    if FILE.exists() and golden()["algorithm"] == ALGORITHM_VERSION:
        stored = golden()["runs"]
        shared = [name for name in stored if name in runs]
        if changed := [f"{name}: {line}" for name in shared for line in changes(stored[name], runs[name])]:
            return f"raise gaard.version.ALGORITHM_VERSION first, for numbers have changed:\n  {changed[0]}"
    FILE.write_text(json.dumps({"algorithm": ALGORITHM_VERSION, "runs": runs}, indent=1) + "\n", encoding="utf-8")
    return ""


if __name__ == "__main__":
    sys.exit(write())
