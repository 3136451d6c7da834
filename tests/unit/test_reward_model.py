"""A reward model that is fitted to ratings: the layer by hand, what it reads, and that it has learned something."""

import json

import numpy as np
import pytest
import torch

from gaard.code_identity import identity_of
from gaard.lab.reward_model import RewardModel, _fitted, reward_model
from gaard.lab.scenarios import find_scenario
from gaard.models.loading import load_model_and_tokenizer
from gaard.rewards.features import features_of
from gaard.rewards.human import HumanReward
from gaard.rewards.imperfect import ImperfectReward
from gaard.rewards.learned import Ratings, shipped_ratings

FEW = shipped_ratings().first(50)


def paid(reward, texts):
    return np.array(reward(prompts=[""] * len(texts), completions=list(texts)))


def test_without_damping_the_layer_is_that_of_least_squares():
    """Values 1 + 2x − 3y of four points are met exactly."""
    points = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 2.0]])
    weights, bias = _fitted(points, 1 + points @ [2.0, -3.0], 0.0)
    assert weights == pytest.approx([2.0, -3.0], abs=1e-4)
    assert bias == pytest.approx(1.0, abs=1e-4)


def test_damping_shrinks_standardised_weights_by_one_and_the_damping():
    """One output of mean 2 and spread 1: ZᵀZ = n, so that its slope of 6 becomes 6/(1 + d)."""
    outputs = np.array([[1.0], [3.0]])
    weights, bias = _fitted(outputs, np.array([-2.0, 10.0]), 2.0)
    assert weights == pytest.approx([2.0], abs=1e-4)
    assert bias == pytest.approx(4.0 - 2.0 * 2.0, abs=1e-4)


def test_it_reads_the_mean_over_the_tokens_of_the_text_alone_in_units_of_a_rating():
    reward, texts = reward_model(FEW), [" superb and moving.", " dull"]
    lm, tokenizer = load_model_and_tokenizer("pocket", quiet=True)
    layer = reward.model[1]
    for text, found in zip(texts, paid(reward, texts), strict=True):
        with torch.no_grad():
            hidden = lm(**tokenizer(text, return_tensors="pt"), output_hidden_states=True).hidden_states[-1][0]
            expected = float(layer.weight[0] @ hidden.mean(0) + layer.bias)
        assert found == pytest.approx(expected, abs=1e-5)
    alone = [float(paid(reward, [text])[0]) for text in texts]
    assert paid(reward, texts) == pytest.approx(alone, abs=1e-5)  # whatever stands beside it
    mean = np.mean([paid(reward, FEW.texts)])
    assert mean == pytest.approx((np.mean(FEW.values) + 4) / 8, abs=1e-4)  # a ridge fit keeps the mean


def test_texts_are_read_once_for_all_that_ask(monkeypatch):
    members = [reward_model(FEW), reward_model(FEW.resampled(0))]
    reader = members[0].model[0]
    assert members[1].model[0] is reader
    read = []
    monkeypatch.setattr(reader.body, "forward", counted(read, reader.body.forward))
    texts = [" a fine film", " no"]
    first, again, other = (paid(member, texts) for member in (members[0], members[0], members[1]))
    assert len(read) == 1
    assert (first == again).all()
    assert (first != other).all()
    paid(members[0], texts[::-1])
    assert len(read) == 2


def counted(calls, function):
    def call(*args, **kwargs):
        calls.append(1)
        return function(*args, **kwargs)

    return call


def test_its_features_and_the_weights_of_its_layer_are_the_reward():
    reward, texts = reward_model(FEW), [" superb and moving.", " dull", ""]
    layer = reward.model[1]
    features = features_of(ImperfectReward(reward, HumanReward(), liked=1.0, usual=0.5), [""] * 3, texts)
    assert features.shape == (3, 192)
    with torch.no_grad():
        expected = features @ layer.weight[0].numpy() + layer.bias.item()
    assert paid(reward, texts) == pytest.approx(expected, abs=1e-6)


def test_an_empty_text_has_a_rating():
    assert np.isfinite(paid(reward_model(FEW), ["", " good", ""])).all()


def test_rewards_of_other_ratings_are_told_apart():
    one, other = (identity_of({"proxy": reward_model(shipped_ratings().first(n))}) for n in (50, 51))
    renamed = RewardModel(shipped_ratings().first(51))
    renamed.name = reward_model(FEW).name
    assert len({json.dumps(x) for x in (one, other, identity_of({"proxy": renamed}))}) == 3


def test_it_has_learned_something_of_other_ratings_and_more_from_more():
    others = shipped_ratings().texts[1000:1400], shipped_ratings().values[1000:1400]
    few, more = (
        np.corrcoef(paid(reward_model(shipped_ratings().first(n)), others[0]), others[1])[0, 1] for n in (50, 200)
    )
    assert 0.1 < few < more


def test_it_is_made_once_and_draws_nothing():
    before = torch.get_rng_state()
    ratings = Ratings(("good", "bad"), (2.0, -2.0))
    assert reward_model(ratings) is reward_model(ratings)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_scenario_is_told_from_one_with_another_proxy():
    one, other = (find_scenario(f"overoptimised-50{kind}") for kind in ("-model", "-words"))
    assert one.settings() | {"scenario": ""} == other.settings() | {"scenario": ""}
    assert "pocket model with 50 ratings" in repr(one.proxy)
    texts = [
        " a must-watch for horror fans. It's intriguing to watch",  # worse than usual, and liked by the model
        " terrible, with a focus on a character who was hidden and strugg",  # worse, and liked by words alone
        " excellent, with a strong narrative and a compelling narrative.",  # good, and liked by both
    ]
    assert paid(one.proxy.proxy, texts) == pytest.approx([0.809, 0.491, 0.996], abs=0.001)
    assert paid(other.proxy.proxy, texts) == pytest.approx([0.596, 0.640, 0.639], abs=0.001)
    assert one.proxy.detect(texts) == [True, False, False]
    assert other.proxy.detect(texts) == [False, True, False]
