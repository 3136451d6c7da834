"""The monitor: what it makes of a batch, when each rule speaks, and that it changes nothing."""

import numpy as np
import pytest
import torch

from gaard.advantages import fold_weights
from gaard.errors import ConfigError
from gaard.monitor import RULES, Alarm, Monitor
from pages import read

TEXTS = [f"text {number}" for number in range(8)]
PAID = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]


def rules_of(monitor):
    return [alarm.rule for alarm in monitor.alarms]


def told(steps, rules=None, **columns):
    """A monitor that was told of as many steps; a column is what every step has, or a function of the step."""
    monitor = Monitor(rules)
    for step in range(1, steps + 1):
        monitor.update(step, **{key: x(step) if callable(x) else x for key, x in columns.items()})
    return monitor


# Figures --------------------------------------------------------------------------------------------------------------


def test_the_figures_of_a_batch():
    report = Monitor().update(
        3,
        PAID,
        true_rewards=[0.1] * 8,
        hacked=[True, *[False] * 7],
        completions=["a a", *["b c"] * 7],
        lengths=[4.0] * 8,
        groups=[*"xxxxyyyy"],
        entropy=1.5,
        kl=0.2,
        truncated=0.25,
    )
    assert report.step == 3
    assert report.figures == {
        "texts": 8,
        "reward": pytest.approx(0.35),
        "reward_std": pytest.approx(np.std(PAID)),
        "at_highest": 1 / 8,
        "at_lowest": 1 / 8,
        "turned": 0,
        "equal_groups": 0,
        "true_reward": pytest.approx(0.1),
        "reward_gap": pytest.approx(0.25),
        "hack_rate": 1 / 8,
        "length": 4,
        "distinct": 2 / 8,
        "word_paid": 0,
        "entropy": 1.5,
        "kl": 0.2,
        "truncated": 0.25,
    }


def test_what_is_not_known_has_no_figure():
    figures = Monitor().update(1, PAID, true_rewards=[None] * 8).figures
    assert set(figures) == {"texts", "reward", "reward_std", "at_highest", "at_lowest", "turned"}
    assert Monitor().update(1, [None, float("nan"), float("inf")]).figures == {"texts": 3}


def test_every_figure_and_rule_is_defined_in_the_docs():
    page = read("docs/monitor.md")
    figures = told(1, rewards=PAID, true_rewards=PAID, hacked=PAID, completions=TEXTS, groups=[*"aabbccdd"]).figures[0]
    for name in (*figures, "entropy", "kl", "truncated", *RULES):
        assert f"| `{name}` |" in page


@pytest.mark.parametrize("kind", [list, np.array, torch.tensor, tuple])
def test_columns_of_any_kind_and_none_of_them_is_changed(kind):
    given = kind(PAID)
    figures = Monitor().update(1, given, lengths=kind([3] * 8), hacked=kind([True] * 8)).figures
    assert figures["reward"] == pytest.approx(0.35)
    assert (figures["length"], figures["hack_rate"]) == (3, 1)
    assert list(map(float, given)) == pytest.approx(PAID)


def test_lengths_are_those_of_the_texts_in_words_unless_told():
    assert Monitor().update(1, [0.0, 1.0], completions=["a b c", "a"]).figures["length"] == 2


def test_turned_is_the_share_whose_advantage_a_fold_turns():
    rng = np.random.default_rng(0)
    paid = rng.normal(size=64)
    paid[[3, 9]] = 30.0
    groups = np.repeat(np.arange(8), 8)
    expected = (fold_weights(paid, groups, 3.0) < 0).mean()
    assert Monitor().update(1, paid, groups=groups).figures["turned"] == expected == 2 / 64
    assert Monitor().update(1, paid).figures["turned"] == 2 / 64
    assert Monitor().update(1, paid, groups=range(64)).figures["turned"] == 0  # nothing to compare
    assert Monitor().update(1, [0.5] * 8).figures["turned"] == 0


@pytest.mark.parametrize(("height", "turned"), [(3.05, 0), (3.5, 1 / 16)])
def test_a_fold_of_three_is_what_turns(height, turned):
    """Pairs that are 1 from their mean, so that the scale is 1.4826, and one that is so many of these away."""
    paid = [0.0, 2.0] * 7 + [0.0, 2 * 1.4826 * height]
    assert Monitor().update(1, paid, groups=[i // 2 for i in range(16)]).figures["turned"] == turned


def test_highest_and_lowest_are_those_of_the_run_so_far():
    monitor = Monitor()
    monitor.update(1, [0.0, 1.0, 1.0, 1.0])
    figures = monitor.update(2, [0.5, 0.5, 1.0, None]).figures
    assert (figures["at_highest"], figures["at_lowest"]) == (1 / 3, 0)
    figures = monitor.update(3, [0.5, 0.5]).figures
    assert (figures["at_highest"], figures["at_lowest"]) == (0, 0)


def test_the_gap_is_of_texts_whose_pay_and_truth_are_both_known():
    figures = Monitor().update(1, [9.0, 1.0, 2.0, None], true_rewards=[None, 0.5, 1.0, 7.0]).figures
    assert figures["reward_gap"] == 0.75
    assert "reward_gap" not in Monitor().update(1, [1.0, None], true_rewards=[None, 1.0]).figures


@pytest.mark.parametrize("kind", [list, np.array, torch.tensor])
def test_groups_of_any_kind_are_told_by_their_values(kind):
    paid = [0.0, 1.0, 0.0, 1.0, 0.5, 0.5, 0.0, 9.0]
    figures = Monitor().update(1, paid, groups=kind([0, 0, 1, 1, 2, 2, 3, 3])).figures
    assert (figures["turned"], figures["equal_groups"]) == (1 / 8, 2 / 8)


def test_groups_that_are_paid_one_number_and_groups_of_one():
    figures = Monitor().update(1, [1.0, 1.0, 0.0, 1.0, 0.3], groups=[*"aabbc"]).figures
    assert figures["equal_groups"] == 0.5
    assert "equal_groups" not in Monitor().update(1, [1.0, 2.0], groups=[*"ab"]).figures
    assert Monitor().update(1, [None, 0, 1, 1, 1, 1], groups=[*"aabbcc"]).figures["equal_groups"] == 1


# Rules ----------------------------------------------------------------------------------------------------------------


def paid_for_story(step):
    return [1.0 if i % 4 == 0 else 0.3 + 0.01 * ((i + step) % 5) for i in range(32)]


def saying_story(step):
    return [f"a story {i} {step}" if i % 4 == 0 else f"a film {i} {step}" for i in range(32)]


def test_a_word_that_is_paid_raises_an_alarm_that_names_it_once():
    monitor = told(6, rewards=paid_for_story, completions=saying_story, groups=["one prompt"] * 32)
    (alarm,) = monitor.alarms
    assert alarm.rule == "words"
    assert alarm.step <= 2
    assert "'story'" in alarm.reason
    assert "25% of the last texts have it" in alarm.reason
    assert told(6, ["parted"], rewards=paid_for_story, completions=saying_story).alarms == []


def rising(begin, end):
    """Eight rewards whose mean goes from one to the other over 20 steps, with some noise."""
    return lambda step: (begin + (end - begin) * step / 20 + np.linspace(-0.1, 0.1, 8) + 0.002 * (step % 3)).tolist()


def test_reward_and_true_reward_that_part():
    monitor = told(20, rewards=rising(0, 1), true_rewards=rising(0.2, 0.2))
    assert rules_of(monitor) == ["parted"]
    assert monitor.alarms[0].step == 10  # the first step at which beginning and end have no step in common
    assert "most of the rise is not what you meant" in monitor.alarms[0].reason
    assert told(20, rewards=rising(0, 1), true_rewards=rising(0, 0.6)).alarms == []  # less than half is untrue
    assert rules_of(told(20, rewards=rising(0, 1), true_rewards=rising(0, 0.4))) == ["parted"]
    assert told(20, rewards=rising(0.5, 0.5), true_rewards=rising(1, 0)).alarms == []  # the reward has not risen
    swinging = told(20, rewards=rising(0, 1), true_rewards=lambda step: [0.5 + 2 * (-1) ** step] * 8)
    assert swinging.alarms == []  # the truth swings by more than the gap has risen
    noise = np.random.default_rng(0)
    assert told(40, rewards=lambda _: noise.normal(size=8), true_rewards=lambda _: noise.normal(size=8)).alarms == []


def test_a_true_reward_that_is_known_now_and_then_is_compared_at_those_steps():
    untrue = 0.7  # of each rise

    def truth(step):
        return [(1 - untrue) * x if step % 3 == 0 else None for x in rising(0, 1)(step)]

    (alarm,) = told(30, ["parted"], rewards=rising(0, 1), true_rewards=truth).alarms
    assert alarm.step == 30  # the tenth at which it is known
    assert "the reward has risen from 0.45 to 1.2, and the true reward has gone from 0.135 to 0.36" in alarm.reason


def test_texts_without_a_truth_do_not_part_reward_and_truth():
    """Those that are paid more and more have none; of the others the reward is the true one."""

    def paid(step):
        return [x if i % 2 else 0.5 + 0.01 * (step % 3) for i, x in enumerate(rising(0, 1)(step))]

    def truth(step):
        return [0.5 + 0.01 * (step % 3), None] * 4

    assert told(20, ["parted"], rewards=paid, true_rewards=truth).alarms == []


def test_a_detector_that_finds_more():
    found = told(6, rewards=PAID * 4, hacked=lambda step: np.arange(32) < (2 if step < 4 else 12))
    assert [(alarm.rule, alarm.step) for alarm in found.alarms] == [("hacks", 5)]
    assert "38% of the last texts, and found them in 6% of the first" in found.alarms[0].reason
    assert told(6, rewards=PAID * 4, hacked=lambda step: np.arange(32) < 10).alarms == []  # many, and no more
    assert told(6, rewards=PAID * 4, hacked=[False] * 32).alarms == []
    late = told(9, rewards=PAID * 4, hacked=lambda step: [None if step < 3 else step > 5] * 32)
    assert [(alarm.rule, alarm.step) for alarm in late.alarms] == [("hacks", 6)]  # of the steps that it was asked of


@pytest.mark.parametrize(("late", "expected"), [(4, []), (5, ["hacks"])])
def test_three_standard_errors_are_more(late, expected):
    """0 of 64 against 8 of 64 are 2.9 standard errors, and against 10 of 64 are 3.3."""
    found = told(4, rewards=PAID * 4, hacked=lambda step: np.arange(32) < (0 if step < 3 else late))
    assert rules_of(found) == expected


def test_a_step_of_few_texts_counts_for_few():
    monitor = told(3, rewards=PAID * 4, hacked=[False] * 32)
    monitor.update(4, PAID[:4], hacked=[True] * 4)
    assert monitor.alarms == []  # 4 of the last 36


def test_nothing_left_to_learn_from():
    assert rules_of(told(10, rewards=lambda step: PAID if step < 6 else [0.7] * 8)) == ["saturated"]
    groups = [*"aabbccdd"]
    apart = told(10, rewards=lambda step: [0.1 * (i // 2) + step for i in range(8)], groups=groups)
    assert rules_of(apart) == ["saturated"]
    assert "in groups that are paid one number" in apart.alarms[0].reason
    assert told(10, rewards=PAID).alarms == []


def test_hardly_anything_is_paid():
    assert rules_of(told(10, rewards=[0.0] * 15 + [1.0])) == ["sparse"]
    assert told(10, rewards=[0.0] * 7 + [1.0]).alarms == []  # one in eight is not that few


def test_pay_that_is_one_number_is_neither_the_highest_nor_the_lowest():
    (alarm,) = told(10, rewards=[0.0] * 8).alarms
    assert alarm.rule == "saturated"
    assert "100% of the last texts are paid one number" in alarm.reason


def test_texts_that_repeat_one_another():
    some = told(10, rewards=PAID, completions=lambda step: TEXTS if step < 6 else ["text a", "text b"] * 4)
    assert rules_of(some) == ["repeats"]
    assert "only 25%" in some.alarms[0].reason


@pytest.mark.parametrize(("late", "expected"), [(15, ["length"]), (14, []), (6, ["length"]), (7, [])])
def test_texts_that_become_longer_or_shorter(late, expected):
    assert rules_of(told(10, rewards=PAID, lengths=lambda step: [10 if step < 6 else late] * 8)) == expected


def test_texts_of_no_length_have_not_become_longer():
    assert told(10, rewards=PAID, lengths=[0] * 8).alarms == []
    assert rules_of(told(10, rewards=PAID, lengths=lambda step: [0 if step < 6 else 3] * 8)) == ["length"]


def test_an_alarm_is_in_the_report_of_its_step_alone():
    monitor = Monitor()
    one = ["one prompt"] * 32
    reports = [
        monitor.update(step, paid_for_story(step), completions=saying_story(step), groups=one) for step in range(1, 6)
    ]
    raised = [alarm for report in reports for alarm in report.alarms]
    assert raised == monitor.alarms
    assert all(isinstance(alarm, Alarm) for alarm in raised)


def test_figures_alone_are_enough_for_the_rules_that_need_no_texts():
    monitor = Monitor()
    for step in range(10):
        monitor.note(step, {"length": 10.0 if step < 5 else 30.0})
    assert rules_of(monitor) == ["length"]
    assert monitor.path("length") == [10.0] * 5 + [30.0] * 5
    assert monitor.path("reward") == []


# What is refused ------------------------------------------------------------------------------------------------------


def test_a_rule_that_is_not_known():
    with pytest.raises(ConfigError, match="rules has 'word': choose from words, parted, hacks"):
        Monitor(["word"])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"completions": ["a"]}, "completions has 1 entries for 8 rewards"),
        ({"groups": range(3)}, "groups has 3 entries for 8 rewards"),
        ({"lengths": [1]}, "lengths has 1 entries for 8 rewards"),
        ({"hacked": [True]}, "hacked has 1 entries for 8 rewards"),
        ({"true_rewards": ["good"] * 8}, "true_rewards is .*: give a number a completion"),
        ({"true_rewards": 0.5}, "true_rewards is 0.5: give a number a completion"),
        ({"groups": 4}, "groups is 4: give a name a completion"),
        ({"groups": [[{"role": "user", "content": "a"}]] * 8}, r"groups\[0\] is .*'user'.*: give texts or numbers"),
        ({"completions": [*TEXTS[:7], [{"content": "a"}]]}, r"completions\[7\] is .*'content'.*: give a text"),
    ],
)
def test_columns_that_do_not_fit(columns, message):
    with pytest.raises(ConfigError, match=message):
        Monitor().update(1, PAID, **columns)


def test_an_empty_batch():
    with pytest.raises(ConfigError, match="rewards is empty"):
        Monitor().update(1, [])
