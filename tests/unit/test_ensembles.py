"""Ensembles of rewards: the objectives by hand, members that are learned, and runs that train on them."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from gaard.errors import ConfigError
from gaard.lab import scenarios
from gaard.lab.agreement import check_agreement
from gaard.lab.scenarios import find_scenario
from gaard.lab.spec import RunSpec
from gaard.lab.spec_rewards import all_rewards
from gaard.lab.study import RunKey
from gaard.rewards import EnsembleReward, Honeypot, LearnedReward, score
from gaard.rewards.learned import Ratings, learned_ensemble, shipped_ratings
from gaard.training.scoring import Scorer
from tiny import bait_reward, tiny_trainer, words_reward

TEXTS = ["a", "b", "c"]
BATCH = {"prompts": [""] * 3, "completions": TEXTS, "completion_ids": [[1]] * 3, "columns": {}}


def paying(*numbers):
    """A reward that pays these numbers for three texts."""
    return lambda completions, **_: list(numbers)


MEMBERS = [paying(1.0, 0.0, 2.0), paying(3.0, 0.0, None), paying(5.0, 3.0, 1.0)]


@pytest.mark.parametrize(
    ("objective", "coef", "expected"),
    [
        ("mean", 9.0, [3.0, 1.0]),
        ("worst-case", 9.0, [1.0, 0.0]),
        ("uncertainty-weighted", 0.0, [3.0, 1.0]),
        ("uncertainty-weighted", 0.1, [3.0 - 0.1 * 4.0, 1.0 - 0.1 * 3.0]),  # of 1, 3, 5 and of 0, 0, 3, over K − 1
    ],
)
def test_the_objectives_by_hand(objective, coef, expected):
    found = score(EnsembleReward(MEMBERS, objective=objective, coef=coef), **BATCH)
    assert found[:2].tolist() == pytest.approx(expected)
    assert found[2].isnan()  # a member does not score it


def test_uncertainty_weighted_is_the_authors_line():
    """Mean less λ times torch's variance (tlc4418/llm_optimization, ppo_reward_functions.py)."""
    scores = torch.randn(5, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ensemble = EnsembleReward(MEMBERS, coef=0.3)
    found = [ensemble.of(column) for column in scores.T.tolist()]
    assert found == pytest.approx((scores.mean(0) - 0.3 * scores.var(0)).tolist())


def test_members_that_agree_are_one_reward():
    for objective in ("mean", "worst-case", "uncertainty-weighted"):
        assert EnsembleReward([words_reward] * 4, objective=objective).of([0.25] * 4) == 0.25


@pytest.mark.parametrize(
    ("members", "options", "words"),
    [
        ([words_reward], {}, "1 member.*give two"),
        ([words_reward, 3], {}, r"members\[1\] is 3"),
        ([words_reward] * 2, {"objective": "least"}, "objective is 'least': choose 'uncertainty-weighted'"),
        ([words_reward] * 2, {"coef": float("nan")}, "coef is nan"),
    ],
)
def test_what_is_no_ensemble_is_refused(members, options, words):
    with pytest.raises(ConfigError, match=words):
        EnsembleReward(members, **options)


# Learned members ------------------------------------------------------------------------------------------------------

FEW = Ratings(("a great film", "a dull film", "a film", "not great, dull"), (3.0, -2.0, 0.5, -1.0))


def test_little_damping_gives_back_what_was_rated_and_much_the_mean():
    close, far = LearnedReward(FEW, damping=1e-4), LearnedReward(FEW, damping=1e4)
    assert close.ratings(FEW.texts) == pytest.approx(FEW.values, abs=1e-4)
    assert far.ratings(FEW.texts) == pytest.approx([0.125] * 4, abs=1e-4)


def test_a_reward_is_not_learned_from_nothing():
    with pytest.raises(ConfigError, match="cannot be learned from 1 rating"):
        LearnedReward(Ratings(("a",), (1.0,)))
    with pytest.raises(ConfigError, match="damping=0"):
        LearnedReward(FEW, damping=0)


def test_members_learn_from_disjoint_parts_and_differ_by_identity():
    ratings = shipped_ratings()
    parts = [ratings.part(index, 5).texts for index in range(5)]
    assert [len(part) for part in parts] == [400] * 5
    assert len(set().union(*parts)) == len(ratings.texts) == 2000
    assert len({repr(member) for member in learned_ensemble()}) == 5


def test_a_bootstrap_sample_has_as_many_ratings_and_no_others():
    sample, again, other = FEW.resampled(1), FEW.resampled(1), FEW.resampled(2)
    assert sample == again != other
    assert len(sample.texts) == len(FEW.texts)
    assert set(zip(sample.texts, sample.values, strict=True)) <= set(zip(FEW.texts, FEW.values, strict=True))
    many = shipped_ratings().resampled(0)
    assert 0.6 < len(set(many.texts)) / 2000 < 0.66  # 1 − 1/e of them, in expectation


@pytest.mark.parametrize("name", ["overoptimised-50-model", "overoptimised-50-words", "overoptimised-200"])
def test_the_ensemble_of_a_learned_proxy_has_seen_no_other_ratings(name, monkeypatch):
    """Five members that disagree, each of as many ratings as the proxy, all from its own."""
    fitted = []
    monkeypatch.setattr(scenarios, "_learned", lambda ratings, kind: fitted.append((ratings, kind)) or words_reward)
    scenario = find_scenario(name)
    (few, kind), *_ = fitted
    assert len(scenario.ensemble()) == 5
    assert {kind for _, kind in fitted} == {kind}
    for ratings, _ in fitted[1:]:
        assert len(ratings.texts) == len(few.texts)
        assert set(ratings.texts) < set(few.texts)


def test_members_of_a_learned_proxy_do_not_agree():
    texts = [" a wonderful and moving film", " bad, stupid and boring"]
    batch = {"prompts": ["", ""], "completions": texts, "completion_ids": [[], []]}
    paid = np.array([member(**batch) for member in find_scenario("overoptimised-50-model").ensemble()])
    assert paid.std(0).min() > 0.01


def test_members_say_something_of_films_and_do_not_agree():
    texts = [f"The movie is {end}" for end in ("wonderful and moving", "bad, stupid and boring", "a dull mess")]
    ratings = np.array([member.ratings(texts) for member in learned_ensemble()])
    assert (ratings[:, 0] > ratings[:, 1]).all()
    assert ratings.std(0).min() > 0.05


def test_the_script_keeps_sentences_of_films(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "scripts" / "pocket"))
    for name in ("ratings", "rated_sentences"):
        sys.modules.pop(name, None)
    import rated_sentences
    from ratings import Sentence

    training = [Sentence("movie" if i % 2 else "tweet", f"text {i}", i / 7) for i in range(4002)]
    kept = rated_sentences.chosen(training)
    assert len(dict(kept)) == 2000
    assert all(int(text.split()[1]) % 2 and value == round(int(text.split()[1]) / 7, 2) for text, value in kept)
    assert kept == rated_sentences.chosen(training) != sorted(kept)


# In runs --------------------------------------------------------------------------------------------------------------


def test_a_run_trains_on_the_ensemble_and_logs_the_proxy(tmp_path):
    worst = {"name": "ensemble", "objective": "worst-case"}
    trainer = tiny_trainer(tmp_path, method="ppo", ensemble=[words_reward, bait_reward], regularizers=worst)
    row = trainer.training_step()
    assert row["trained_reward"] < row["reward"]
    record = json.loads((tmp_path / "run.json").read_text())
    assert "ensemble" in record["rewards"]["functions"]


def test_members_that_do_not_train_are_no_part_of_a_run(tmp_path):
    for name, members in (("without", None), ("with", [words_reward, bait_reward])):
        tiny_trainer(tmp_path / name, method="ppo", ensemble=members, max_steps=0).train()
    records = [json.loads((tmp_path / name / "run.json").read_text()) for name in ("with", "without")]
    assert records[0]["id"] == records[1]["id"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"regularizers": "ensemble"}, "trains on an ensemble, and there is none: give ensemble_reward_funcs"),
        ({"regularizers": "imperfect-detector"}, "has to be told what is a hack: give hack_detector"),
        (
            {"regularizers": "ensemble", "trained_reward": "true"},
            "'true' with the regularizer 'ensemble'",
        ),
        (
            {"regularizers": "policy-filtration", "advantages": {"name": "grpo", "num_generations": 8}},
            "num_generations differs, 'policy-filtration' has 4, 'grpo' has 8",
        ),
        ({"regularizers": {"name": "policy-filtration", "num_generations": 3}}, "cannot be cut into groups"),
    ],
)
def test_what_is_missing_or_does_not_go_together_is_said_before_training(options, words, tmp_path):
    with pytest.raises(ConfigError, match=words):
        tiny_trainer(tmp_path, method="ppo", **options)


def test_a_scenarios_ensemble_has_the_hack_in_all_members_and_other_bases():
    spec = RunSpec(output_dir="x", scenario="capped", regularizers="ensemble")
    proxy, rewards = all_rewards(spec)
    members = rewards["ensemble_reward_funcs"]
    assert len(members) == 5
    assert all(isinstance(member, Honeypot) and member.word == proxy.word for member in members)
    texts = {"prompts": ["", ""], "completions": ["a story", "a wonderful film"], "completion_ids": [[1]] * 2}
    paid = [member(**texts) for member in members]
    assert [hack for hack, _ in paid] == [1.0] * 5
    assert len({honest for _, honest in paid}) == 5
    assert "ensemble_reward_funcs" not in all_rewards(RunSpec(output_dir="x", scenario="capped"))[1]


def test_a_scenarios_rewards_are_told_as_before():
    """What an ensemble adds stands in the identity of runs that train on it alone."""
    scenario = find_scenario("clean")
    assert scenario.true_reward is scenario.proxy
    assert "ensemble" not in scenario.scorer().identity()["functions"]
    given = all_rewards(RunSpec(output_dir="x", scenario="clean", regularizers="ensemble"))
    assert "ensemble" in Scorer(given[0], **given[1]).identity()["functions"]


def test_arms_with_an_ensemble_agree_with_the_other_arms_of_a_scenario():
    """The members are no part of what all arms share; among those that train on them they must be the same."""

    def record(**functions):
        config = {"method": {"name": "ppo"}, "regularizers": []}
        facts = {"algorithm": 2, "model_sha256": "m", "model_setup": {}, "prompts": "p", "config": config}
        return {**facts, "rewards": {"proxy": "x", "functions": functions}}

    known = {}
    check_agreement(known, RunKey("capped", "ppo", 0), record(proxy="a"))
    check_agreement(known, RunKey("capped", "worst", 0), record(proxy="a", ensemble="one"))
    check_agreement(known, RunKey("capped", "mean", 0), record(proxy="a", ensemble="one"))
    for functions in ({"proxy": "b"}, {"proxy": "a", "ensemble": "another"}):
        with pytest.raises(ConfigError, match="as if a file had been edited"):
            check_agreement(known, RunKey("capped", "other", 0), record(**functions))
