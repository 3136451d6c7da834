"""G13 and G14 against naive loops in float64, and what must hold for groups of any size and any rewards."""

import math
import statistics

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gaard import advantages
from gaard.errors import ConfigError
from gaard.method.groups import group_heights
from naive_fold import naive_weight

EPS = 1e-4
FORMS = {"grpo": advantages.grpo, "dr_grpo": advantages.dr_grpo, "rloo": advantages.rloo}


def naive(form: str, rewards: list[float], names: list, fold: float | None = None) -> list[float]:
    """One completion after another, each against a list of its group's rewards."""
    members = {name: [r for r, other in zip(rewards, names, strict=True) if other == name] for name in names}
    centred = [r - statistics.fmean(members[name]) for r, name in zip(rewards, names, strict=True)]
    differ = [len(set(members[name])) > 1 for name in names]
    centred = [c if d else 0.0 for c, d in zip(centred, differ, strict=True)]
    if fold is not None and any(differ):
        scale = 1.4826 * statistics.median_low([abs(c) for c, d in zip(centred, differ, strict=True) if d])
        centred = [naive_weight(c, scale, fold) * c for c in centred]
    result = []
    for c, d, name in zip(centred, differ, names, strict=True):
        group = members[name]
        if form == "grpo":
            c = c / (statistics.stdev(group) + EPS) if d else 0.0
        elif form == "rloo":
            c = c * len(group) / (len(group) - 1) if d else 0.0
        result.append(c)
    return result


def normal(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# By hand --------------------------------------------------------------------------------------------------------------


def test_one_success_of_four_by_hand():
    rewards = torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=torch.float64)
    assert advantages.dr_grpo(rewards, 4).tolist() == [-0.25, -0.25, -0.25, 0.75]
    # The others of a failure have 1/3 on average, those of the success 0.
    assert advantages.rloo(rewards, 4).tolist() == pytest.approx([-1 / 3, -1 / 3, -1 / 3, 1.0])
    # The deviation is sqrt((3/16 + 9/16) / 3) = 1/2.
    assert advantages.grpo(rewards, 4, eps=0.0).tolist() == pytest.approx([-0.5, -0.5, -0.5, 1.5])
    assert advantages.grpo(rewards, 4).tolist() == pytest.approx([c / 0.5001 for c in (-0.25, -0.25, -0.25, 0.75)])


def test_leave_one_out_is_the_reward_less_the_mean_of_the_others():
    rewards = normal(15)
    expected = []
    for i, reward in enumerate(rewards.tolist()):
        others = [r for j, r in enumerate(rewards.tolist()) if j // 5 == i // 5 and j != i]
        expected.append(reward - statistics.fmean(others))
    assert advantages.rloo(rewards, 5).tolist() == pytest.approx(expected)


# Naive loops ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("fold", [None, 0.5, 3.0])
@pytest.mark.parametrize("size", [2, 3, 8])
def test_each_form_equals_the_loop(form, fold, size):
    rewards = normal(size * 12)
    rewards[5] = 9.0  # one that stands out
    rewards[: 2 * size] = torch.cat([torch.full((size,), 0.1), torch.full((size,), 7.0)])
    names = [i // size for i in range(len(rewards))]
    found = FORMS[form](rewards, size, fold=fold)
    assert found.tolist() == pytest.approx(naive(form, rewards.tolist(), names, fold), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("fold", [None, 1.0])
def test_groups_by_name_may_stand_anywhere_and_differ_in_size(form, fold):
    names = ["b", "a", "c", "a", "b", "a", "d", "b", "c", "a"]
    rewards = normal(len(names), seed=1)
    expected = pytest.approx(naive(form, rewards.tolist(), names, fold), rel=1e-9, abs=1e-12)
    assert FORMS[form](rewards, names, fold=fold).tolist() == expected
    assert FORMS[form](rewards, np.array(names, dtype=object), fold=fold).tolist() == expected
    numbers = torch.tensor([ord(name) for name in names])
    assert FORMS[form](rewards, numbers, fold=fold).tolist() == expected


# What must hold for all -----------------------------------------------------------------------------------------------

REWARDS = st.floats(-100, 100, width=32)
BATCHES = st.integers(2, 6).flatmap(
    lambda size: st.tuples(st.just(size), st.lists(st.lists(REWARDS, min_size=size, max_size=size), min_size=1))
)
FOLDS = st.sampled_from([None, 0.5, 3.0])


@settings(max_examples=60, deadline=None)
@given(batch=BATCHES, fold=FOLDS, form=st.sampled_from(sorted(FORMS)))
def test_any_batch_equals_the_loop(batch, fold, form):
    size, groups = batch
    rewards = [r for group in groups for r in group]
    found = FORMS[form](torch.tensor(rewards, dtype=torch.float64), size, fold=fold)
    # A fold turns within 0.13 of its unit: rounding of a tiny spread may move a completion through all of it.
    assert found.isfinite().all()
    if fold is None:
        expected = naive(form, rewards, [i // size for i in range(len(rewards))])
        assert found.tolist() == pytest.approx(expected, rel=1e-6, abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(batch=BATCHES, paid=REWARDS, fold=FOLDS, form=st.sampled_from(sorted(FORMS)))
def test_a_group_of_equal_rewards_has_none_and_changes_nobodys(batch, paid, fold, form):
    size, groups = batch
    rewards = torch.tensor(groups, dtype=torch.float64).flatten()
    equal = torch.full((size * 9,), paid, dtype=torch.float64)
    alone = FORMS[form](rewards, size, fold=fold)
    beside = FORMS[form](torch.cat([equal, rewards]), size, fold=fold)
    torch.testing.assert_close(beside[len(equal) :], alone, rtol=1e-9, atol=1e-12)
    assert (beside[: len(equal)] == 0.0).all()


@settings(max_examples=60, deadline=None)
@given(batch=BATCHES, fold=FOLDS, shift=st.integers(-50, 50))
def test_what_a_prompt_pays_on_average_does_not_matter(batch, fold, shift):
    size, groups = batch
    rewards = torch.tensor(groups, dtype=torch.float64).round().flatten()  # so that no digit is lost
    moved = rewards + torch.arange(len(groups)).repeat_interleave(size) * shift
    torch.testing.assert_close(
        advantages.dr_grpo(moved, size, fold=fold), advantages.dr_grpo(rewards, size, fold=fold), rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("fold", [None, 3.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equal_rewards_have_exactly_none(form, fold, dtype):
    """0.1 · 3 / 3 is another number than 0.1."""
    rewards = torch.tensor([0.1] * 3 + [0.7] * 3, dtype=dtype)
    assert (FORMS[form](rewards, 3, fold=fold) == 0.0).all()


@pytest.mark.parametrize("form", FORMS)
def test_a_group_of_one_has_nothing_to_compare_with(form):
    found = FORMS[form](torch.tensor([5.0, 1.0, 3.0]), ["a", "b", "b"])
    assert found[0] == 0.0
    assert found[1] == -found[2] != 0.0


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("fold", [None, 3.0])
def test_two_of_a_group_are_symmetric_unless_one_is_folded(form, fold):
    rewards = normal(32)
    found = FORMS[form](rewards, 2, fold=fold).view(-1, 2)
    torch.testing.assert_close(found.sum(-1), torch.zeros(16, dtype=torch.float64), atol=1e-12, rtol=0)
    rewards[0] = 50.0
    found = FORMS[form](rewards, 2, fold=fold).view(-1, 2)
    assert found[0, 1] < 0
    assert (found[0, 0] < 0) == (fold is not None)


# The fold -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [4, 8, 16])
def test_an_outlier_of_a_group_is_at_most_so_many_of_its_deviations_above(size):
    """(G − 1)/√G: why advantages that were divided are not what is to be folded."""
    rewards = torch.zeros(size, dtype=torch.float64)
    rewards[0] = 1e6
    largest = advantages.grpo(rewards, size, eps=0.0).max().item()
    assert largest == pytest.approx((size - 1) / math.sqrt(size))


def test_the_outlier_is_turned_before_the_division_and_not_after():
    rewards = normal(64)
    rewards[3] = 20.0
    divided = advantages.grpo(rewards, 8)
    assert divided[3] > 2
    assert advantages.folded(divided, 3.0)[3] > 1  # a little beyond the threshold, and by no means turned
    turned = advantages.grpo(rewards, 8, fold=3.0)
    assert turned[3] == pytest.approx(-divided[3].item())
    others = torch.arange(64) != 3
    assert torch.equal(turned[others], divided[others])


@pytest.mark.parametrize(("successes", "turned"), [(1, True), (2, False), (4, False), (7, False)])
def test_a_rare_success_is_turned_too(successes, turned):
    """One success of eight looks like a hack, and the documentation says so; two of eight do not."""
    rewards = torch.tensor([1.0] * successes + [0.0] * (8 - successes)).repeat(4)
    plain, folded = advantages.grpo(rewards, 8), advantages.grpo(rewards, 8, fold=3.0)
    assert (folded[0] < 0) == turned
    assert torch.equal(folded[successes:8], plain[successes:8])
    assert turned or torch.equal(folded, plain)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
def test_groups_that_differ_by_rounding_do_not_make_the_scale(dtype, size):
    """As where most prompts have but one answer left, and a model scores it in batches of unequal length."""
    spread = torch.rand(16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    equal = 0.9 + 1e-7 * normal(48)
    rewards = (size * torch.cat([equal, spread])).to(dtype)
    weights = advantages.fold_weights(rewards, 8)
    assert (weights == 1.0).all()
    torch.testing.assert_close(
        advantages.fold_weights(rewards, 8, 0.5)[48:], advantages.fold_weights((size * spread).to(dtype), 8, 0.5)
    )
    assert (advantages.fold_weights(rewards[:48], 8, 0.5) == 1.0).all()
    rewards[50] = 20.0 * size
    assert advantages.fold_weights(rewards, 8)[50] == -1.0


def test_heights_are_numbers_where_no_group_differs():
    assert group_heights(torch.ones(8), torch.arange(8) // 4).tolist() == [0.0] * 8


def test_a_large_reward_that_all_have_costs_no_digits():
    """A sum of eight in float32 would be off by up to 4 here."""
    rewards = (1e7 + torch.randint(0, 9, (32,), generator=torch.Generator().manual_seed(0))).float()
    expected = naive("dr_grpo", rewards.tolist(), [i // 8 for i in range(32)])
    assert advantages.dr_grpo(rewards, 8).tolist() == pytest.approx(expected, abs=1e-6)


# Refused --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("rewards", "groups", "options", "words"),
    [
        (torch.zeros(6), 4, {}, "groups=4 for 6 rewards: give how many belong together, at least 2"),
        (torch.zeros(6), 1, {}, "groups=1 for 6 rewards"),
        (torch.zeros(6), ["a"] * 5, {}, "groups has 5 names for 6 rewards: give one a reward"),
        (torch.zeros(2, 3), 2, {}, "rewards has shape [2, 3]: give [B]"),
        (torch.zeros(0), 2, {}, "rewards has shape [0]: give [B], not empty"),
        (torch.tensor([0.0, math.nan]), 2, {}, "rewards[1] is nan: give finite numbers"),
        (torch.zeros(2), 2, {"fold": 0.0}, "fold is 0.0: give a number above 0"),
        (torch.zeros(2), 2, {"fold": math.nan}, "fold is nan"),
        (torch.zeros(2), 2, {"fold": True}, "fold is True: give a number above 0, such as 3"),
        (torch.zeros(2), 2, {"fold": "high"}, "fold is 'high': give a number above 0"),
        (torch.zeros(4), 2.0, {}, "groups is 2.0: give how many rewards belong together, or a name for each reward"),
        (torch.zeros(4), None, {}, "groups is None: give how many"),
        (torch.zeros(4), torch.zeros(4, 1), {}, "or a name for each reward"),
        (torch.zeros(4), [0.0, 0.0, math.nan, math.nan], {}, "groups has a name that is nan"),
        ([0.0, 1.0], 2, {}, "rewards is [0.0, 1.0]: give a tensor or a NumPy array"),
    ],
)
def test_what_cannot_be_is_refused(form, rewards, groups, options, words):
    with pytest.raises(ConfigError) as refused:
        FORMS[form](rewards, groups, **options)
    assert words in str(refused.value)
