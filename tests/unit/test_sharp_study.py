"""Study 33's arithmetic: leads that were planted, and tables from numbers that are known."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch
from studies import collect, sharp, sharp_leads, sharp_measured, sharp_pull

from gaard.policy.model import Policy
from gaard.sharpness import Batch, block
from gaard.sharpness.objectives import drawn_logprobs
from tiny import tiny_lm


def planted(lag, runs=8, steps=60, noise=0.1):
    """A rise at a step of its own in each run, and the same so many steps later."""
    generator = np.random.default_rng(1)
    first, second = [], []
    for run in range(runs):
        at, time = 15 + 4 * run % 20, np.arange(steps)
        for curves, shift in ((first, 0), (second, lag)):
            curves.append(1 / (1 + np.exp(-(time - at - shift))) + noise * 0.1 * generator.standard_normal(steps))
    return first, second


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("lag", [3, 0, -2])
def test_a_planted_lead_is_found_of_a_rise_and_of_a_fall(lag, sign):
    first, second = planted(lag)
    found = sharp_leads.lead([sign * curve for curve in first], second)
    assert (found.steps, found.runs) == (lag, 8)
    assert found.low <= lag <= found.high
    assert 0.8 < sign * found.correlation <= 1
    assert found.p < 0.01


def test_the_interval_is_of_runs_that_are_drawn_again():
    """Half of the runs lead by 5, and half follow by 5: no interval of such runs is narrow."""
    ahead, behind = planted(5, noise=0.3), planted(-5, noise=0.3)
    found = sharp_leads.lead(*(a[:4] + b[4:] for a, b in zip(ahead, behind, strict=True)))
    assert found.low <= -5 < 5 <= found.high
    sure = sharp_leads.lead(*planted(3))
    assert (sure.low, sure.high) == (3, 3)


@pytest.mark.parametrize("sign", [1, -1])
def test_where_all_runs_have_one_onset_p_says_nothing(sign):
    time, generator = np.arange(60), np.random.default_rng(2)
    first, second = (
        [1 / (1 + np.exp(-(time - at))) + 0.01 * generator.standard_normal(60) for _ in range(10)] for at in (15, 18)
    )
    found = sharp_leads.lead([sign * curve for curve in first], second)
    assert (found.low, found.steps, found.high) == (3, 3, 3)
    assert found.p > 0.05


def test_curves_that_have_nothing_to_do_with_each_other_have_no_lead():
    generator = np.random.default_rng(0)
    ps = [sharp_leads.lead(*(list(generator.standard_normal((6, 40)).cumsum(1)) for _ in "ab")).p for _ in range(20)]
    assert 0.2 < np.mean(ps) < 0.8
    assert min(ps) > 1e-3


def test_a_correlation_is_that_of_numpy():
    first, second = np.random.default_rng(2).standard_normal((2, 3, 20))
    found = sharp_leads._correlations(first, second, 2)
    assert found[1, 2] == pytest.approx(np.corrcoef(first[1, :-2], second[2, 2:])[0, 1])
    assert sharp_leads._correlations(first, second, -2)[0, 1] == pytest.approx(
        np.corrcoef(first[0, 2:], second[1, :-2])[0, 1]
    )
    assert sharp_leads._correlations(first, np.zeros_like(second), 0).tolist() == np.zeros((3, 3)).tolist()


def test_half_way_up_and_down():
    assert sharp_leads.half_way([0.0, 0.1, 0.5, 1.0]) == 3
    assert sharp_leads.half_way([1.0, 0.9, 0.5, 0.0]) == 3
    assert sharp_leads.half_way([80.0, 85.0, 60.0, 40.0, 5.0]) == 4
    assert sharp_leads.half_way([0.0, -0.6, 0.4, 1.0]) == 4  # in the direction of the farthest
    assert sharp_leads.half_way([2.0, 2.0]) == 1


def test_the_tables():
    key = {"scenario": "capped", "arm": "ppo", "place": "equal steps", "function": "reward", "block": "all"}
    rows = [{**key, "seed": seed, "measure": "top", "value": value} for seed, value in enumerate((1.0, 2.0, 3.0))]
    text = sharp.by_arm(pl.DataFrame(rows), "equal steps", "reward")
    # Student's 97.5% quantile with 2 degrees of freedom is 4.303; the standard error 1/√3.
    assert "| all | `top` | 2 [−0.484, 4.48], 3 seeds |" in text
    first, second = planted(3)
    curves = [
        {"scenario": "capped", "arm": "ppo", "seed": seed, "step": step + 1, "hack_rate": b[step], "sharpness": a[step]}
        for seed, (a, b) in enumerate(zip(first, second, strict=True))
        for step in range(60)
    ]
    text = sharp_leads.leads(pl.DataFrame(curves), ["sharpness"])
    assert "| `sharpness` | 3 [3, 3] |" in text
    assert "half way from its first value to the farthest from it" in text


def test_the_rows_of_a_policy(tmp_path):
    figures = {"top": [3.0, 1.0], "bottom": [-1.0], "trace": {"value": 5.0}, "adaptive_top": 0.1, "filter_top": 0.2}
    figures |= {
        "epsilon_sharpness": 0.3,
        "epsilon_sharpness_error": 0.1,
        "second_difference": 0.4,
        "gradient_norm": 0.5,
    }
    line = {"at": [-1, 0, 1], "proxy": [0.2, 0.9, 0.5]}
    policy = {"here": {"proxy": 0.9, "seconds": 1}, "curvature": {"kl": {"mlp": figures}}, "lines": {"gradient": line}}
    rows = list(sharp_measured.rows_of({"policies": {"80": policy}}, {"equal steps": 80}))
    found = {(row.get("block"), row["measure"]): row["value"] for row in rows}
    assert found[None, "proxy"] == 0.9
    assert (found["mlp", "top"], found["mlp", "bottom"], found["mlp", "trace"]) == (3.0, -1.0, 5.0)
    assert found["gradient", "drop"] == pytest.approx(0.7)
    assert (None, "seconds") not in found


def test_policies_at_equal_steps_and_at_similar_kl(tmp_path):
    for step in (5, 10, 15):
        (tmp_path / "checkpoints" / f"step-{step:06d}").mkdir(parents=True)
    rows = "".join(f'{{"step": {step}, "kl_ref": {0.05 * step}}}\n' for step in range(1, 16))
    (tmp_path / "metrics.jsonl").write_text(rows)
    assert sharp_measured.places(tmp_path, "ppo") == {"untrained": 0, "equal steps": 15, "similar KL": 10}
    (tmp_path / "metrics.jsonl").write_text(rows.replace("0.", "0.00"))
    assert sharp_measured.places(tmp_path, "fold") == {"equal steps": 15}


def test_the_arms_of_the_plan_exist():
    for plan in sharp_measured.PLANS.values():
        assert sharp_measured.find_arms([arm for _, arm in dict.fromkeys(plan["arms"]) if _ == "capped"])


def test_a_record_is_made_in_parts(tmp_path):
    """A run that is measured again replaces its own rows, and no others."""

    def rows(seed, *values):
        return pl.DataFrame([{"scenario": "capped", "arm": "ppo", "seed": seed, "value": value} for value in values])

    for part in (rows(2, 1.0, 2.0), rows(1, 3.0), rows(2, 4.0)):
        collect.keep(tmp_path / "x.parquet", part)
    assert pl.read_parquet(tmp_path / "x.parquet").select("seed", "value").rows() == [(1, 3.0), (2, 4.0)]


def policies():
    """Two arms and two seeds at similar KL: one is paid twice as much, and falls twice as far."""
    rows = []
    for arm, here, fell in (("ppo", 0.8, 0.3), ("fold", 0.5, 0.15)):
        for seed in (1, 2):
            key = {"scenario": "capped", "arm": arm, "seed": seed, "place": "similar KL", "step": 5}
            rows.append({**key, "function": None, "block": None, "measure": "proxy", "value": here})
            for line, part in (("gradient", 1.0), ("random-0", 0.5), ("random-1", 0.7)):
                moved = (1 + 0.1 * seed) * fell * part
                rows.append({**key, "function": "proxy", "block": line, "measure": "drop", "value": moved})
    start = {"arm": "ppo", "place": "untrained", "step": 0, "function": None, "block": None, "measure": "proxy"}
    rows += [{**start, "scenario": "capped", "seed": seed, "value": 0.2} for seed in (1, 2)]
    return pl.DataFrame(rows, infer_schema_length=None)


def test_a_fall_is_set_against_what_had_been_gained():
    found = sharp.with_shares(policies())
    ppo, fold = (found.filter(arm=arm, place="similar KL") for arm in ("ppo", "fold"))
    for own in (ppo, fold):
        assert sharp.of_seeds(own, "share", "proxy", "gradient") == pytest.approx({1: 0.55, 2: 0.6})
    assert sharp.of_seeds(ppo, "drop", "proxy", "random") == pytest.approx({1: 0.198, 2: 0.216})  # mean of both lines
    nothing = policies().with_columns(
        pl.when(pl.col("measure") == "proxy").then(0.2).otherwise(pl.col("value")).alias("value")
    )
    assert sharp.of_seeds(sharp.with_shares(nothing), "share", "proxy", "gradient") == {}  # no gain, no share


def test_a_policy_against_the_hacked_one():
    columns = {"fall": ("drop", "proxy", "gradient"), "not taken": ("top", "kl", "all")}
    text = sharp.against_hacked(policies(), columns)
    # Differences −0.165 and −0.18: mean −0.1725, standard error 0.0075, Student's quantile 12.7.
    assert "| `fold` in `capped` | similar KL | 2 | **−0.17 [−0.27, −0.077]** | – |" in text
    assert "| untrained | `capped` | untrained | 1 |" in sharp.by_policy(
        policies(), {"proxy": ("proxy", None, None)}
    )  # once, not once a seed


def test_what_is_lost_near_by_is_a_share_of_the_gain():
    def line(place, seed, *proxy):
        key = {"scenario": "capped", "arm": "ppo", "seed": seed, "place": place, "line": "gradient"}
        return [{**key, "at": at, "proxy": value} for at, value in zip((-0.5, -0.1, 0.0, 0.1), proxy, strict=True)]

    rows = [*line("untrained", 1, 0.1, 0.1, 0.2, 0.3), *line("similar KL", 1, 0.4, 0.7, 0.8, 0.9)]
    found = sharp.lost(pl.DataFrame(rows)).filter(measure="lost", place="similar KL")
    assert found.select("seed", "block").rows() == [(1, "gradient -0.5"), (1, "gradient -0.1")]
    assert found["value"].to_list() == pytest.approx([0.4 / 0.6, 0.1 / 0.6])


def test_a_direction_of_length_0_is_no_line():
    still = {"at": [-1, 0, 1], "proxy": [0.9] * 3, "true": [0.3] * 3, "hack_rate": [1.0] * 3, "kl": [2.0] * 3}
    assert sharp_measured.drop(still, "proxy") is None
    assert sharp_measured.drop({**still, "kl": [2.0, 1.0, 2.0]}, "proxy") == 0  # it moved, and nothing fell
    found = {"policies": {"80": {"lines": {"gradient": still, "random-0": {**still, "kl": [2.0, 1.0, 2.0]}}}}}
    assert {row["line"] for row in sharp_measured.rows_of_lines(found, {"equal steps": 80})} == {"random-0"}
    assert sharp_measured.drop({"at": [0.0], "proxy": [0.9], "true": [0.3], "kl": [2.0]}, "true") is None


def test_the_figure_has_the_means_of_both_rewards():
    key = {"scenario": "capped", "arm": "ppo", "place": "similar KL", "line": "gradient"}
    rows = [
        {**key, "seed": seed, "at": at, "proxy": 0.5 + at + 0.1 * seed, "true": 0.3, "hack_rate": 0.0, "kl": 0.0}
        for seed in (0, 2)
        for at in (-0.1, 0.0, 0.1)
    ]
    proxy, true = sharp.figure(pl.DataFrame(rows)).data[:2]
    assert (proxy.x, proxy.y, true.y) == ((-0.1, 0.0, 0.1), (0.5, 0.6, 0.7), (0.3, 0.3, 0.3))
    assert true.error_y.array == (0.0, 0.0, 0.0)
    assert proxy.error_y.array == pytest.approx([1.2706] * 3, abs=1e-3)


def test_the_lines_of_a_policy():
    line = {"at": [-1, 0, 1], "proxy": [0.2, 0.9, 0.5], "true": [0.1, 0.3, 0.2], "hack_rate": [0, 1, 1]}
    found = {"policies": {"80": {"lines": {"gradient": {**line, "kl": [3, 1, 2]}}}}}
    rows = list(sharp_measured.rows_of_lines(found, {"equal steps": 80}))
    here = {"proxy": 0.2, "true": 0.1, "hack_rate": 0, "kl": 3}
    assert rows[0] == {"place": "equal steps", "line": "gradient", "at": -1, **here}
    assert len(rows) == 3


def test_windows_of_steps():
    """The median over a window of each run, then the mean over runs: one wild step does not count."""
    rows = [
        {"scenario": "clean", "arm": "ppo", "seed": seed, "step": step, "hack_rate": 0.0, "grad_norm": norm + seed}
        for seed in (0, 2)
        for step, norm in zip((1, 2, 3, 4), (1.0, 99.0, 1.0, 5.0), strict=True)
    ]
    text = sharp_leads.windows(pl.DataFrame(rows).with_columns(curvature=pl.lit(None, pl.Float64)))
    assert "| `ppo` in `clean` | 1 to 3 | 2 | 0 [0, 0] | 2 [−10.7, 14.7] | – |" in text
    assert "| 4 to 10 | 2 | 0 [0, 0] | 6 [" in text


@pytest.fixture
def texts():
    """A tiny policy, five texts and what each is worth."""
    policy = Policy(tiny_lm("gpt2", torch.float64), critic=False)
    generator = torch.Generator().manual_seed(0)
    prompts, drawn = (torch.randint(0, 20, (5, size), generator=generator) for size in (2, 4))
    mask, nothing = torch.ones_like(drawn, dtype=torch.bool), torch.zeros(5, 4)
    mask[1, 2:] = False
    batch = Batch(prompts, torch.ones_like(prompts, dtype=torch.bool), drawn, mask, nothing, nothing, torch.zeros(5))
    with torch.no_grad():
        batch = replace(batch, logprobs=drawn_logprobs(policy, batch))
    return policy, batch, torch.tensor([3.0, -1.0, -0.5, -1.5, 1.0], dtype=torch.float64)


def test_a_texts_share_of_the_gradient_is_that_of_its_own_along_the_other_halfs(texts, monkeypatch):
    monkeypatch.setattr(sharp_pull, "TEXTS_AT_ONCE", 2)
    policy, batch, worth = texts
    each = []
    for index in torch.arange(5).split(1):
        policy.zero_grad()
        drawn_logprobs(policy, batch.rows(index)).sum().backward()
        each.append(worth[index] * torch.cat([x.grad.reshape(-1) for x in block(policy.lm).tensors]))
    first, second = torch.stack(each[:3]), torch.stack(each[3:])
    one, other = first @ second.sum(0), second @ first.sum(0)
    wanted = torch.cat([one / one.sum(), other / other.sum()]) / 2
    torch.testing.assert_close(sharp_pull.along_the_others(policy, batch, worth), wanted, rtol=1e-4, atol=1e-5)
