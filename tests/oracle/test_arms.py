"""What each option of an arm changes in an update, against hand-derived numbers."""

import json
import math
from dataclasses import dataclass

import pytest
import torch
from test_estimate import rollout

from definitions import log_softmax, selected
from gaard.lab.arms import ARMS
from gaard.lab.study import build_study
from gaard.method.distributions import draw
from gaard.method.masking import last_token_mask
from gaard.methods import GAA, Method, Observation
from gaard.rewards import honeypot
from gaard.training import collect
from gaard.training.collect import Clock, shaped
from gaard.training.estimate import normalized_scores
from gaard.training.evaluation import distinct
from tiny import tiny_trainer, words_reward


@dataclass(frozen=True)
class Constant(Method):
    """The same a and b everywhere."""

    name = "constant"

    a: float = 1.0
    b: float = 0.0

    @property
    def observes(self) -> Observation:
        return Observation(greedy_branch=True)

    def coefficients(self, eta, sigma, mask):
        return torch.full_like(eta, self.a), torch.full_like(eta, self.b)


@dataclass(frozen=True)
class RandomToken(GAA):
    """Johnson's text with a token drawn from the policy in the greedy token's place."""

    @property
    def observes(self) -> Observation:
        return Observation(greedy_branch=True, random_token=True)


@dataclass(frozen=True)
class BestOfEight(GAA):
    """Johnson's text, x* the token of best value among the 8 likeliest."""

    @property
    def observes(self) -> Observation:
        return Observation(greedy_branch=True, candidates=8)


def test_the_constants_of_a_method_are_those_that_a_run_logs(tmp_path):
    row = tiny_trainer(tmp_path, max_steps=1, method=Constant(a=0.75, b=-0.25)).train()
    assert (row["a"], row["b"]) == (0.75, -0.25)


def test_a_random_token_is_drawn_from_the_policy():
    """Probabilities 0.5, 0.3, 0.2 and the second number: 0.6 falls on token 1, 0.9 on token 2."""
    logits = torch.tensor([[0.5, 0.3, 0.2]] * 2).log()
    first, second = torch.tensor([0.1, 0.1]).double(), torch.tensor([0.6, 0.9]).double()
    drawn = draw(logits, first, second)
    assert drawn.tokens.tolist() == [0, 0]
    assert drawn.greedy_tokens.tolist() == [1, 2]
    assert drawn.greedy_logprobs.exp().tolist() == pytest.approx([0.3, 0.2])


def test_a_random_token_takes_the_greedy_ones_place_and_the_first_rollout_stays(tmp_path):
    greedy, random = (
        rolled_out(tiny_trainer(tmp_path / str(i), method=m))
        for i, m in enumerate((GAA(reading="text"), RandomToken(reading="text")))
    )
    assert torch.equal(greedy.completion_ids, random.completion_ids)
    assert not torch.equal(greedy.greedy_ids, random.greedy_ids)
    mask = random.completion_mask
    assert (random.greedy_logprobs <= greedy.greedy_logprobs + 1e-6)[mask].all()


def test_the_token_of_best_value_takes_the_greedy_ones_place_and_the_first_rollout_stays(tmp_path):
    greedy, best = (
        rolled_out(tiny_trainer(tmp_path / kind.__name__, method=kind(reading="text"))) for kind in (GAA, BestOfEight)
    )
    assert torch.equal(greedy.completion_ids, best.completion_ids)
    mask = best.completion_mask & ~last_token_mask(best.completion_mask)
    differ = (best.greedy_ids != greedy.greedy_ids) & mask
    assert differ.any()
    assert (best.greedy_logprobs <= greedy.greedy_logprobs + 1e-6)[mask].all()
    both = differ & (greedy.greedy_ids != greedy.completion_ids) & (best.greedy_ids != best.completion_ids)
    assert both.any()
    assert (best.greedy_values >= greedy.greedy_values - 1e-5)[both].all()  # the greedy token is one of the 8


def rolled_out(trainer):
    batch = trainer.prompts.draw(trainer.args.batch_size, trainer.generator)
    return shaped(collected(trainer, batch), trainer.args.regularizers, trainer.generator)


def collected(trainer, batch):
    return trainer.collector.collect(batch, trainer.generator, Clock(), trainer.args.observes)


def test_rewards_are_clipped_after_they_are_standardised():
    """Scores 1, 0, 2.5, −1: mean 0.625, deviation √1.671875; the last greedy one, −40, is limited to −3 first."""
    scores, greedy = normalized_scores(rollout(), True, 1.0)
    deviation = math.sqrt(1.671875)
    expected = [(1.0 - 0.625) / deviation, -0.625 / deviation, 1.0, -1.0]
    assert scores.tolist() == pytest.approx(expected)
    assert greedy.tolist() == pytest.approx([(0.5 - 0.625) / deviation, 1.0, 1.0, -1.0])
    raw, _ = normalized_scores(rollout(), False, 0.5)
    assert raw.tolist() == [0.5, 0.0, 0.5, -0.5]


def test_the_oracle_trains_on_the_truth_and_is_measured_by_the_proxy(tmp_path):
    baited = honeypot(words_reward, word="bait")
    trainer = tiny_trainer(tmp_path, method="gaa", reward=baited, trained_reward="true", batch_size=64)
    seen = rolled_out(trainer)
    assert torch.equal(seen.trained_scores, seen.true_scores)
    hacked = seen.hacked.bool()
    assert hacked.any()
    assert (seen.scores[hacked] == 1.0).all()
    assert (seen.trained_scores[hacked] <= 0.5).all()
    assert (seen.greedy_scores <= 0.5).all()


def test_the_measures_of_diversity_by_hand():
    """Tokens 1 2 1 and 1 2: 2 of 5 are distinct; pairs 12 21 12: 2 of 3."""
    texts = [[1, 2, 1], [1, 2]]
    assert distinct(texts, 1) == pytest.approx(2 / 5)
    assert distinct(texts, 2) == pytest.approx(2 / 3)
    assert distinct([[1]], 2) == 0.0


def test_the_untrained_models_perplexity_and_the_hacks_by_plain_forwards(tmp_path, monkeypatch):
    baited = honeypot(words_reward, word="bait")
    trainer = tiny_trainer(tmp_path, method="ppo", reward=baited, learning_rate=1e-2, temperature=0.7, max_steps=3)
    untrained = tiny_trainer(tmp_path / "other").policy.lm
    trainer.train()
    seen, plain = [], collect.Collector.collect
    monkeypatch.setattr(collect.Collector, "collect", lambda *given: seen.append(plain(*given)) or seen[-1])
    measures = trainer.evaluate(64)
    surprise, hacks = [], 0
    for rollout_ in seen:
        hacks += int(rollout_.hacked.sum())
        for row in range(len(rollout_.scores)):
            prompt = rollout_.prompt_ids[row][rollout_.prompt_mask[row]]
            completion = rollout_.completion_ids[row][rollout_.completion_mask[row]]
            logits = untrained(input_ids=torch.cat([prompt, completion])[None]).logits[0].double() / 0.7
            logprobs = log_softmax(logits)[len(prompt) - 1 : -1]
            surprise += (-selected(logprobs, completion)).tolist()
    assert measures["hack_count"] == hacks
    assert measures["untrained_perplexity"] == pytest.approx(math.exp(sum(surprise) / len(surprise)), rel=1e-4)
    assert measures["kl_untrained"] > 1e-3  # trained away, so that the two models' perplexities differ


@pytest.mark.slow  # each method and each regularizer is trained by the tests of their own
@pytest.mark.parametrize("name", ARMS)
def test_every_arm_trains(name, tmp_path):
    settings = {"max_steps": 2, "batch_size": 8, "num_mini_batches": 2, "eval_completions": 8, "progress": False}
    from gaard.lab.compare import compare

    study = build_study(["capped"], [name], [0], {**settings, "use_cpu": True})
    results = compare(study, tmp_path)
    assert [run["error"] for run in results["runs"]] == [None, None]
    config = json.loads((tmp_path / f"capped/{name}-seed0/run.json").read_text())["config"]
    arm = ARMS[name]
    assert {key: config[key] for key in arm.settings} == dict(arm.settings)
    assert config["method"] == arm.method.record()
    assert config["regularizers"] == [one.record() for one in arm.regularizers]
