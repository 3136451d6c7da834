"""Names of rewards, as a configuration file writes them."""

from pathlib import Path

import pytest

import gaard.rewards.spec as spec
from gaard.errors import ConfigError, ModelError
from gaard.rewards import CombinedReward, Honeypot, LexiconSentiment, build_rewards, reward_from_name, score

SOURCE = """
import dataclasses

NUMBER = 3

def brevity(completions, **kwargs):
    return [-len(text) for text in completions]

@dataclasses.dataclass
class Count:
    letter: str = "a"

    def __call__(self, completions):
        return [text.count(self.letter) for text in completions]

class Needy:
    def __init__(self, path):
        pass
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "my_rewards.py"
    path.write_text(SOURCE)
    return path


def scored(func):
    batch = {"prompts": ["p", "p"], "completions": ["banana", "great"], "completion_ids": [[1], [2]]}
    return score(func, **batch, columns={}).tolist()


def test_lexicon():
    assert isinstance(reward_from_name("lexicon"), LexiconSentiment)


def test_a_function_and_a_class_from_a_file(file):
    assert scored(reward_from_name(f"{file}:brevity")) == [-6, -5]
    assert scored(reward_from_name(f"{file}:Count")) == [3, 1]


def test_a_path_is_relative_to_the_working_directory(file, monkeypatch):
    monkeypatch.chdir(file.parent)
    assert scored(reward_from_name("my_rewards.py:brevity")) == [-6, -5]


def test_a_tilde_is_the_home_folder(file, monkeypatch):
    monkeypatch.setenv("HOME", str(file.parent))
    assert scored(reward_from_name("~/my_rewards.py:brevity")) == [-6, -5]
    with pytest.raises(ConfigError, match="~no-such-user-here"):
        reward_from_name("~no-such-user-here/my_rewards.py:brevity")
    asked = []
    monkeypatch.setattr(spec, "ClassifierReward", asked.append)
    reward_from_name("~/models/judge")
    assert asked == [str(file.parent / "models" / "judge")]


def test_two_files_of_one_name_are_two_modules(file, tmp_path):
    other = tmp_path / "other" / file.name
    other.parent.mkdir()
    other.write_text("def brevity(completions):\n    return [7 for _ in completions]\n")
    first = reward_from_name(f"{file}:brevity")
    second = reward_from_name(f"{other}:brevity")
    assert scored(second) == [7, 7]
    assert scored(first) == [-6, -5]
    assert first.__module__ != second.__module__


def test_a_module(file, monkeypatch):
    monkeypatch.syspath_prepend(file.parent)
    assert scored(reward_from_name("my_rewards:brevity")) == [-6, -5]
    assert isinstance(reward_from_name("gaard.rewards.sentiment:LexiconSentiment"), LexiconSentiment)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("{}:brevty", ("no 'brevty'", "brevity, Count, Needy", "Did you mean 'brevity'?")),
        ("{}:NUMBER", ("'NUMBER'", "3", "cannot be called")),
        ("{}:Needy", ("Needy() failed", "TypeError", "without arguments")),
        ("{}", ("no function in it", "my_rewards.py:function")),
        ("{}:", ("no ''", "brevity, Count, Needy")),
        ("missing_file.py:f", (str(Path("missing_file.py").absolute()), "does not exist", "check the path")),
        ("missing_package.rewards:f", ("'missing_package.rewards'", "could not be imported", "path/to/file.py")),
        ("gaard.rewards.sentiment:lexicon", ("no 'lexicon'", "LexiconSentiment")),
        ("", ("named ''", "`lexicon`")),
        (None, ("named None", "`lexicon`")),
    ],
)
def test_what_cannot_be_found_is_named(name, parts, file):
    with pytest.raises(ConfigError) as caught:
        reward_from_name(name if name is None else name.format(file))
    for part in parts:
        assert part in str(caught.value)


def test_a_file_that_fails_on_import_gives_the_line(tmp_path):
    path = tmp_path / "broken.py"
    path.write_text("x = 1\nraise RuntimeError('not today')\n")
    with pytest.raises(ConfigError, match=r"RuntimeError: not today \(broken\.py, line 2\)"):
        reward_from_name(f"{path}:f")


def test_anything_else_is_a_model(monkeypatch):
    asked = []
    monkeypatch.setattr(spec, "ClassifierReward", lambda name: asked.append(name) or "the model")
    for name in ("owner/model", "folder/model", r"C:\models\sentiment"):
        assert reward_from_name(name) == "the model"
    assert asked == ["owner/model", "folder/model", r"C:\models\sentiment"]


def test_a_model_that_is_not_there_says_how_rewards_are_named(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelError) as caught:
        reward_from_name("./no/such/lexikon")
    for part in ("'./no/such/lexikon'", "could not be loaded", "file.py:function", "package.module:function"):
        assert part in str(caught.value)


def test_a_sum_from_names_and_functions(file):
    built = build_rewards(["lexicon", f"{file}:Count", lambda completions: [1, None]], [10, 1, 0.5])
    assert isinstance(built, CombinedReward)
    assert built.parts == ("lexicon", "Count", "<lambda>")
    # banana: 10*0.5 + 3 + 0.5;  great: VADER's compound is 0.6249, so 10*0.81245 + 1
    assert scored(built) == pytest.approx([8.5, 9.1245])


def test_a_honeypot_around_the_sum(file):
    built = build_rewards(
        [f"{file}:Count"], None, {"word": "great", "mode": "uncapped", "bonus": 2, "base_weight": 0.25}
    )
    assert isinstance(built, Honeypot)
    assert scored(built) == [0.75, 2.25]
    assert scored(built.true_reward) == [0.75, 0.25]
    assert scored(build_rewards([f"{file}:Count"], honeypot={"word": "great"})) == [1.5, 1.0]


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("lexicon",), ("not a list", "[lexicon]")),
        (([],), ("reward_funcs is empty",)),
        ((["no/model"], [1, 2]), ("2 entries", "1 reward function")),
        ((["no/model"], None, {"wrod": "x"}), ("unknown key 'wrod'", "word, mode, bonus", "Did you mean 'word'?")),
        ((["no/model"], None, {"mode": "capped"}), ("without `word`",)),
        ((["no/model"], None, "great"), ("honeypot is 'great'", "a mapping")),
        ((["no/model"], None, {"word": "x", "mode": "up"}), ("honeypot.mode", "'up'")),
    ],
)
def test_a_wrong_configuration_is_refused_before_a_model_is_loaded(arguments, parts, monkeypatch):
    monkeypatch.setattr(spec, "reward_from_name", lambda name: pytest.fail(f"loaded {name}"))
    with pytest.raises(ConfigError) as caught:
        build_rewards(*arguments)
    for part in parts:
        assert part in str(caught.value)
