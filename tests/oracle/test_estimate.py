"""From a rollout to advantages, returns and gaps: against loops over plain numbers, with poison in the padding."""

import math
from dataclasses import fields, replace
from statistics import fmean, pstdev

import pytest
import torch

from gaard import GAAConfig
from gaard.methods import Rollout
from gaard.training.estimate import estimate
from tiny import TEXT

LENGTHS = (5, 1, 3, 4)
POISON = 1e6


def rollout(scores=(1.0, 0.0, 2.5, -1.0), greedy_scores=(0.5, 9.0, 2.5, -40.0)) -> Rollout:
    """Four completions of up to five tokens; the third ends on its greedy token."""
    generator = torch.Generator().manual_seed(0)

    def drawn() -> torch.Tensor:
        return torch.randn(4, 5, generator=generator, dtype=torch.float64).where(mask, torch.tensor(POISON))

    mask = torch.arange(5) < torch.tensor(LENGTHS)[:, None]
    sampled = torch.randint(0, 3, (4, 5), generator=generator)
    greedy = torch.randint(0, 3, (4, 5), generator=generator)
    for row, length in enumerate(LENGTHS):
        greedy[row, length - 1] = sampled[row, length - 1] if row == 2 else (sampled[row, length - 1] + 1) % 3
    everything = {field.name: torch.zeros(4) for field in fields(Rollout)}  # what no estimate looks at stays at 0
    return replace(
        Rollout(**everything),
        prompt_ids=torch.zeros(4, 1),
        prompt_mask=torch.ones(4, 1, dtype=torch.bool),
        completion_ids=sampled,
        completion_mask=mask,
        kept=torch.ones(4, dtype=torch.bool),
        logprobs=-drawn().abs(),
        ref_logprobs=-drawn().abs(),
        ref_hidden=torch.zeros(4, 5, 0),
        entropy=drawn(),
        greedy_ids=greedy,
        greedy_logprobs=-drawn().abs(),
        values=drawn(),
        greedy_values=drawn(),
        scores=torch.tensor(scores, dtype=torch.float64),
        trained_scores=torch.tensor(scores, dtype=torch.float64),
        greedy_scores=torch.tensor(greedy_scores, dtype=torch.float64),
    )


def naive(r: Rollout, *, gamma: float, lam: float, k1: float, normalize: bool, whiten: bool) -> dict[str, list]:
    """Every quantity of every valid token, one number at a time."""
    scores, greedy_scores = r.scores.tolist(), r.greedy_scores.tolist()
    if normalize:
        mean, std = fmean(scores), pstdev(scores)
        scores = [(x - mean) / std for x in scores]
        greedy_scores = [max(-3.0, min(3.0, (x - mean) / std)) for x in greedy_scores]
    out: dict[str, list] = {key: [] for key in ("one", "greedy", "a", "returns")}
    for i, n in enumerate(LENGTHS):
        v = r.values[i].tolist()
        following = [gamma * v[t + 1] if t < n - 1 else scores[i] for t in range(n)]
        one = [following[t] - v[t] for t in range(n)]
        branch = [gamma * float(r.greedy_values[i, t]) if t < n - 1 else greedy_scores[i] for t in range(n)]
        same = [bool(r.greedy_ids[i, t] == r.completion_ids[i, t]) for t in range(n)]
        delta = [one[t] - k1 * float(r.logprobs[i, t] - r.ref_logprobs[i, t]) for t in range(n)]
        gae = [sum((gamma * lam) ** (s - t) * delta[s] for s in range(t, n)) for t in range(n)]
        out["one"] += one
        out["greedy"] += [one[t] if same[t] else branch[t] - v[t] for t in range(n)]
        out["a"] += gae
        out["returns"] += [gae[t] + v[t] for t in range(n)]
    spread = pstdev(out["one"])
    out["sigma"] = [(g - o) / spread for g, o in zip(out["greedy"], out["one"], strict=True)]
    if whiten:
        out["greedy"] = [(g - fmean(out["one"])) / spread for g in out["greedy"]]
        out["a"] = [(x - fmean(out["a"])) / pstdev(out["a"]) for x in out["a"]]
    return out


@pytest.mark.parametrize("lam", [0.0, 0.95])
@pytest.mark.parametrize("estimator", ["exact", "k1"])
@pytest.mark.parametrize(("normalize", "whiten"), [(True, True), (False, False), (True, False)])
def test_equals_loops_over_plain_numbers(lam, estimator, normalize, whiten):
    r = rollout()
    config = GAAConfig(
        "x",
        method=TEXT,
        advantages={"gamma": 0.9, "lam": lam},
        kl_estimator=estimator,
        kl_coef=0.3,
        normalize_rewards=normalize,
        whiten_advantages=whiten,
    )
    expected = naive(r, gamma=0.9, lam=lam, k1=0.3 if estimator == "k1" else 0.0, normalize=normalize, whiten=whiten)
    found, mask = estimate(r, config), r.completion_mask
    pairs = {"a": found.advantages, "greedy": found.greedy_advantages, "returns": found.returns, "sigma": found.sigma}
    for key, tensor in pairs.items():
        assert tensor[mask].tolist() == pytest.approx(expected[key], rel=1e-6, abs=1e-7), key
    assert found.eta[mask].tolist() == pytest.approx(r.greedy_logprobs[mask].exp().tolist())


def test_the_greedy_score_is_clamped_at_three_deviations_only_where_the_tokens_differ():
    """Scores (10, 0 × 15): the first is 3.87 deviations up, and ends on its greedy token, so its gap is nil."""
    r = rollout()
    wide = Rollout(**{name: torch.cat([x, x, x, x]) for name, x in vars(r).items()})
    scores = torch.zeros(16, dtype=torch.float64)
    scores[2] = 10.0  # row 2 ends on the greedy token
    wide = Rollout(**{**vars(wide), "trained_scores": scores, "greedy_scores": scores.clone().fill_(10.0)})
    found = estimate(wide, GAAConfig("x", method=TEXT, advantages={"lam": 0.0}, whiten_advantages=False))
    deviation = pstdev(scores.tolist())
    last = [length - 1 for length in LENGTHS]
    up = (10.0 - fmean(scores.tolist())) / deviation
    assert up > 3.0
    assert float(found.advantages[2, last[2]] + wide.values[2, last[2]]) == pytest.approx(up)
    assert float(found.greedy_advantages[2, last[2]]) == float(found.advantages[2, last[2]])
    assert float(found.greedy_advantages[0, last[0]] + wide.values[0, last[0]]) == pytest.approx(3.0)


def test_scores_that_are_all_the_same_give_no_advantage_but_still_targets():
    found = estimate(rollout(scores=(0.7,) * 4, greedy_scores=(0.7, 0.1, 0.7, 0.2)), GAAConfig("x", method=TEXT))
    assert not found.advantages.any()
    assert not found.greedy_advantages.any()
    assert not found.sigma.any()
    assert found.returns.any()
    with_penalty = estimate(rollout(scores=(0.7,) * 4), GAAConfig("x", method=TEXT, kl_estimator="k1"))
    assert with_penalty.advantages.any()
    assert math.isfinite(float(with_penalty.advantages.sum()))
