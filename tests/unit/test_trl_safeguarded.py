"""gaard's fold in TRL's trainers: whose advantages are turned, and that nothing else is touched."""

import math
from collections import defaultdict
from types import SimpleNamespace

import pytest
import torch
from trl import GRPOTrainer

from gaard.errors import ConfigError, GaardWarning
from gaard.integrations.trl import safeguarded
from naive_fold import naive_weights

HACK = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 5.0]  # one of eight is paid far more
SPREAD = [-8.0, 7.0, -6.0, 5.0, -4.0, 3.0, -2.0, 5.0]


class Standin:
    """Has the two hooks, and the rewards and advantages that it is given."""

    def __init__(self, rewards, advantages=None, *, process=0, processes=1, group=8, **settings):
        self.given = torch.tensor(rewards, dtype=torch.float32).reshape(len(rewards), -1)
        share = len(rewards) // processes
        own = slice(process * share, (process + 1) * share)
        self.advantages = torch.ones(len(rewards))[own] if advantages is None else torch.tensor(advantages)
        self.accelerator = SimpleNamespace(process_index=process, num_processes=processes, is_main_process=process == 0)
        self.reward_weights = torch.ones(self.given.shape[1])
        self.num_generations, self.num_generations_eval = group, 1
        self.model = torch.nn.Linear(1, 1)
        self._metrics = {"train": defaultdict(list), "eval": defaultdict(list)}
        vars(self).update(settings)

    def _calculate_rewards(self, inputs, prompts, completions, completion_ids_list):
        return self.given

    def _generate_and_score_completions(self, inputs):
        self._calculate_rewards(inputs, [], completions=[], completion_ids_list=[])
        return {"advantages": self.advantages, "other": 7}


def standin(*args, threshold=3.0, **settings):
    return safeguarded(Standin, threshold=threshold)(*args, **settings)


def folded(*args, **settings):
    return standin(*args, **settings)._generate_and_score_completions([])["advantages"]


# Who can be safeguarded -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "options", "message"),
    [
        (GRPOTrainer, {"method": "flod"}, r"method='flod' is not known: did you mean 'fold'\?"),
        (GRPOTrainer, {"method": None}, "method=None is not known"),
        (GRPOTrainer, {"threshold": 0}, "threshold is 0: give a number above 0, such as 3"),
        (GRPOTrainer, {"threshold": "high"}, "threshold is 'high': give a number above 0"),
        (GRPOTrainer, {"method": "none", "threshold": float("nan")}, "threshold is nan"),
        (dict, {}, r"safeguarded\(<class 'dict'>\): give the class of a trainer"),
        (dict, {"method": "none"}, "give the class of a trainer"),
        ("GRPOTrainer", {}, r"safeguarded\('GRPOTrainer'\)"),
        (safeguarded(Standin), {}, "SafeguardedStandin is safeguarded already"),
    ],
)
def test_what_cannot_be_is_refused(given, options, message):
    with pytest.raises(ConfigError, match=message):
        safeguarded(given, **options)


def test_an_instance_is_refused():
    with pytest.raises(ConfigError, match="give the class of a trainer"):
        safeguarded(Standin([1.0]))


def test_it_is_a_subclass_and_none_is_the_class_itself():
    assert safeguarded(GRPOTrainer, method="none") is GRPOTrainer
    made = safeguarded(GRPOTrainer)
    assert issubclass(made, GRPOTrainer)
    assert made.__name__ == "SafeguardedGRPOTrainer"


# Whose advantages are turned ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("threshold", [1.0, 2.0, 3.0])
def test_weights_are_those_of_the_equations(threshold):
    rewards = HACK + SPREAD + [0.5] * 8 + [0.0] * 7 + [1.0]
    expected = naive_weights(rewards, 8, threshold)
    assert min(expected) < 0 < max(expected) == 1.0
    torch.testing.assert_close(folded(rewards, threshold=threshold), torch.tensor(expected))


def test_what_does_not_stand_out_stays_to_the_last_bit_and_other_outputs_stay():
    rewards = HACK + SPREAD
    advantages = torch.randn(16, generator=torch.Generator().manual_seed(0)).tolist()
    trainer = standin(rewards, advantages, threshold=1e6)
    output = trainer._generate_and_score_completions([])
    assert output["advantages"].tolist() == torch.tensor(advantages).tolist()
    assert output["other"] == 7
    assert trainer._metrics["train"]["gaard/turned"] == [0.0]


def test_the_share_that_was_turned_is_logged():
    trainer = standin(HACK + [0.5] * 8)
    trainer._generate_and_score_completions([])
    assert trainer._metrics == {"train": {"gaard/turned": [1 / 16]}, "eval": {}}
    lessened = standin(HACK + [0.5] * 8, threshold=4.7)
    assert 0 < lessened._generate_and_score_completions([])["advantages"][7] < 1
    assert lessened._metrics["train"]["gaard/turned"] == [0.0]


def warned(trainer, recwarn):
    trainer._generate_and_score_completions([])
    return [str(each.message) for each in recwarn.list if each.category is GaardWarning]


def test_that_a_verifiers_rare_successes_are_turned_is_said_once(recwarn):
    trainer = standin([1.0, *[0.0] * 7, *[0.0] * 7, 1.0, *[1.0, 0.0] * 4])
    (said,) = warned(trainer, recwarn)
    assert "completions earn 0 or 1, and 2 of the 6 that earn more are turned" in said
    assert len(warned(trainer, recwarn)) == 1


@pytest.mark.parametrize("rewards", [HACK, [0.5] * 8, [math.nan] * 8, [1.0, 0.0] * 4], ids=str)
def test_nothing_is_said_of_graded_rewards_or_of_frequent_successes(rewards, recwarn):
    assert warned(standin(rewards), recwarn) == []


def test_one_process_speaks_for_all_and_evaluation_is_silent(recwarn):
    rare = [1.0, *[0.0] * 7]
    assert warned(standin(rare, process=1, processes=2), recwarn) == []
    trainer = standin(rare, num_generations_eval=8)
    trainer.model.eval()
    assert warned(trainer, recwarn) == []


def test_advantages_of_tokens_are_weighed_by_their_completion():
    advantages = torch.arange(1.0, 25.0).reshape(8, 3)
    expected = advantages * torch.tensor(naive_weights(HACK, 8))[:, None]
    torch.testing.assert_close(folded(HACK, advantages.tolist()), expected)


def test_what_is_pushed_away_already_is_not_pulled_back():
    assert folded(HACK, [-1.0] * 8).tolist() == [-1.0] * 8


def test_half_precision_stays():
    trainer = standin(HACK)
    trainer.advantages = trainer.advantages.bfloat16()
    assert trainer._generate_and_score_completions([])["advantages"].dtype == torch.bfloat16


# Rewards as TRL has them ----------------------------------------------------------------------------------------------


def test_reward_functions_are_summed_by_their_weights():
    other = [1.0, 0.0] * 4
    both = [[a, b] for a, b in zip(HACK, other, strict=True)]
    for weights in ([1.0, 0.5], [0.0, 1.0], [1.0, -2.0]):
        summed = [weights[0] * a + weights[1] * b for a, b in both]
        got = folded(both, reward_weights=torch.tensor(weights))
        torch.testing.assert_close(got, torch.tensor(naive_weights(summed, 8)))


def test_what_no_function_scores_is_left_out_and_left_alone():
    nan = math.nan
    rewards = [nan, 0.1, 0.2, 0.3, 0.4, 0.5, nan, 50.0, *[nan] * 8, nan, 1.0, *[nan] * 6, *SPREAD]
    expected = naive_weights(rewards, 8)
    got = folded(rewards)
    torch.testing.assert_close(got, torch.tensor(expected))
    assert got[7] < 1.0
    assert got[0] == 1.0
    assert folded([nan] * 8).tolist() == [1.0] * 8
    assert folded([[nan, x] for x in HACK]).tolist() == folded(HACK).tolist()
    assert folded([math.inf, *HACK[1:]])[0] == 1.0


def test_rewards_that_are_divided_apart_are_looked_at_apart():
    """A sum of them would be that of the largest alone."""
    large = [1000.0 * x for x in SPREAD]
    both = [[a, b] for a, b in zip(HACK, large, strict=True)]
    apart = folded(both, multi_objective_aggregation="normalize_then_sum")
    torch.testing.assert_close(apart, torch.tensor(naive_weights(HACK, 8)))
    together = folded(both, multi_objective_aggregation="sum_then_normalize")
    assert together.tolist() == [1.0] * 8


def test_a_reward_that_rloo_clips_is_looked_at_as_it_is_clipped():
    clipped = [min(max(x, 0.1), 0.9) for x in HACK]
    torch.testing.assert_close(folded(HACK, reward_clip_range=(0.1, 0.9)), torch.tensor(naive_weights(clipped, 8)))


def test_a_class_that_has_one_size_of_group_is_evaluated_with_it():
    trainer = standin(HACK)
    del trainer.num_generations_eval
    trainer.model.eval()
    assert trainer._generate_and_score_completions([])["advantages"].tolist() == folded(HACK).tolist()


def test_in_evaluation_groups_may_be_of_one():
    trainer = standin(HACK)
    trainer.model.eval()
    assert trainer._generate_and_score_completions([])["advantages"].tolist() == [1.0] * 8
    assert trainer._metrics == {"train": {}, "eval": {"gaard/turned": [0.0]}}


# Processes ------------------------------------------------------------------------------------------------------------


def test_what_stands_out_is_measured_over_the_batch_of_all_processes():
    """On its own, the second process would turn its last completion, and the first nothing."""
    rewards = SPREAD + HACK
    shares = [folded(rewards, process=number, processes=2) for number in range(2)]
    whole = torch.tensor(naive_weights(rewards, 8))
    torch.testing.assert_close(torch.cat(shares), whole)
    assert folded(HACK)[7] < 0 < shares[1][7]


def test_each_process_has_its_own_share():
    shares = [folded(HACK, process=number, processes=2) for number in range(2)]
    torch.testing.assert_close(torch.cat(shares), torch.tensor(naive_weights(HACK, 8)))


def test_a_trainer_that_drops_completions_is_refused():
    with pytest.raises(ConfigError, match=r"SafeguardedStandin made 6 advantages on each of 1 processes of 8 rewards"):
        folded(HACK, [1.0] * 6)
