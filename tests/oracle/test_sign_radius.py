"""SignCert-PO: radii against perturbed weights, the paper's bandit, and features of rewards against their scores."""

import math

import pytest
import torch

from gaard import GAAConfig
from gaard.errors import ConfigError
from gaard.lab.arms import ARMS
from gaard.lab.scenarios import with_scenario
from gaard.lab.spec import RunSpec, build_trainer
from gaard.method.groups import centred
from gaard.method.sign_radius import group_distances, sign_radii, worst_case_advantages
from gaard.methods import SignCert
from gaard.rewards import HumanReward, LexiconSentiment, combine, honeypot
from gaard.rewards.exploitable import ScaledReward
from gaard.rewards.features import reward_features
from gaard.rewards.imperfect import ImperfectReward, LengthBias
from gaard.rewards.shaping import LengthBonus
from gaard.training.collect import Clock
from gaard.training.estimate import estimate
from tiny import CERTIFIED, LinearReward, tiny_trainer, words_reward

WIDE = torch.float64


def test_distances_and_radii_by_hand():
    """Features 0 and 2 in one group, 5, 5 and 8 in the other: means 1 and 6; the last but one is like its group's."""
    features = torch.tensor([[0.0, 0], [2, 0], [0, 5], [0, 5], [0, 8]], dtype=WIDE)
    distances = group_distances(features, torch.tensor([0, 0, 1, 1, 1]))
    assert distances.tolist() == pytest.approx([1, 1, 1, 1, 2])
    assert sign_radii(torch.tensor([-3.0, 3.0, 0.5]), torch.tensor([1.0, 2.0, 0.0])).tolist() == [3, 1.5, math.inf]


@pytest.mark.parametrize("size", [3, 6, 7, 8])
def test_texts_that_are_the_same_have_no_distance(size, generator):
    """No w tells them apart, so their radius is infinite, and they leave the quantile to the others."""
    row, others = torch.rand(40, generator=generator), torch.rand(8, 40, generator=generator)
    features = torch.cat([row.expand(size, -1), others])
    groups = torch.tensor([0] * size + [1] * 8)
    distances = group_distances(features, groups)
    advantages = centred(features @ torch.ones(40), groups)
    assert distances[:size].tolist() == [0.0] * size
    assert bool((distances[size:] > 0.1).all())
    told = worst_case_advantages(torch.cat([torch.zeros(size), advantages[size:]]), distances, 0.5)
    assert torch.equal(told[size:], worst_case_advantages(advantages[size:], distances[size:], 0.5))


@pytest.fixture
def group(generator):
    """The weights of a linear reward, and the features of a group of eight."""
    weights, features = (torch.randn(*shape, generator=generator, dtype=WIDE) for shape in ((6,), (8, 6)))
    return weights, features, torch.zeros(8, dtype=torch.int64)


def test_the_radius_is_where_the_sign_turns(group):
    """Theorem 3.1: no change of the weights that is shorter turns the sign, and the worst one that long does."""
    weights, features, one = group
    away = features - features.mean(0)
    radii = sign_radii(centred(features @ weights, one), group_distances(features, one))
    tried = torch.randn(2000, 6, generator=torch.Generator().manual_seed(1), dtype=WIDE)
    tried /= tried.norm(dim=1, keepdim=True)
    for j, radius in enumerate(radii):
        own = float(away[j] @ weights)
        shorter = (weights + 0.999 * radius * tried) @ away[j]
        assert bool((shorter.sign() == math.copysign(1, own)).all())
        worst = -math.copysign(1, own) * away[j] / away[j].norm()
        assert float((weights + 1.001 * radius * worst) @ away[j]) * own < 0


def test_the_worst_advantage_is_the_least_within_reach(group):
    """Theorem 3.2, with the median radius: half of the advantages have turned."""
    weights, features, one = group
    advantages, distances = centred(features @ weights, one), group_distances(features, one)
    found = worst_case_advantages(advantages, distances, 0.5)
    reach = float(sign_radii(advantages, distances).quantile(0.5))
    for j, value in enumerate(found):
        away = features[j] - features.mean(0)
        worst = weights - reach * advantages[j].sign() * away / away.norm()
        assert float(value) == pytest.approx(float(away @ worst))
    assert int((found * advantages < 0).sum()) == 4


def test_without_reach_advantages_are_dr_grpos(group):
    """One whose sign is not sure at all, an advantage of 0, has the smallest radius: nothing is in reach then."""
    advantages = torch.tensor([0.0, 1.0, -1.0])
    assert worst_case_advantages(advantages, torch.ones(3), 0.0).tolist() == [0.0, 1.0, -1.0]
    assert worst_case_advantages(advantages, torch.zeros(3), 0.5).tolist() == [0.0, 1.0, -1.0]  # no w tells them apart


def bandit(quantile: float | None) -> torch.Tensor:
    """The policy that the exact gradient ends at in a bandit made as the paper's appendix F.1 describes.

    Three good arms and three bad ones use dimensions that proxy and truth both weigh with 1; two others use those
    that the proxy weighs with 0.4 and the truth with 0.1, and the proxy pays these most.
    """
    features = torch.zeros(8, 6, dtype=WIDE)
    features[:3, :3], features[3:6, :3], features[6:, 3:] = 1.0, -1 / 3, 3.0
    rewards = features @ torch.tensor([1.0, 1, 1, 0.4, 0.4, 0.4], dtype=WIDE)
    assert int(rewards.argmax()) in (6, 7)
    one, logits = torch.zeros(8, dtype=torch.int64), torch.zeros(8, dtype=WIDE)
    advantages, distances = centred(rewards, one), group_distances(features, one)
    assert int(sign_radii(advantages, distances).argmin()) in (6, 7)
    if quantile is not None:
        advantages = worst_case_advantages(advantages, distances, quantile)
    for _ in range(2000):
        policy = logits.softmax(0)
        logits = logits + 0.1 * policy * (advantages - policy @ advantages)
    return logits.softmax(0)


def test_the_papers_bandit_is_hacked_by_dr_grpo_and_not_by_signcert():
    assert float(bandit(None)[6:].sum()) > 0.95
    assert float(bandit(0.25)[:3].sum()) > 0.95


# Features of rewards --------------------------------------------------------------------------------------------------

PROMPTS = ["The movie is", "The film is", "The movie is"]
COMPLETIONS = [" a wonderful story.", " dull and far too long", " good, good story, story"]
BATCH = {"prompts": PROMPTS, "completions": COMPLETIONS, "completion_ids": [[1], [1], [1]]}


def test_the_human_reward_is_linear_in_its_features():
    reward = HumanReward()
    features = reward.features(prompts=PROMPTS, completions=COMPLETIONS)
    offset = (reward._intercept + 4) / 8
    assert features @ reward._weights + offset == pytest.approx(reward(prompts=PROMPTS, completions=COMPLETIONS))


@pytest.mark.parametrize(
    ("reward", "extra"),
    [
        (honeypot(LinearReward(), word="story", bonus=3.0), [3.0]),
        (honeypot(LinearReward(), word="story", mode="uncapped", bonus=3.0), [3.0]),
        (LengthBonus(LinearReward(), limit=5, bonus=2.0), [2.0]),
        (ScaledReward(LinearReward(), -2.0), []),
        (LengthBias(LinearReward(), per_word=0.25, long=9, usual=0.0), [0.25]),
        (ImperfectReward(LinearReward(), words_reward, liked=1.0, usual=0.0), []),
    ],
    ids=["capped", "uncapped", "length", "scaled", "length bias", "imperfect"],
)
def test_extra_pay_is_one_feature_more(reward, extra):
    features = reward_features(combine([reward], [0.5]), PROMPTS, COMPLETIONS)
    weights = torch.tensor([*LinearReward.weights, *extra])
    expected = [0.5 * x for x in reward(**BATCH)]
    assert (features @ weights).tolist() == pytest.approx(expected)
    assert len(set(expected)) > 1


def test_a_sum_has_the_features_of_its_parts():
    features = reward_features(combine([LinearReward(), ScaledReward(LinearReward(), 3.0)]), PROMPTS, COMPLETIONS)
    assert features.tolist() == [[*row, *(3 * x for x in row)] for row in features[:, :5].tolist()]


# In a run -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["dr_grpo", "rloo"])
def test_what_trains_is_the_worst_advantage(form, tmp_path):
    advantages = {"name": form, "num_generations": 4}
    trainer = tiny_trainer(tmp_path, **(CERTIFIED | {"method": SignCert(quantile=0.5), "advantages": advantages}))
    batch = trainer.prompts.draw(trainer.args.batch_size, trainer.generator, 4)
    rollout = trainer.collector.collect(batch, trainer.generator, Clock(), trainer.args.observes)
    texts = [trainer.tokenizer.decode(ids[mask], skip_special_tokens=True) for ids, mask in
             zip(rollout.completion_ids, rollout.completion_mask, strict=True)]  # fmt: skip
    features = torch.tensor(LinearReward().features(prompts=texts, completions=texts)).unflatten(0, (-1, 4))
    distances = (features - features.mean(1, keepdim=True)).norm(dim=2).flatten()
    torch.testing.assert_close(rollout.feature_distances, distances)
    scores = rollout.scores.unflatten(0, (-1, 4))
    plain = (scores - scores.mean(1, keepdim=True)).flatten() * (4 / 3 if form == "rloo" else 1)
    far = distances > 0
    reach = (plain[far].abs() / distances[far]).quantile(0.5)
    expected = plain - reach * distances * plain.sign()
    found = estimate(rollout, trainer.args).advantages
    torch.testing.assert_close(found, expected[:, None] * rollout.completion_mask, atol=1e-5, rtol=1e-4)
    assert bool((found[:, 0] * plain < -1e-4).any())


@pytest.mark.parametrize("form", ["gae", "grpo"])
def test_an_advantage_that_is_no_distance_to_the_mean_is_refused(form):
    with pytest.raises(
        ConfigError, match=f"method 'signcert' needs .* and '{form}' are others: use .* dr_grpo or rloo"
    ):
        GAAConfig("x", method="signcert", advantages=form)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        *(({"regularizers": one}, one) for one in ("par", "max-min", "length-residual")),
        ({"regularizers": {"name": "policy-filtration", "num_generations": 8}}, "policy-filtration"),
        ({"regularizers": "imperfect-detector"}, "imperfect-detector"),
        ({"kl_estimator": "k1", "kl_coef": 0.1}, "kl_estimator='k1'"),
        ({"reward_clip": 2.0}, "reward_clip=2"),
        ({"whiten_advantages": True}, "whiten_advantages=True"),
    ],
)
def test_what_makes_other_advantages_is_refused(settings, named):
    with pytest.raises(ConfigError, match=f"'signcert' needs .*{named}.* makes others of them: leave one"):
        GAAConfig("x", method="signcert", advantages="dr_grpo", **settings)


def test_what_leaves_advantages_alone_is_not_refused():
    for settings in ({"regularizers": "chi2"}, {"kl_estimator": "k1", "kl_coef": 0.0}, {"normalize_rewards": True}):
        GAAConfig("x", method="signcert", advantages="dr_grpo", **settings)


@pytest.mark.parametrize("reward", [words_reward, honeypot(LexiconSentiment(), word="w5")], ids=["own", "honeypot"])
def test_a_reward_that_tells_no_features_is_refused(reward, tmp_path):
    with pytest.raises(ConfigError, match=r"method 'signcert' asks a reward for the features .* tells none: use one"):
        tiny_trainer(tmp_path, **(CERTIFIED | {"method": "signcert", "reward": reward}))


def test_it_trains_on_a_learned_reward_of_a_scenario(tmp_path):
    arm = ARMS["dr_grpo-signcert"]
    settings = arm.over(with_scenario({"scenario": "overoptimised-50-model"})) | {
        "batch_size": 8,
        "num_mini_batches": 1,
    }
    spec = RunSpec(
        **{**settings, "output_dir": str(tmp_path), "max_steps": 1, "eval_completions": 0, "progress": False}
    )
    trainer = build_trainer(spec)
    trainer.train()
    batch = trainer.prompts.draw(8, trainer.generator, 8)
    rollout = trainer.collector.collect(batch, trainer.generator, Clock(), trainer.args.observes)
    assert bool((rollout.feature_distances > 0).all())
