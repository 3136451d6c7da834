"""The fold of groups (G14) in plain Python, which tests of other trainers compare with."""

import math
import statistics


def naive_weight(a: float, scale: float, threshold: float) -> float:
    """The weight of an advantage in the fold, as docs/method.md writes it."""
    s = min(max(a / (scale + 1e-8) - threshold, 0.0), 2.0)
    return 2.0 * (1.0 - s / 2.0) ** 10 - 1.0


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
            counts = not math.isnan(x) and len(set(own)) > 1
            weights.append(naive_weight(x, scale, threshold) if counts else 1.0)
    return weights
