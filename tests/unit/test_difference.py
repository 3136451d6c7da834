"""What differs between two runs is told in words: which setting, from what to what, and whose code has changed."""

import functools

import pytest

from gaard.rewards import HumanReward, LengthBonus, LexiconSentiment, combine, honeypot, reward_from_name
from gaard.training.difference import difference
from gaard.training.scoring import Scorer

SETTINGS = [
    ({"a": 1}, {"a": 1}, []),
    ({"b": "x"}, {"b": "y"}, ["b: 'x' there, 'y' now"]),
    ({"c": 3}, {"d": 4}, ["c: 3 there, None now", "d: None there, 4 now"]),
    ({"z": 1, "a": 1}, {"z": 2, "a": 2}, ["a: 1 there, 2 now", "z: 1 there, 2 now"]),
    (
        {"method": {"name": "fold", "threshold": 3.0}},
        {"method": {"name": "fold", "threshold": 2.0}},
        ["method.threshold: 3.0 there, 2.0 now"],
    ),
    (
        {"method": {"name": "fold", "threshold": 3.0}},
        {"method": {"name": "ppo"}},
        ["method: 'fold' there, 'ppo' now"],
    ),
    (
        {"method": {"name": "mine", "cap": 1, "class": "Mine", "code": "1"}},
        {"method": {"name": "mine", "cap": 2, "class": "Other", "code": "2"}},
        ["method.cap: 1 there, 2 now", "the code of method 'mine' changed"],
    ),
    (
        {"regularizers": [{"name": "sam", "radius": 0.1}, {"name": "par", "completions": 3}]},
        {"regularizers": [{"name": "sam", "radius": 0.2}, {"name": "par", "completions": 3}]},
        ["regularizers.sam.radius: 0.1 there, 0.2 now"],
    ),
    (
        {"regularizers": []},
        {"regularizers": [{"name": "sam", "radius": 0.2}]},
        ["regularizers: [] there, ['sam'] now"],
    ),
    ({"model_sha256": "a" * 64}, {"model_sha256": "b" * 64}, ["model_sha256: the model's weights changed"]),
    (
        {"model_setup": {"tokenizer": "a", "end_tokens": [3], "adapters": None}},
        {"model_setup": {"tokenizer": "b", "end_tokens": [4], "adapters": "c"}},
        [
            "model_setup.adapters: the adapters changed",
            "model_setup.end_tokens: [3] there, [4] now",
            "model_setup.tokenizer: the tokenizer changed",
        ],
    ),
]


@pytest.mark.parametrize(("old", "new", "lines"), SETTINGS)
def test_a_setting_is_told_with_both_values(old, new, lines):
    assert difference(old, new) == lines


FILE = """
def helped(text):
    return {number}

class Own:
    def __call__(self, completions):
        return [1.0 for _ in completions]

def score(completions, weight=1):
    return [helped(text) for text in completions]

def detect(completions):
    return [False for _ in completions]
"""


def between(old: Scorer, new: Scorer) -> list[str]:
    return difference({"rewards": old.identity()}, {"rewards": new.identity()})


def of_file(folder, number, made) -> Scorer:
    """The scorer of a reward in a file that holds a number."""
    (folder / "mine.py").write_text(FILE.format(number=number))
    return made(lambda name: reward_from_name(f"{folder / 'mine.py'}:{name}"))


WAYS = {
    "alone": lambda find: Scorer(find("score")),
    "in a honeypot in a list": lambda find: Scorer([honeypot(find("score"), word="bait"), LexiconSentiment()]),
    "in a partial": lambda find: Scorer(functools.partial(find("score"), weight=2)),
    "in several roles": lambda find: Scorer(find("score"), true_reward_funcs=find("score")),
    "with a detector beside it": lambda find: Scorer(find("score"), hack_detector=find("detect")),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_file_whose_code_changed_is_named_once(tmp_path, way):
    old, new = (of_file(tmp_path, number, WAYS[way]) for number in (1, 2))
    assert between(old, new) == ["the code of reward mine.py:score changed"]


OTHER_ROLES = {
    "true reward": lambda find: Scorer(LexiconSentiment(), true_reward_funcs=find("score")),
    "judge reward": lambda find: Scorer(LexiconSentiment(), judge_reward_funcs=find("score")),
    "hack detector": lambda find: Scorer(LexiconSentiment(), hack_detector=find("score")),
}


@pytest.mark.parametrize("role", OTHER_ROLES)
def test_it_is_said_what_the_code_is_for(tmp_path, role):
    old, new = (of_file(tmp_path, number, OTHER_ROLES[role]) for number in (1, 2))
    assert between(old, new) == [f"the code of {role} mine.py:score changed"]


def test_an_object_of_a_class_is_told_by_its_class(tmp_path):
    old, new = (of_file(tmp_path, number, lambda find: Scorer(find("Own"))) for number in (1, 2))
    assert between(old, new) == ["the code of reward mine.py:Own changed"]


def scored(completions, weight=1, words=()):
    return [weight for _ in completions]


def given(**keywords):
    return Scorer(functools.partial(scored, **keywords))


LONG, OTHER_LONG = ["a"] * 200, ["b"] * 200
VALUES = [
    (Scorer(HumanReward()), Scorer(LexiconSentiment()), ["reward_funcs: human there, lexicon now"]),
    (
        Scorer(HumanReward(), judge_reward_funcs=LexiconSentiment()),
        Scorer(HumanReward()),
        ["judge_reward_funcs: lexicon there, none now"],
    ),
    (
        Scorer(LexiconSentiment()),
        Scorer(LexiconSentiment(include_prompt=True)),
        ["reward_funcs: LexiconSentiment(include_prompt=False) there, LexiconSentiment(include_prompt=True) now"],
    ),
    (
        Scorer(combine([scored, scored], [1, 2])),
        Scorer(combine([scored, scored], [1, 3])),
        None,
    ),
    (Scorer(LengthBonus(scored, limit=3)), Scorer(LengthBonus(scored, limit=3, bonus=2.0)), None),
    (
        Scorer(HumanReward(), ensemble_reward_funcs=[HumanReward(), LexiconSentiment()]),
        Scorer(HumanReward(), ensemble_reward_funcs=[HumanReward(), LexiconSentiment(include_prompt=True)]),
        [
            "ensemble_reward_funcs: LexiconSentiment(include_prompt=False) there, "
            "LexiconSentiment(include_prompt=True) now"
        ],
    ),
    (
        Scorer(HumanReward(), ensemble_reward_funcs=[HumanReward(), LexiconSentiment()]),
        Scorer(HumanReward()),
        ["ensemble_reward_funcs: CombinedReward(human + lexicon) there, none now"],
    ),
    (given(weight=3), given(weight=4), ["reward_funcs, weight: 3 there, 4 now"]),
    (given(words=LONG), given(words=OTHER_LONG), ["reward_funcs, words changed"]),
    (given(words=LONG), given(words=[]), ["reward_funcs, words: other values there, [] now"]),
]


@pytest.mark.parametrize(("old", "new", "lines"), VALUES)
def test_what_a_reward_was_given_is_told(old, new, lines):
    found = between(old, new)
    assert found
    assert not any("{" in line for line in found)
    assert lines in (None, found), found


def test_rewards_that_differ_otherwise_are_told_of_all_the_same():
    """As those that another version of gaard has written."""
    assert difference({"rewards": {"proxy": "x"}}, {"rewards": {"proxy": "x", "more": 1}}) == ["the rewards changed"]
