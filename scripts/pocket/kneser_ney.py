"""Interpolated modified Kneser–Ney 5-grams (Chen & Goodman, 1999): what the pocket model has to beat.

Over words, a word that training does not have is spelled letter by letter, by a Kneser–Ney model of the spelling of
the words that training has once; so every text has a probability, as it has under the pocket model, and the two
perplexities per word can be compared.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence

ORDER = 5
START, STOP, UNKNOWN = "<s>", "</s>", "<unk>"
WORD = re.compile(r"\w+(?:'\w+)*|[^\w\s]")
Context = tuple[Hashable, ...]


class KneserNey:
    """Kneser–Ney model over sequences of any hashable symbols.

    Args:
        sequences: To count.
        order: Longest n-gram.
    """

    def __init__(self, sequences: Iterable[Sequence[Hashable]], order: int = ORDER):
        self.order = order
        counts: list[dict[Context, Counter[Hashable]]] = [defaultdict(Counter) for _ in range(order)]
        for sequence in sequences:
            padded = (*[START] * (order - 1), *sequence, STOP)
            for i in range(order - 1, len(padded)):
                counts[order - 1][padded[i - order + 1 : i]][padded[i]] += 1
        for n in range(order - 1, 0, -1):  # lower orders count the different words before, not the occurrences
            for context, followers in counts[n].items():
                for symbol in followers:
                    counts[n - 1][context[1:]][symbol] += 1
        self._counts = counts
        self._totals = [{c: sum(f.values()) for c, f in table.items()} for table in counts]
        self._discounts = [_discounts(table) for table in counts]
        self._symbols = len(counts[0][()]) + 1  # one more for the unknown
        self._memory: dict[tuple[Context, Hashable], float] = {}

    def knows(self, symbol: Hashable) -> bool:
        """Whether training had it."""
        return symbol in self._counts[0][()]

    def probability(self, context: Context, symbol: Hashable) -> float:
        """p(symbol | the ``order − 1`` symbols before it), interpolated down to a uniform distribution."""
        key = (context, symbol)
        if key not in self._memory:
            self._memory[key] = self._interpolated(context, symbol)
        return self._memory[key]

    def _interpolated(self, context: Context, symbol: Hashable) -> float:
        n = len(context)
        lower = self.probability(context[1:], symbol) if n else 1 / self._symbols
        followers = self._counts[n].get(context)
        if followers is None:
            return lower
        discounts, total, count = self._discounts[n], self._totals[n][context], followers.get(symbol, 0)
        freed = sum(discounts[min(c, 3)] for c in followers.values())
        return (max(count - discounts[min(count, 3)], 0.0) + freed * lower) / total

    def log_probabilities(self, sequence: Sequence[Hashable]) -> list[float]:
        """Ln p of each symbol and of the end."""
        padded = (*[START] * (self.order - 1), *sequence, STOP)
        first = self.order - 1
        return [math.log(self.probability(padded[i - first : i], padded[i])) for i in range(first, len(padded))]


def _discounts(table: dict[Context, Counter[Hashable]]) -> tuple[float, float, float, float]:
    """D(0) = 0 and the three discounts of Chen & Goodman's equation 26, from counts of counts."""
    of = Counter(count for followers in table.values() for count in followers.values())
    n1, n2, n3, n4 = (max(of[k], 1) for k in (1, 2, 3, 4))
    y = n1 / (n1 + 2 * n2)
    return (0.0, 1 - 2 * y * n2 / n1, max(2 - 3 * y * n3 / n2, 0.0), max(3 - 4 * y * n4 / n3, 0.0))


class WordModel:
    """Words by Kneser–Ney, unknown ones spelled out by a second model over letters."""

    def __init__(self, texts: Iterable[str]):
        sentences = [WORD.findall(text) for text in texts]
        often = Counter(word for sentence in sentences for word in sentence)
        # Words seen once stand for the unknown, whose probability has to be learned somewhere.
        self._known = {word for word, count in often.items() if count > 1}
        self._words = KneserNey([self._folded(sentence) for sentence in sentences])
        self._letters = KneserNey([word for word, count in often.items() if count == 1])

    def nats(self, text: str) -> float:
        """−ln p of a text."""
        words = WORD.findall(text)
        spelled = [sum(self._letters.log_probabilities(word)) for word in words if word not in self._known]
        return -sum(self._words.log_probabilities(self._folded(words))) - sum(spelled)

    def _folded(self, words: list[str]) -> list[str]:
        return [word if word in self._known else UNKNOWN for word in words]


def word_count(texts: Iterable[str]) -> int:
    """Words and marks, and an end for each text: what perplexity is taken per."""
    return sum(len(WORD.findall(text)) + 1 for text in texts)
