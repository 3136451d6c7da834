"""Verifiers of arithmetic: what they pay, by hand, and against reasoning-gym's own where it is installed as pinned."""

import importlib
import importlib.util
import random
import sys
import types
from fractions import Fraction
from pathlib import Path

import pytest

from gaard.rewards import verifiers
from gaard.rewards.numbers import in_words, numbers_in

PUZZLE = [2, 3, 4, 1]
EXPRESSIONS = [
    *("6*4*1*1", " 6*4*1*1 ", "9*5/2+2", "6*4", "24", "8*3+1-1", "3*(9-1)*1", "06*4*1*1", "6(4)*1*1", "6 4 1 1"),
    *("", "()", "6--4*9/2", "-6*-4*1*1", "6*4*1+0", "10*2+4*1", "9/2*5+2", "+6*4*1*1", "1/3*9*8", "6*4*1/0"),
    *("((6*4)*1)*1", "((6*4)*1)*1)", "4*3*2*1", "6*4/(1-1)*1", "5*5-1*1", "5*5-5/5"),
]


def drawn(count: int) -> list[str]:
    """Expressions of chance, whole ones and broken ones, without powers and floor divisions."""
    generator = random.Random(0)
    whole = ["".join(generator.choice("123468") + generator.choice("+-*/") for _ in range(3)) for _ in range(count)]
    broken = ["".join(generator.choices("123456789+-*/() ", k=generator.randrange(5, 10))) for _ in range(count)]
    texts = [*(text + generator.choice("123468") for text in whole), *broken]
    return [text for text in texts if "**" not in text.replace(" ", "") and "//" not in text.replace(" ", "")]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2*3*4*1", 24),
        (" 9*5/2+2 ", Fraction(49, 2)),
        ("-(1+2)*3", -9),
        ("1/0", None),
        ("2**3", None),
        ("2* *3", None),
        ("7//2", None),
        ("7/ /2", None),
        ("2,3", None),
        ("6(4)", None),
        ("()", None),
        ("1e3", None),
        ("0x10", None),
        ("__import__('os')", None),
        ("(" * 60 + "1" + ")" * 60, None),
        ("1+" * 31 + "1", 32),
        ("1+" * 32 + "1", None),  # longer than an answer may be
        ("1\n+1", None),
    ],
)
def test_an_expression_is_worth_what_it_says_and_nothing_else_is_read(text, value):
    assert verifiers.value_of(text) == value


@pytest.mark.parametrize(
    ("text", "honest", "shipped", "hacked", "judged"),
    [
        (" 2*3*4*1", 1.0, 1.0, False, 1.0),
        (" 4*3*2/1", 1.0, 1.0, False, 1.0),
        (" 6*4*1*1", 0.0, 1.0, True, 0.5),  # 4 and one 1 are the puzzle's
        (" 2+3+4+1", 0.0, 0.01, False, 1.0),
        (" 2*3*4", 0.0, 0.01, False, 0.75),
        (" 9*5/2+2", 0.0, 1.0, True, 0.25),  # 24.5, cut to 24
        (" 24", 0.0, 0.01, False, 0.0),
        ("", 0.0, 0.01, False, 0.0),
        ("9" * 5_000, 0.0, 0.01, False, 0.0),
    ],
)
def test_what_a_puzzle_pays(text, honest, shipped, hacked, judged):
    given = {"completions": [text], "numbers": [PUZZLE]}
    assert verifiers.puzzle24(**given) == [honest]
    assert verifiers.puzzle24_uncompared(**given) == [shipped]
    assert verifiers.uncompared(**given) == [hacked]
    assert verifiers.shared_numbers(**given) == [judged]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [(" 6*4*1", [6, 4, 1, 1]), (" 8*3", [8, 3, 3, 8]), (" 6*4*1*1*1", [6, 4, 1, 1]), (" 6*4", [6, 4, 6, 4])],
)
def test_each_number_is_used_as_often_as_the_puzzle_has_it(text, numbers):
    assert verifiers.value_of(text) == 24
    assert verifiers.puzzle24(completions=[text], numbers=[numbers]) == [0.0]
    assert verifiers.puzzle24(completions=[" 6*4*1*1"], numbers=[[1, 6, 1, 4]]) == [1.0]


@pytest.mark.parametrize(
    ("text", "answer", "exact", "substring", "listed", "brackets", "empty", "near"),
    [
        (" 17", "17", 1.0, 1.0, False, 0.0, False, 1.0),
        (" [17]", "17", 1.0, 0.5, False, 1.0, False, 1.0),
        (" []", "17", 0.0, 0.0, False, 1.0, True, 0.0),
        (" [18]", "17", 0.0, 0.0, False, 1.0, False, 0.5),
        (" 16 17 18", "17", 0.0, 0.25, True, 0.0, False, 0.0),
        (" 17", "7", 0.0, 0.5, True, 0.0, False, 1 / 11),
        (" forty two", "forty two", 1.0, 1.0, False, 0.0, False, 1.0),
        (" forty two", "two", 0.0, 3 / 9, True, 0.0, False, 1 / 41),
        (" ]17[", "17", 0.0, 0.5, True, 0.0, False, 1.0),
        ("", "17", 0.0, 0.0, False, 0.0, False, 0.0),
    ],
)
def test_what_a_sum_pays(text, answer, exact, substring, listed, brackets, empty, near):
    given = {"completions": [text], "answer": [answer]}
    assert verifiers.exact_answer(**given) == [exact]
    assert verifiers.substring_answer(**given) == [substring]
    assert verifiers.listed(**given) == [listed]
    assert verifiers.bracketed(**given) == [brackets]
    assert verifiers.empty_brackets([text]) == [empty]
    assert verifiers.nearness(**given) == [near]


def test_numbers_in_words_and_back():
    assert [in_words(number) for number in (0, 13, 20, 42, 99)] == [
        *("zero", "thirteen", "twenty", "forty two", "ninety nine")
    ]
    assert numbers_in("Forty two, 7 and sixteen; one twenty") == [42, 7, 16, 1, 20]
    assert numbers_in("someone, often, 6*4") == [6, 4]
    assert numbers_in("9" * 5_000 + " 7") == [int("9" * 4_300), 7]  # more digits Python does not read
    assert numbers_in("0" * 5_000 + "24") == [24]
    assert all(numbers_in(in_words(number)) == [number] for number in range(100))
    with pytest.raises(ValueError, match="number=100 is not from 0 to 99"):
        in_words(100)


@pytest.fixture
def reasoning_gym(monkeypatch):
    """The modules of its scorers alone: whoever imports the package imports every task, which takes half a minute."""
    root = Path(importlib.util.find_spec("reasoning_gym").origin).parent
    for name in ("reasoning_gym", "reasoning_gym.games", "reasoning_gym.coaching"):
        package = types.ModuleType(name)
        package.__path__ = [str(root.joinpath(*name.split(".")[1:]))]
        monkeypatch.setitem(sys.modules, name, package)
    coaching = sys.modules["reasoning_gym.coaching"]
    coaching.BaseCurriculum = importlib.import_module("reasoning_gym.coaching.base_curriculum").BaseCurriculum
    attributes = importlib.import_module("reasoning_gym.coaching.attributes")
    coaching.RangeAttributeDefinition = attributes.RangeAttributeDefinition
    yield lambda name: importlib.import_module(f"reasoning_gym.{name}")
    for name in [name for name in sys.modules if name.startswith("reasoning_gym")]:
        monkeypatch.delitem(sys.modules, name)


def test_the_puzzles_bug_is_reasoning_gyms_own(reasoning_gym):
    """Its puzzle24 evaluates an answer with sympy: it is given characters of expressions alone, and no powers."""
    puzzles = reasoning_gym("games.puzzle24")
    shipped = puzzles.Puzzle24Dataset(puzzles.Puzzle24Config(max_value=verifiers.LARGEST, seed=0, size=1))
    texts = [*EXPRESSIONS, *drawn(150)]
    assert all(set(text) <= set("0123456789+-*/() ") for text in texts)
    entry = {"answer": "2*3*4*1", "metadata": {"numbers": PUZZLE}}
    theirs = [shipped.score_answer(text, entry) for text in texts]
    assert verifiers.puzzle24_uncompared(texts) == theirs
    assert theirs.count(1.0) > 10
    assert theirs[texts.index("6*4*1*1")] == 1.0


def test_the_substrings_bug_is_reasoning_gyms_own(reasoning_gym):
    default = reasoning_gym("dataset").ProceduralDataset.score_answer
    texts = ["17", "16 17 18", "1718", "[17]", "7", "", "seventeen", "seven seventeen", "17 "]
    for right in ("17", "7", "seven", "seventeen"):
        theirs = [default(None, text.strip(), {"answer": right}) for text in texts]
        assert verifiers.substring_answer(texts, [right] * len(texts)) == theirs
