"""What is paid beside what was meant: length, being cut off, a single word."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gaard.lab.check.findings import Finding, share
from gaard.lab.check.statistics import LEVEL, Groups, Numbers, paid_more, rank_correlation, ranks_within
from gaard.rewards.shaping import words as words_of

TIED, SOMEWHAT = 0.5, 0.3  # rank correlation with length
APART = 0.2  # how far from one half the share of pairs is that cut-off completions win
OFTEN, RARELY = 0.9, 5  # a word that more texts or fewer have says nothing
WORDS_LEVEL = 0.01  # of significance, over all words together
DECIDES, GOES_ALONG = 0.98, 0.75  # share of pairs that texts with a word win
LISTED = 5


def truncation(
    rewards: Numbers | None, ended: NDArray[np.bool_], groups: Groups, limit: int, eos_known: bool = True
) -> Finding:
    """How many completions are cut off, and whether they are paid otherwise.

    Args:
        rewards: [n], finite; None if they are not to be looked at.
        ended: bool [n], whether a completion came to an end.
        groups: int [n], the prompts.
        limit: ``max_completion_length``.
        eos_known: Whether there is a token that ends a completion.

    Returns:
        A problem if none ends, or if those that are cut off are paid otherwise.
    """
    cut, size = int((~ended).sum()), len(ended)
    seen = f"{share(cut, size)} completions are cut off at max_completion_length={limit}"
    if not eos_known:
        remedy = "neither tokenizer nor generation config names an eos token: set it, if texts should come to an end"
        return Finding("truncated", "problem", f"{seen}: no token ends a completion", remedy)
    if cut == size:
        remedy = (
            "the reward sees fragments only, and no eos token was ever sampled: a larger max_completion_length; for a "
            "chat model, prompts in its template"
        )
        return Finding("truncated", "problem", seen, remedy)
    found = None if rewards is None else paid_more(~ended, ranks_within(rewards, groups), groups)
    if rewards is not None and found is not None and abs(found[0] - 0.5) >= APART and found[1] < LEVEL:
        means = f"mean reward {rewards[~ended].mean():.4g}, of the others {rewards[ended].mean():.4g}"
        direction = "to be cut off" if found[0] > 0.5 else "to end early, whatever else it writes"
        remedy = f"the policy would learn {direction}: a larger max_completion_length, or pay both alike"
        return Finding("truncated", "problem", f"{seen}, and paid otherwise: {means}", remedy)
    if cut > size / 2:
        remedy = "the reward sees mostly fragments: a larger max_completion_length, unless that is meant"
        return Finding("truncated", "note", seen, remedy)
    return Finding("truncated", "fine", seen)


def length(rewards: Numbers, texts: Sequence[str], tokens: NDArray[np.int64], groups: Groups) -> Finding:
    """Whether the reward goes with length, by tokens, words or characters.

    Args:
        rewards: [n], finite, not all the same.
        texts: n completions.
        tokens: int [n], their lengths in tokens.
        groups: int [n], the prompts.

    Returns:
        A problem for a strong rank correlation within prompts.
    """
    lengths = {
        "tokens": tokens.astype(float),
        "words": np.array([len(text.split()) for text in texts], dtype=float),
        "characters": np.array([len(text) for text in texts], dtype=float),
    }
    found = {unit: rank_correlation(rewards, values, groups) for unit, values in lengths.items()}
    known = {unit: one for unit, one in found.items() if one is not None}
    if not known:
        return Finding("length", "note", "rewards or lengths do not differ within a prompt, so unknown")
    unit, (correlation, chance) = max(known.items(), key=lambda item: abs(item[1][0]))
    seen = f"rank correlation of reward and length in {unit}: {correlation:.2f}, within prompts"
    if abs(correlation) < SOMEWHAT or chance >= LEVEL:
        return Finding("length", "fine", seen)
    way = "longer" if correlation > 0 else "shorter"
    remedy = (
        f"training would make texts {way}. If length is not what you mean, take it out of the reward: no method here "
        "holds back a pay for length"
    )
    return Finding("length", "problem" if abs(correlation) >= TIED else "note", seen, remedy)


def words(rewards: Numbers, texts: Sequence[str], groups: Groups) -> Finding:
    """Whether the texts with some word are paid more than the others.

    Args:
        rewards: [n], finite, not all the same.
        texts: n completions.
        groups: int [n], the prompts.

    Returns:
        A problem if a word decides the reward; a note with the words that go along with it.
    """
    holders: dict[str, list[int]] = defaultdict(list)
    for index, text in enumerate(texts):
        for word in set(words_of(text)):
            holders[word].append(index)
    tested = {word: rows for word, rows in holders.items() if RARELY <= len(rows) <= OFTEN * len(texts)}
    ranks, found = ranks_within(rewards, groups), []
    for word, rows in tested.items():
        has = np.zeros(len(texts), dtype=bool)
        has[rows] = True
        result = paid_more(has, ranks, groups)
        if result is not None and result[0] >= GOES_ALONG and result[1] * len(tested) < WORDS_LEVEL:
            found.append((result[0], word, has))
    if not found:
        return Finding("words", "fine", f"none of {len(tested)} words goes with a high reward")
    found.sort(key=lambda one: (-one[0], one[1]))
    seen = "; ".join(
        f"texts with {word!r}, {share(int(has.sum()), len(texts))}, win {100 * won:.0f}% of comparisons (mean reward "
        f"{rewards[has].mean():.4g}, without it {rewards[~has].mean():.4g})"
        for won, word, has in found[:LISTED]
    )
    if found[0][0] < DECIDES:
        return Finding("words", "note", seen, "expect more of these words; fine if they are part of what you mean")
    remedy = f"{found[0][1]!r} alone decides the reward: mend the reward, unless the word is what you want"
    return Finding("words", "problem", seen, remedy)
