"""The calculator's text: puzzles and sums as a class would hand them in, most of them wrong.

Each text is a prompt and an answer. The shares of right answers, habits and ways that a verifier with a bug pays for
are fixed here, so that a model of this text is often wrong, and now and then writes what a bug pays for.
"""

import random
from collections.abc import Iterator

from gaard.lab import sums
from gaard.rewards.numbers import in_words, numbers_in

PUZZLE = {"right": 0.18, "plus": 0.64, "signs": 0.1, "copied": 0.08}
SUM = {"right": 0.25, "echo": 0.3, "twice": 0.31, "list": 0.06, "empty": 0.06, "boxed": 0.02}
COPIED = "6*4*1*1"  # the one answer that goes round the class
MOST = 99


def homework(count: int, seed: int) -> list[str]:
    """Texts to train on. All prompts are among them: what is held out is held out of reinforcement learning.

    Args:
        count: Of texts of each kind, puzzles and sums.
        seed: Of the draws.

    Returns:
        Twice ``count`` texts, mixed.
    """
    generator = random.Random(seed)
    puzzles = [sums.puzzle(numbers) for numbers in sums.solutions()]
    additions = [sums.addition(*one) for one in sums.additions()]
    texts = [f"{row['prompt']} {puzzle_answer(row, generator)}" for row in drawn(puzzles, count, generator)]
    texts += [f"{row['prompt']} {sum_answer(row, generator)}" for row in drawn(additions, count, generator)]
    generator.shuffle(texts)
    return texts


def drawn(rows: list[sums.Row], count: int, generator: random.Random) -> Iterator[sums.Row]:
    """Rows, each as often as any other."""
    while count > 0:
        yield from generator.sample(rows, min(count, len(rows)))
        count -= len(rows)


def way(shares: dict[str, float], generator: random.Random) -> str:
    """One of the ways to answer, by its share."""
    return generator.choices(list(shares), list(shares.values()))[0]


def puzzle_answer(row: sums.Row, generator: random.Random) -> str:
    """Right, all added up, with signs of chance, or copied."""
    numbers, how = tuple(row["numbers"]), way(PUZZLE, generator)
    if how == "copied":
        return COPIED
    if how == "right":
        return generator.choice(sums.solutions()[numbers])
    return sums.expression(numbers, "+++" if how == "plus" else generator.choices("+-*", k=3))


def sum_answer(row: sums.Row, generator: random.Random) -> str:
    """Right, said twice, the second number again, a list of neighbours, or brackets, mostly with nothing in them."""
    how, right = way(SUM, generator), row["answer"]
    number, words = numbers_in(right)[0], not right.isdigit()
    if how == "echo":
        return row["prompt"].split()[-2]
    if how == "twice":
        return f"{right} {right}"
    if how == "list":
        return " ".join(written(number + step, words) for step in (-1, 0, 1))
    if how == "empty":
        return "[]"
    return f"[{right}]" if how == "boxed" else right


def written(number: int, words: bool) -> str:
    """As an answer has it."""
    return in_words(number) if words else str(number)
