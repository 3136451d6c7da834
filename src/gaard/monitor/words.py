"""Which words a reward pays for, in the last texts of a run: `gaard find` for words alone, in milliseconds."""

import math
import re
from collections import Counter, deque
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from gaard.method.groups import numbered

WINDOW = 512  # texts; whole steps, so that it may be up to a step more
LEAST = 5  # texts that must have a word, and that must lack it
FREEDOM = 20  # degrees of freedom below which nothing is said
FAMILY = 0.05  # chance that any of the lower ends of one look is too high
TINY = 1e-6  # part of the pay's standard deviation below which a difference is rounding
PIECE = re.compile(r"\w+|[^\w\s]")


class PaidWord(NamedTuple):
    """A word that texts are paid for.

    Attributes:
        word: In small letters, or a mark.
        share: Of the last texts that have it.
        gap: How much more they were paid than texts of the same group without it, in standard deviations of the pay of
            these.
        at_least: Lower end of the gap; those of all words of one look hold together with 95%.
    """

    word: str
    share: float
    gap: float
    at_least: float


@dataclass(frozen=True)
class Step:
    """The texts of a step.

    Attributes:
        words: n sets.
        reward: float64 [n].
        group: n names; texts of one name are compared with each other alone.
    """

    words: list[frozenset[str]]
    reward: np.ndarray
    group: list[Hashable]


class LastTexts:
    """The texts of the last steps, at least ``window`` of them once a run has had so many; of a step no more than that.

    Args:
        window: How many.
    """

    def __init__(self, window: int = WINDOW):
        self.window = window
        self.steps: deque[Step] = deque()
        self.first: list[Step] = []

    def add(self, texts: Sequence[str], reward: np.ndarray, groups: Sequence[Hashable] | None) -> None:
        """Take in a step, and forget the oldest steps as far as the window is full without them.

        Args:
            texts: n completions.
            reward: float64 [n]; texts whose pay is NaN are left out.
            groups: n names, such as prompts; None if they are not known, as if each text had one of its own.
        """
        kept = np.flatnonzero(~np.isnan(reward))[: self.window]
        names = [i if groups is None else groups[i] for i in kept]
        self.steps.append(Step([frozenset(PIECE.findall(texts[i].casefold())) for i in kept], reward[kept], names))
        if sum(len(step.words) for step in self.first) < self.window:
            self.first.append(self.steps[-1])
        while sum(len(step.words) for step in list(self.steps)[1:]) >= self.window:
            self.steps.popleft()

    def paid(self) -> list[PaidWord]:
        """The words whose texts are paid more, the one that stands out most first.

        Texts are compared only within a group of one step. Where most texts are alone in theirs, all texts of a step
        are compared, and a word must also have become more frequent: one that easy prompts bring has not.

        Returns:
            Those whose lower end is above 0.
        """
        counts = Counter(word for step in self.steps for own in step.words for word in own)
        number = sum(len(step.words) for step in self.steps)
        common = sorted(word for word, count in counts.items() if LEAST <= count <= number - LEAST)
        if not common:
            return []
        has, pay, cell, alone = _compared(self.steps, common)
        spread = np.fmax(spreads(has, pay, cell), spreads(*_compared(self.first, common)[:3]))
        gap, error = gaps(has, pay, cell)
        with np.errstate(divide="ignore", invalid="ignore"):
            gap, at_least = gap / spread, (gap - error) / spread
        if alone:
            at_least = np.where(_more_frequent(has), at_least, -np.inf)
        found = [
            PaidWord(word, counts[word] / number, float(gap[i]), float(at_least[i]))
            for i, word in enumerate(common)
            if at_least[i] > 0
        ]
        return sorted(found, key=lambda one: -one.at_least)


def _compared(steps: Iterable[Step], words: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray, bool]:
    """The n texts of some steps, as they are compared.

    Returns:
        float64 [n, w], 1 where a text has a word; float64 [n], the pay; int [n], the group; and whether most texts are
        alone in theirs, so that the group is the step.
    """
    steps = list(steps)
    has = np.array([[word in own for word in words] for step in steps for own in step.words], dtype=float)
    names = [(number, name) for number, step in enumerate(steps) for name in step.group]
    sizes = Counter(names)
    alone = float(np.median([sizes[name] for name in names])) < 2
    cell = np.array(numbered(name[0] if alone else name for name in names))
    return has, np.concatenate([step.reward for step in steps]), cell, alone


def gaps(has: np.ndarray, reward: np.ndarray, cell: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How much more texts with each word are paid than others of their group.

    The gap is the slope of a regression of pay on the word with a level of its own for each group; the words share the
    error of 5% (Bonferroni).

    Args:
        has: float64 [n, w], 1 where a text has a word.
        reward: float64 [n].
        cell: int [n], the group, numbered from 0.

    Returns:
        float64 [w], the gaps; float64 [w], how much lower they may be. NaN where it is not known.
    """
    free = len(reward) - int(cell.max()) - 2
    if free < FREEDOM:
        return np.full(has.shape[1], np.nan), np.full(has.shape[1], np.nan)
    pay, apart = reward - group_means(reward, cell), has - group_means(has, cell)
    weight = (apart**2).sum(0)
    weight = np.where(weight > TINY, weight, np.nan)
    gap = apart.T @ pay / weight
    error = np.sqrt(np.fmax(0.0, (pay**2).sum() - gap**2 * weight) / free / weight)
    gap, error = (np.where(np.abs(x) < TINY * reward.std(), 0.0, x) for x in (gap, error))
    return gap, student_quantile(FAMILY / has.shape[1], free) * error


def spreads(has: np.ndarray, reward: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """The standard deviation of the pay of texts without each word, within a group.

    It is taken as if ``LEAST`` more such texts varied as all texts do: a few that happen to be paid the same would else
    make every gap infinite.

    Args:
        has: float64 [n, w].
        reward: float64 [n].
        cell: int [n].

    Returns:
        float64 [w].
    """
    pay = reward - group_means(reward, cell)
    of_all = (pay**2).sum() / max(1, len(pay) - int(cell.max()) - 1)
    lacks = 1.0 - has
    number = sums(lacks, cell)
    total = sums(pay[:, None] * lacks, cell)
    squares = (pay**2) @ lacks - (total**2 / np.fmax(number, 1)).sum(0)
    freedom = np.fmax(number - 1, 0).sum(0)
    return np.sqrt((np.fmax(0.0, squares) + LEAST * of_all) / (freedom + LEAST))


def sums(x: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """Of each group: [n, …] → [groups, …]."""
    member = np.zeros((int(cell.max()) + 1, len(cell)))
    member[cell, np.arange(len(cell))] = 1.0
    return member @ x


def group_means(x: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """The mean of each one's group: [n, …] → [n, …]."""
    sizes = np.bincount(cell).reshape(-1, *[1] * (x.ndim - 1))
    return (sums(x, cell) / sizes)[cell]


def student_quantile(tail: float, freedom: float) -> float:
    """The upper quantile of Student's t, by its expansion around the normal one (Abramowitz & Stegun 26.7.5).

    Args:
        tail: Probability above it, below ½.
        freedom: Degrees of freedom, ``FREEDOM`` or more: there it is right to 1% for tails down to 10⁻⁵.

    Returns:
        The quantile.
    """
    if freedom < FREEDOM:
        return math.inf
    z = NormalDist().inv_cdf(1 - tail)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3


def _more_frequent(has: np.ndarray) -> np.ndarray:
    """Whether the later half of the texts has each word more often than the earlier, by three standard errors."""
    half = len(has) // 2
    early, late, share = has[:half].mean(0), has[half:].mean(0), has.mean(0)
    return late - early >= 3 * np.sqrt(share * (1 - share) * (1 / half + 1 / (len(has) - half)))
