"""gaard in slime, against stand-ins of its shape at v0.3.1; test_integrations_real.py has slime's own code.

``RolloutManager._post_process_rewards`` of slime/ray/rollout.py calls ``f(args, samples)`` with the samples of the
whole batch and wants two lists, rewards and what to train on. ``compute_advantages_and_returns`` of
slime/backends/megatron_utils/loss.py calls ``f(args, rollout_data)`` in every process of the last pipeline stage, and
reads ``advantages`` and ``returns`` from ``rollout_data`` after.
"""

from types import SimpleNamespace

import pytest
import torch

from gaard.advantages import folded
from gaard.errors import ConfigError
from gaard.integrations import slime
from stand_ins import LOOPHOLE, SIZE, rewards, stand_in, tokens


class Sample:
    def __init__(self, reward):
        self.reward = reward

    def get_reward_value(self, args):
        return self.reward if not args.reward_key else self.reward[args.reward_key]


def settings(**changed):
    usual = {"advantage_estimator": "grpo", "rewards_normalization": True, "grpo_std_normalization": True}
    usual |= {"n_samples_per_prompt": SIZE, "rollout_batch_size": 4, "reward_key": None}
    return SimpleNamespace(**usual | changed)


def post_process_rewards(args, samples):
    """As ``_post_process_rewards`` does without a function of the user's."""
    raw = [sample.get_reward_value(args) for sample in samples]
    paid = torch.tensor(raw, dtype=torch.float)
    if paid.shape[-1] == args.n_samples_per_prompt * args.rollout_batch_size:
        paid = paid.reshape(-1, args.n_samples_per_prompt)
    else:
        paid = paid.view(-1, paid.shape[-1])
    paid = paid - paid.mean(dim=-1, keepdim=True)
    if args.advantage_estimator in ["grpo", "gspo", "cispo"] and args.grpo_std_normalization:
        paid = paid / (paid.std(dim=-1, keepdim=True) + 1e-6)
    return raw, paid.flatten().tolist()


def samples(paid):
    return [Sample(reward) for reward in paid.tolist()]


@pytest.mark.parametrize("estimator", ["grpo", "gspo", "cispo", "reinforce_plus_plus_baseline"])
@pytest.mark.parametrize("divided", [True, False])
def test_where_nothing_stands_out_rewards_are_slimes_own(estimator, divided):
    args = settings(advantage_estimator=estimator, grpo_std_normalization=divided)
    easy = rewards() + 10.0 * (torch.arange(32) < SIZE)  # one prompt, which another grouping would take for loopholes
    for paid in (rewards(), easy):
        assert slime.rewards(args, samples(paid)) == post_process_rewards(args, samples(paid))


@pytest.mark.parametrize("estimator", ["grpo", "reinforce_plus_plus_baseline"])
def test_a_reward_that_stands_out_is_turned_and_nothing_else(estimator):
    args = settings(advantage_estimator=estimator)
    (raw, mine), (_, slimes) = (f(args, samples(rewards(20.0))) for f in (slime.rewards, post_process_rewards))
    assert raw[LOOPHOLE] == 20.0
    assert slimes[LOOPHOLE] > 1
    assert mine == [-x if i == LOOPHOLE else x for i, x in enumerate(slimes)]


def test_a_batch_of_another_size_is_one_group_as_slime_has_it():
    args, part = settings(), samples(rewards())[:-3]
    assert slime.rewards(args, part) == post_process_rewards(args, part)


def test_the_threshold_comes_from_the_file_of_custom_settings():
    args = settings(gaard_threshold=1e6)
    assert slime.rewards(args, samples(rewards(20.0))) == post_process_rewards(args, samples(rewards(20.0)))
    with pytest.raises(ConfigError, match="threshold is 0"):
        slime.rewards(settings(gaard_threshold=0), samples(rewards()))


def test_a_reward_of_several_is_read_by_its_key():
    given = [Sample({"math": reward, "format": 0.0}) for reward in rewards().tolist()]
    assert slime.rewards(settings(reward_key="math"), given) == slime.rewards(settings(), samples(rewards()))


@pytest.mark.parametrize("changed", [{"advantage_estimator": "ppo"}, {"rewards_normalization": False}])
def test_rewards_that_slime_does_not_group_are_refused(changed):
    with pytest.raises(ConfigError, match=r"gaard\.integrations\.slime\.advantages"):
        slime.rewards(settings(**changed), samples(rewards()))


class Process:
    """One of two processes that share a batch: what it holds, and what the other one does."""

    def __init__(self, monkeypatch, rank):
        pay, mask = tokens(rewards(20.0))
        self.pay = [row[: int(valid.sum())] for row, valid in zip(pay, mask, strict=True)]
        self.masks = [torch.ones(len(row), dtype=torch.int) for row in self.pay]
        self.masks[3][0] = 0  # a token of a tool, which the policy did not write
        self.rank, self.seen = rank, []
        self.everyone = torch.cat([row[mask.bool()] for row, mask in zip(self.pay, self.masks, strict=True)]) - 0.1
        self.shares = [
            torch.cat([row[mask.bool()] for row, mask in zip(*half, strict=True)]) - 0.1
            for half in zip(self.halves(self.pay), self.halves(self.masks), strict=True)
        ]
        group = object()
        monkeypatch.setattr(torch.distributed, "get_world_size", lambda asked: 2 if asked is group else None)
        monkeypatch.setattr(torch.distributed, "get_rank", lambda asked: rank if asked is group else None)
        monkeypatch.setattr(torch.distributed, "all_gather_object", self.gather)
        groups = {True: group, False: "those that share a completion would be left out"}
        mpu = SimpleNamespace(get_data_parallel_group=lambda with_context_parallel=False: groups[with_context_parallel])
        stand_in(monkeypatch, "megatron.core", mpu=mpu)
        stand_in(
            monkeypatch,
            "slime.backends.megatron_utils.loss",
            compute_advantages_and_returns=self.compute_advantages_and_returns,
        )
        stand_in(
            monkeypatch,
            "slime.backends.megatron_utils.cp_utils",
            slice_log_prob_with_cp=lambda values, total, response: values,
        )

    @staticmethod
    def halves(things):
        return things[:10], things[10:]

    def gather(self, parts, mine, group):
        assert torch.equal(mine, self.shares[self.rank])
        parts[:] = self.shares

    def compute_advantages_and_returns(self, args, rollout_data):
        self.seen.append((args.custom_advantage_function_path, args.normalize_advantages, args.use_opd))
        rollout_data["advantages"] = [row - 0.1 for row in rollout_data["pay"]]
        rollout_data["returns"] = [row + 0.1 for row in rollout_data["pay"]]

    def data(self):
        pay, masks = (self.halves(things)[self.rank] for things in (self.pay, self.masks))
        lengths = [len(row) for row in pay]
        return {"pay": pay, "loss_masks": masks, "response_lengths": lengths, "total_lengths": [n + 7 for n in lengths]}


def critic(**changed):
    asked = {"custom_advantage_function_path": "gaard.integrations.slime.advantages", "use_opd": True}
    return settings(**{"advantage_estimator": "ppo", "normalize_advantages": True} | asked | changed)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_critics_advantages_are_folded_over_all_processes(monkeypatch, rank):
    process = Process(monkeypatch, rank)
    args, data = critic(gaard_threshold=4.0), process.data()
    slime.advantages(args, data)
    expected = folded(process.everyone, 4.0).split([len(share) for share in process.shares])[rank]
    masks = [mask.bool() for mask in data["loss_masks"]]
    assert torch.equal(torch.cat(data["advantages"])[torch.cat(masks)], expected)
    assert [len(row) for row in data["advantages"]] == data["response_lengths"]
    assert (expected < -1).any() == (rank == 1)  # where the loophole is
    assert torch.equal(torch.cat(data["returns"]), torch.cat([row + 0.1 for row in data["pay"]]))


def test_slimes_own_advantages_come_first_and_what_slime_does_after_is_left_to_it(monkeypatch):
    process = Process(monkeypatch, 0)
    args = critic()
    slime.advantages(args, process.data())
    assert process.seen == [(None, False, False)]
    assert (args.custom_advantage_function_path, args.normalize_advantages, args.use_opd) == (
        "gaard.integrations.slime.advantages",
        True,
        True,
    )


def test_a_token_that_the_policy_did_not_write_is_left_as_it_is(monkeypatch):
    process = Process(monkeypatch, 0)
    process.pay[3][0] = 1e6
    data = process.data()
    slime.advantages(critic(), data)
    assert data["advantages"][3][0] == 1e6 - 0.1


def test_where_processes_share_a_completion_each_has_the_mask_of_its_own_tokens(monkeypatch):
    """Of what slime cuts, ``loss_masks`` alone is whole."""
    mask, total, seen = torch.tensor([0, 1, 1, 1], dtype=torch.int), 11, []

    def own_part(values, total_length, response_length):
        seen.append((total_length, response_length))
        return values[:2]

    process = Process(monkeypatch, 0)
    cut = "slime.backends.megatron_utils.cp_utils"
    stand_in(monkeypatch, cut, slice_log_prob_with_cp=own_part)
    process.shares = [torch.tensor([1.0 - 0.1]), torch.linspace(-1.0, 1.0, 31)]
    data = {"pay": [torch.tensor([1e6, 1.0])], "loss_masks": [mask], "response_lengths": [4], "total_lengths": [total]}
    slime.advantages(critic(), data)
    assert seen == [(11, 4)]
    assert data["advantages"][0].tolist() == pytest.approx([1e6 - 0.1, 0.9])


def test_a_batch_of_which_no_token_trains_is_left_as_it_is(monkeypatch):
    process = Process(monkeypatch, 0)
    process.shares = [torch.tensor([]), torch.tensor([])]
    data = process.data()
    data["loss_masks"] = [torch.zeros_like(mask) for mask in data["loss_masks"]]
    slime.advantages(critic(), data)
    assert torch.equal(torch.cat(data["advantages"]), torch.cat(data["pay"]) - 0.1)


def test_an_estimator_with_groups_is_sent_to_the_other_hook():
    with pytest.raises(ConfigError, match=r"--custom-reward-post-process-path gaard\.integrations\.slime\.rewards"):
        slime.advantages(settings(), {})
