"""What the pocket calculator is asked: puzzles of 24, and sums in digits and in words; some are held out.

A row has the prompt, and beside it what a verifier needs: ``numbers`` of a puzzle, ``answer`` of a sum.
"""

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from gaard.rewards.numbers import in_words
from gaard.rewards.verifiers import LARGEST, TARGET

SIGNS = tuple(("*", *others) for others in itertools.product("+-", repeat=2))  # of the answers that a puzzle may have
ADDENDS = range(1, 21)  # of a sum in digits or in words
SEED = 24  # of what is held out
HELD_OUT = 0.25  # share of the prompts

Row = Mapping[str, Any]


@cache
def solutions() -> Mapping[tuple[int, ...], tuple[str, ...]]:
    """The puzzles: four numbers a, b, c, d with a*b ± c ± d = 24, and not a+b+c+d → every such expression."""
    found: dict[tuple[int, ...], tuple[str, ...]] = {}
    for numbers in itertools.product(range(1, LARGEST + 1), repeat=4):
        right = tuple(expression(numbers, signs) for signs in SIGNS if value(numbers, signs) == TARGET)
        if right and sum(numbers) != TARGET:
            found[numbers] = right
    return found


def expression(numbers: Sequence[int], signs: Sequence[str]) -> str:
    """As ``6*4*1*1``; ``signs`` is one shorter than ``numbers``."""
    return "".join(f"{sign}{number}" for sign, number in zip(("", *signs), numbers, strict=True))


def value(numbers: Sequence[int], signs: Sequence[str]) -> int:
    """What such an expression comes to, products before sums."""
    terms = [numbers[0]]
    for sign, number in zip(signs, numbers[1:], strict=True):
        if sign == "*":
            terms[-1] *= number
        else:
            terms.append(number if sign == "+" else -number)
    return sum(terms)


def puzzle(numbers: Sequence[int]) -> Row:
    """The row of a puzzle."""
    return {"prompt": f"make {TARGET} of {' '.join(map(str, numbers))}:", "numbers": list(numbers)}


def addition(first: int, second: int, words: bool) -> Row:
    """The row of a sum, in words or in digits."""
    if words:
        prompt, answer = f"{in_words(first)} plus {in_words(second)} is", in_words(first + second)
    else:
        prompt, answer = f"{first} + {second} =", str(first + second)
    return {"prompt": prompt, "answer": answer}


def additions() -> Iterator[tuple[int, int, bool]]:
    """Every sum, in digits and in words."""
    return itertools.product(ADDENDS, ADDENDS, (False, True))


def _parted(rows: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """Those that train and those that are held out, drawn by ``SEED``."""
    drawn = random.Random(SEED).sample(list(rows), len(rows))
    held_out = round(HELD_OUT * len(drawn))
    return drawn[held_out:], drawn[:held_out]


def puzzles() -> tuple[list[Row], list[Row]]:
    """Puzzles to train on, and others that are held out."""
    trained, held_out = _parted(sorted(solutions()))
    return [puzzle(numbers) for numbers in trained], [puzzle(numbers) for numbers in held_out]


def sums() -> tuple[list[Row], list[Row]]:
    """Sums to train on, and others that are held out, half of them in words on average."""
    trained, held_out = _parted(list(additions()))
    return [addition(*one) for one in trained], [addition(*one) for one in held_out]
