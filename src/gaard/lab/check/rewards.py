"""What rewards say by themselves: whether they are there, whether they differ, and who gets most."""

from collections.abc import Sequence

import numpy as np
from scipy import stats

from gaard.lab.check.completions import Pay, example
from gaard.lab.check.findings import Finding, Severity, share
from gaard.lab.check.statistics import Groups, Numbers

IDLE = 0.1  # share of the batches in which all rewards are the same, from which on it is a problem
MOSTLY = 0.8  # share of completions that are paid the same that is worth knowing
FAR = 5.0  # robust standard deviations; of 256 normal numbers one is as far in 10,000 checks
DECIDES = 0.5  # share of the squared distances from the median that few completions hold
FEWEST = 8  # completions that say anything of a spread
MEAN_DEVIATION = 1.2533  # standard deviations in a mean distance of normal numbers (Iglewicz and Hoaglin, 1993)


def scored(pay: Pay) -> Finding:
    """Whether every completion has a reward.

    Args:
        pay: What the completions are paid.

    Returns:
        A problem where training would have stopped.
    """
    size = len(pay.rewards)
    if pay.failures:
        seen = f"{share(len(pay.failures), size)} completions have no reward. The first: {pay.failures[0]}"
        return Finding("scores", "problem", seen, "training would stop there: mend the reward function")
    missing = {name: count for name, count in pay.unscored.items() if count}
    if missing:
        parts = ", ".join(f"{name!r} leaves out {share(count, size)}" for name, count in missing.items())
        remedy = "if these completions should be scored, return a number for them; another function's pay stands alone"
        return Finding("scores", "note", f"{parts}: it returned None", remedy)
    return Finding("scores", "fine", f"every one of {size} completions has a reward")


def constant(rewards: Numbers, differ: bool) -> Finding:
    """Whether rewards differ at all.

    Args:
        rewards: [n], finite.
        differ: Whether their spread is more than rounding.

    Returns:
        A problem if they do not.
    """
    if not differ:
        seen = f"all {len(rewards)} completions are paid {rewards[0]:.4g}"
        remedy = "there is nothing to learn from: check that the reward looks at the completion, and what it looks for"
        return Finding("constant", "problem", seen, remedy)
    ends = f"from {rewards.min():.4g} to {rewards.max():.4g}"
    return Finding("constant", "fine", f"rewards go {ends}, mean {rewards.mean():.4g}, std {rewards.std():.4g}")


def sparse(rewards: Numbers, batch_size: int) -> Finding:
    """Whether few completions are paid otherwise than most.

    Args:
        rewards: [n], finite, not all the same.
        batch_size: Completions a rollout.

    Returns:
        A problem if many batches would hold one reward only.
    """
    common, count = _most_common(rewards)
    size = len(rewards)
    idle = (count / size) ** batch_size
    severity: Severity = "problem" if count > size / 2 and idle > IDLE else "note" if count > MOSTLY * size else "fine"
    if severity == "fine":
        return Finding("sparse", "fine", f"the most common reward, {common:.4g}, goes to {share(count, size)}")
    others = rewards[rewards != common]
    batches = f"{100 * idle:.0f}% of the batches of {batch_size} would hold nothing else"
    if (others > common).mean() >= 0.5:
        seen = f"few succeed: {share(len(others), size)} are paid otherwise than {common:.4g}; {batches}"
        remedy = "easier prompts, or pay for steps towards success, or a larger batch_size. Not method 'fold'"
    else:
        seen = f"nearly all succeed: {share(count, size)} are paid {common:.4g}; {batches}"
        remedy = "harder prompts, or a reward that tells good from better"
    return Finding("sparse", severity, seen, remedy)


def _most_common(rewards: Numbers) -> tuple[float, int]:
    """The reward that most completions have, and how many."""
    values, counts = np.unique(rewards, return_counts=True)
    return float(values[counts.argmax()]), int(counts.max())


def tail(rewards: Numbers, texts: Sequence[str]) -> Finding:
    """Whether a few completions earn far more than the others, or far less.

    Where most have one reward, as with rare successes, the others are looked at: between 0 and 1 there is no tail.

    Args:
        rewards: [n], finite, not all the same.
        texts: n completions.

    Returns:
        A problem if those that earn far more decide what is learned.
    """
    common, count = _most_common(rewards)
    looked = rewards != common if count > len(rewards) / 2 else np.ones(len(rewards), dtype=bool)
    values = rewards[looked]
    if len(values) < FEWEST or np.ptp(values) == 0:
        return Finding("heavy tail", "fine", f"{len(np.unique(rewards))} different rewards, none far above the others")
    distance = values - np.median(values)
    unit = stats.median_abs_deviation(values, scale="normal") or MEAN_DEVIATION * np.abs(distance).mean()
    above, below = distance > FAR * unit, distance < -FAR * unit
    held = float((distance[above] ** 2).sum() / (distance**2).sum())
    if not above.any() and not below.any():
        most = f"{distance.max() / unit:.3g} robust standard deviations above the median"
        return Finding("heavy tail", "fine", f"the best paid completion is {most}")
    if not above.any():
        seen = f"{share(int(below.sum()), len(rewards))} are paid far less than the others, down to {values.min():.4g}"
        return Finding("heavy tail", "note", seen, "if that is not meant: reward_clip, such as --reward_clip 3")
    best = np.flatnonzero(looked)[above]
    top = int(best[rewards[best].argmax()])
    seen = (
        f"{share(len(best), len(rewards))} are paid far more than the others, up to {rewards[top]:.4g} "
        f"({distance.max() / unit:.3g} robust standard deviations above the median), and hold {100 * held:.0f}% of the "
        f"squared spread. The best paid: {example(texts[top])}"
    )
    remedy = (
        "read these texts. If they are good: a flatter reward (its logarithm, --reward_clip 3), and not method 'fold'. "
        "If not, they are what training would learn: mend the reward"
    )
    return Finding("heavy tail", "problem" if held >= DECIDES else "note", seen, remedy)


def prompts(rewards: Numbers, groups: Groups, texts: Sequence[str]) -> Finding:
    """Whether the completions of one prompt are told apart.

    Args:
        rewards: [n], finite, not all the same.
        groups: int [n], the prompts.
        texts: n completions.

    Returns:
        A problem if the reward depends on the prompt alone.
    """
    rows = [groups == group for group in np.unique(groups)]
    rows = [row for row in rows if row.sum() > 1]
    if not rows:
        return Finding("prompts", "note", "no prompt has two completions, so unknown", "look at more completions")
    alike = sum(len({texts[int(index)] for index in np.flatnonzero(row)}) == 1 for row in rows)
    if alike == len(rows):
        seen = f"each of {len(rows)} prompts has one text for all its completions"
        return Finding("prompts", "problem", seen, "nothing is explored: a higher temperature")
    equal = sum(np.ptp(rewards[row]) == 0 for row in rows)
    seen = f"in {share(equal, len(rows))} prompts all completions are paid the same"
    if equal == len(rows):
        remedy = "the reward looks at the prompt alone, which a policy cannot change: let it look at the completion"
        return Finding("prompts", "problem", seen, remedy)
    if equal > len(rows) / 2:
        return Finding("prompts", "note", seen, "these prompts teach little: leave out what is too easy or too hard")
    return Finding("prompts", "fine", seen)
