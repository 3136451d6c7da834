"""Rank statistics within prompts: what differs between prompts is nothing that a policy could learn."""

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Numbers = NDArray[np.float64]
Groups = NDArray[np.int64]

LEVEL = 0.001  # of significance


def ranks_within(values: Numbers, groups: Groups) -> Numbers:
    """The rank of each value among those of its group, from 1; ties share their mean.

    Args:
        values: [n].
        groups: int [n], from 0.

    Returns:
        [n].
    """
    ranks = np.empty(len(values))
    for group in np.unique(groups):
        rows = groups == group
        ranks[rows] = stats.rankdata(values[rows])
    return ranks


def rank_correlation(x: Numbers, y: Numbers, groups: Groups) -> tuple[float, float] | None:
    """Spearman's correlation within groups: of the ranks over all, less each group's mean rank.

    Args:
        x: [n].
        y: [n].
        groups: int [n], from 0.

    Returns:
        The correlation, and the probability of one as far from 0 by chance; None where x or y does not vary.
    """
    centred = [_less_group_means(stats.rankdata(values), groups) for values in (x, y)]
    if len(x) < 3 or any(np.ptp(values) < 1e-9 for values in centred):
        return None
    found = stats.pearsonr(*centred)
    return float(found.statistic), float(found.pvalue)


def _less_group_means(values: Numbers, groups: Groups) -> Numbers:
    """Values as distances from their group's mean."""
    return values - (np.bincount(groups, values) / np.bincount(groups))[groups]


def paid_more(chosen: NDArray[np.bool_], ranks: Numbers, groups: Groups) -> tuple[float, float] | None:
    """How often a chosen completion is paid more than another of its group (Mann and Whitney, 1947, group by group).

    Args:
        chosen: bool [n].
        ranks: Of the rewards, as :func:`ranks_within` gives them.
        groups: int [n], from 0.

    Returns:
        The share of pairs, of which ties count half; and the probability of a share as far from one half by chance.
        None where no group has both.
    """
    sizes = np.bincount(groups)
    ones = np.bincount(groups[chosen], minlength=len(sizes))
    wins = np.bincount(groups[chosen], ranks[chosen], minlength=len(sizes)) - ones * (ones + 1) / 2
    pairs = ones * (sizes - ones)
    if not pairs.sum():
        return None
    spread = np.sqrt((pairs * (sizes + 1)).sum() / 12)
    surprise = (wins.sum() - pairs.sum() / 2) / spread
    return float(wins.sum() / pairs.sum()), float(2 * stats.norm.sf(abs(surprise)))
