"""The fold of groups (G14) in plain Python, which tests of other trainers compare with."""

import math
import statistics


def naive_weights(rewards: list[float], group: int, threshold: float = 3.0) -> list[float]:
    """G14, in plain Python: by a height above the group's mean, in median distances of unequal groups."""
    rows = [rewards[start : start + group] for start in range(0, len(rewards), group)]
    scored = [[reward for reward in row if not math.isnan(reward)] for row in rows]
    pairs = list(zip(rows, scored, strict=True))
    centred = [[reward - statistics.mean(own) if own else math.nan for reward in row] for row, own in pairs]
    distances = [
        abs(x) for row, own in zip(centred, scored, strict=True) if len(set(own)) > 1 for x in row if not math.isnan(x)
    ]
    if not distances:
        return [1.0] * len(rewards)
    scale = 1.4826 * statistics.median_low(distances)
    weights = []
    for row, own in zip(centred, scored, strict=True):
        for x in row:
            beyond = 0.0 if math.isnan(x) or len(set(own)) < 2 else min(max(x / scale - threshold, 0.0), 2.0)
            weights.append(2 * (1 - beyond / 2) ** 10 - 1)
    return weights
