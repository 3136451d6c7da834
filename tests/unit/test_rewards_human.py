"""The reward learned from people: its arithmetic, and that it knows praise from blame."""

import math
import zlib
from importlib.resources import files

import numpy as np
import pytest
from safetensors.numpy import load

from gaard.rewards import HumanReward, reward_from_name
from gaard.rewards.human import BUCKETS

PRAISE = ["A wonderful, moving film with superb acting.", "I love this phone, it works perfectly.", "Truly delightful."]
BLAME = ["A dull, stupid mess with terrible acting.", "It broke after a day, a waste of money.", "Truly awful."]
NEUTRAL = "It is a film about a man in a town."


def test_praise_is_above_neutral_and_blame_below():
    reward = HumanReward()
    good, bad, (neutral,) = reward.ratings(PRAISE), reward.ratings(BLAME), reward.ratings([NEUTRAL])
    assert min(good) > neutral + 0.3
    assert max(bad) < neutral - 0.3
    assert all(-4 <= rating <= 4 for rating in good + bad)


def test_a_rating_is_the_weighted_sum_of_hashed_features():
    """`No ox`: the words, the pair, and the groups of three to five letters within `<no>` and `<ox>`."""
    features = ["1 no", "1 ox", "2 no ox", "3 <no", "3 no>", "3 <no>", "3 <ox", "3 ox>", "3 <ox>"]
    tensors = load((files("gaard") / "assets" / "human_reward.safetensors").read_bytes())
    weights = [float(tensors["weights"][zlib.crc32(feature.encode()) % BUCKETS]) for feature in features]
    expected = float(tensors["intercept"][0]) + sum(weights) / math.sqrt(len(features))
    assert HumanReward().ratings(["No ox"]) == pytest.approx([expected])


def test_completions_are_scored_between_nought_and_one_with_their_prompts():
    batch = dict(
        prompts=["The film is", "The film is"], completions=[" wonderful.", " awful."], completion_ids=[[1], [2]]
    )
    whole = HumanReward().ratings(["The film is wonderful.", "The film is awful."])
    assert HumanReward()(**batch) == pytest.approx([(rating + 4) / 8 for rating in whole])
    alone = HumanReward().ratings([" wonderful.", " awful."])
    assert HumanReward(include_prompt=False)(**batch) == pytest.approx([(rating + 4) / 8 for rating in alone])


def test_an_empty_text_has_the_mean_rating():
    (rating,) = HumanReward().ratings([""])
    assert -1 < rating < 1
    assert np.isfinite(rating)


def test_it_is_found_by_name():
    assert isinstance(reward_from_name("human"), HumanReward)
