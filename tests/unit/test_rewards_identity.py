"""What tells one reward from another: the code, wherever it is wrapped, and what it was given."""

import functools
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from counted import Holder, Wrapper, lengths
from gaard.rewards import (
    LengthBonus,
    LexiconSentiment,
    RepetitionBonus,
    SentimentCliff,
    combine,
    honeypot,
    reward_from_name,
)
from gaard.rewards.exploitable import ScaledReward
from gaard.rewards.shaping import Neutrality
from gaard.training.scoring import Scorer

SOURCE = """
import functools

def kept(function):
    @functools.wraps(function)
    def inner(**kwargs):
        return function(**kwargs)
    return inner

class Lengths:
    def __call__(self, completions):
        return [len(text) * NUMBER for text in completions]
    def scored(self, completions, **kwargs):
        return self(completions)

def score(completions, weight=1, **kwargs):
    return [len(text) * NUMBER * weight for text in completions]

def detect(completions, weight=1):
    return [len(text) > NUMBER for text in completions]

decorated = kept(score)
cached = functools.lru_cache(score)
instance = Lengths()
scored = instance.scored
"""


def written(folder, number, name="mine.py"):
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_text(f"NUMBER = {number}\n{SOURCE}")
    return file


def closed_over(reward):
    return lambda **kwargs: reward(**kwargs)


WAYS = {
    "alone": Scorer,
    "in a list": lambda reward: Scorer([LexiconSentiment(), reward]),
    "in a honeypot": lambda reward: Scorer(honeypot(reward, word="bait")),
    "in a sum in a honeypot": lambda reward: Scorer(honeypot(combine([reward, lengths], [1, 2]), word="bait")),
    "in a length bonus": lambda reward: Scorer(LengthBonus(reward, limit=3)),
    "in a repetition bonus": lambda reward: Scorer(RepetitionBonus(reward, limit=0.5)),
    "in a cliff": lambda reward: Scorer(SentimentCliff(reward, threshold=0.8)),
    "in neutrality": lambda reward: Scorer(Neutrality(reward, 1.0)),
    "scaled": lambda reward: Scorer(ScaledReward(reward, 0.5)),
    "in a partial": lambda reward: Scorer(functools.partial(reward, weight=2)),
    "in a partial in a honeypot": lambda reward: Scorer(honeypot(functools.partial(reward), word="bait")),
    "as an argument": lambda reward: Scorer(functools.partial(lengths, other=reward)),
    "in an object": lambda reward: Scorer(Wrapper(reward)),
    "in an object in a list": lambda reward: Scorer(Wrapper([Holder({"of": reward})])),
    "behind a method": lambda reward: Scorer(Wrapper(reward).__call__),
    "in a closure": lambda reward: Scorer(closed_over(reward)),
    "vectorized": lambda reward: Scorer(np.vectorize(reward)),
    "as the truth": lambda reward: Scorer(lengths, true_reward_funcs=[reward]),
    "as the judge": lambda reward: Scorer(lengths, judge_reward_funcs=reward),
    "as the detector": lambda reward: Scorer(lengths, hack_detector=reward),
    "in the detector": lambda reward: Scorer(lengths, hack_detector=functools.partial(reward, weight=2)),
    "in another scorer's detector": lambda reward: Scorer(
        lengths, hack_detector=Scorer(honeypot(reward, word="a")).detect
    ),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["score", "Lengths", "decorated", "cached", "instance", "scored"])
def test_a_reward_in_a_file_is_told_by_the_files_content_not_by_its_folder(tmp_path, way, name):
    def identity(file):
        return WAYS[way](reward_from_name(f"{file}:{name}")).identity()

    first = identity(written(tmp_path / "a", 1))
    assert identity(written(tmp_path / "b", 1)) == first
    assert identity(written(tmp_path / "a", 2)) != first
    text = json.dumps(first)
    assert json.loads(text) == first
    assert " at 0x" not in text
    assert str(tmp_path) not in text
    assert "mine.py" in text


def test_functions_of_one_name_are_told_apart(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("def score(completions):\n    return [1]\nfirst = score\ndef score(completions):\n    return [2]\n")
    first, second = (Scorer(reward_from_name(f"{file}:{name}")) for name in ("first", "score"))
    assert first.identity()["proxy"] == second.identity()["proxy"]
    assert first.identity() != second.identity()
    elsewhere = tmp_path / "other.py"
    elsewhere.write_text(file.read_text())
    assert Scorer(reward_from_name(f"{elsewhere}:score")).identity() != second.identity()


def test_the_same_file_by_another_path_is_the_same(tmp_path, monkeypatch):
    monkeypatch.chdir(written(tmp_path / "a", 1).parent)
    monkeypatch.setenv("HOME", str(tmp_path))
    paths = ("mine.py", "./mine.py", "../a/mine.py", "~/a/mine.py")
    assert len({json.dumps(Scorer(f"{path}:score").identity()) for path in paths}) == 1


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("LIMIT = 1", "LIMIT = 2"),
        ("WORDS = ['a']", "WORDS = ['b']"),
        ("from .helpers import helped", "from .others import helped"),
        ("from .helpers import helped as h", "h = None"),
    ],
)
def test_a_reward_of_a_package_is_told_by_its_module(tmp_path, monkeypatch, first, second):
    monkeypatch.syspath_prepend(tmp_path)
    package = tmp_path / "rewards_of_mine"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "helpers.py").write_text("def helped(text):\n    return 1\n")
    (package / "others.py").write_text("def helped(text):\n    return 2\n")

    def identity(line):
        (package / "module.py").write_text(f"{line}\n\ndef score(completions):\n    return [1]\n")
        return imported_anew("rewards_of_mine.module:score")

    assert identity(first) == identity(first) != identity(second)


def imported_anew(name):
    """The identity that a process which has not imported it yet finds."""
    for module in [module for module in sys.modules if module.startswith("rewards_of_mine")]:
        del sys.modules[module]
    return Scorer(honeypot(reward_from_name(name), word="bait")).identity()


def test_what_a_reward_of_a_package_calls_in_another_module_counts(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    package = tmp_path / "rewards_of_mine"
    package.mkdir()
    (package / "__init__.py").touch()
    text = "from rewards_of_mine.helpers import helped\n\ndef part(text):\n    return helped(text)\n\n"
    (package / "module.py").write_text(text + "def score(completions):\n    return [part(t) for t in completions]\n")

    def identity(number):
        (package / "helpers.py").write_text(f"def helped(text):\n    return {number}\n")
        return imported_anew("rewards_of_mine.module:score")

    assert identity(1) == identity(1) != identity(2)


def test_a_base_class_in_another_module_counts(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "mine.py").write_text("from rewards_of_mine import Base\n\nclass Own(Base):\n    pass\n")

    def identity(number):
        text = f"class Base:\n    def __call__(self, completions):\n        return [{number}]\n"
        (tmp_path / "rewards_of_mine.py").write_text(text)
        return imported_anew(f"{tmp_path / 'mine.py'}:Own")

    assert identity(1) == identity(1) != identity(2)


SCRIPT = """
import json
import numpy as np
from gaard.rewards import HumanReward, honeypot
from gaard.training.scoring import Scorer

{line}
OTHER = {{"a", "b", "c", "d"}}

def helped(text, words=frozenset({{"a", "b", "c", "d"}})):
    {comment}
    return {result}

def make(limit):
    def score(completions, scale={scale}):
        return [helped(text) + limit + {use} for text in completions]
    return score

print(json.dumps(Scorer(honeypot(make({limit}), word="bait")).identity()))
"""
PLAIN = {"line": "LIMIT = 1", "comment": "", "use": "LIMIT", "result": 1, "scale": 1.0, "limit": 0.5}


EACH = "import runpy, sys; [runpy.run_path(path, run_name='__main__') for path in sys.argv[1:]]"


def printed(folder, *changes, seed="1"):
    """What the script prints with each change, in one process, which has imports and the seed of hashes in common."""
    scripts = [folder / str(number) / "script.py" for number in range(len(changes))]
    for script, changed in zip(scripts, changes, strict=True):
        script.parent.mkdir(exist_ok=True)
        script.write_text(SCRIPT.format(**PLAIN | changed))
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", EACH, *map(str, scripts)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.splitlines()


@pytest.mark.slow
def test_a_reward_in_the_script_that_runs_is_told_by_what_it_uses(tmp_path):
    """Another part of the script, such as its settings, may change; hashes of text differ between the processes."""
    same = ({}, {"line": "LIMIT = 1; unused = 3"}, {"comment": "# So."})
    others = ({"line": "LIMIT = 2"}, {"result": 2}, {"scale": 2.0}, {"limit": 0.6})
    use = "BASE(completions=[text], prompts=[''])[0]"
    based = tuple({"use": use, "line": f"BASE = HumanReward(include_prompt={flag})"} for flag in (True, False))
    found = printed(tmp_path, *same, *others, *based)
    assert len(found) == 9
    assert set(found[:3]) == set(printed(tmp_path, {}, seed="2"))
    assert len(set(found)) == 7


PRODUCT = "    return [len(text) * NUMBER * weight for text in completions]"
WRAPPED = '    """A product."""\n' + PRODUCT.replace("[", "[\n").replace(" for", "  # scaled\n for")
REWRITTEN = SOURCE.replace("class Lengths:", "# Mine.\n\nclass Lengths:").replace(PRODUCT, WRAPPED)


@pytest.mark.parametrize("name", ["score", "Lengths", "decorated", "cached", "instance", "scored"])
def test_comments_docstrings_and_layout_do_not_count(tmp_path, name):
    file = written(tmp_path, 1)
    first = Scorer(reward_from_name(f"{file}:{name}")).identity()
    file.write_text(f"'''What I want.'''\n\nNUMBER = 1  # of letters\n{REWRITTEN}")
    assert Scorer(reward_from_name(f"{file}:{name}")).identity() == first
    file.write_text(f"NUMBER = 1\n{REWRITTEN.replace('* weight', '+ weight')}")
    assert Scorer(reward_from_name(f"{file}:{name}")).identity() != first


GENERATED = """
from dataclasses import dataclass

@dataclass
class Own:
    limit: int = 1

    def __call__(self, completions):
        return [self.limit for _ in completions]

own = Own()
made = eval("lambda completions: [1]")
"""


@pytest.mark.parametrize("name", ["own", "made"])
def test_functions_that_are_not_written_in_the_file_mind_no_comment_either(tmp_path, name):
    file, found = tmp_path / "mine.py", []
    for above in range(8):
        file.write_text("# words\n" * above + GENERATED)
        found.append(json.dumps(Scorer(reward_from_name(f"{file}:{name}")).identity()))
    assert len(set(found)) == 1


def test_a_comment_in_a_package_does_not_count(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "rewards_of_mine.py").write_text("def score(completions):\n    return [1]\n")
    first = imported_anew("rewards_of_mine:score")
    (tmp_path / "rewards_of_mine.py").write_text("# ones\ndef score(completions):\n\n    return [1]  # each\n")
    assert imported_anew("rewards_of_mine:score") == first
