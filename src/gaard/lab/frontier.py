"""Arms at equal KL: so that one which only learns less is seen to."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaard.lab.measures import OF_RUN
from gaard.lab.statistics import mean_interval

KL_LEVELS = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)  # nats a token
AT_EQUAL_KL = ("hack_rate", "true_reward")  # what arms are compared by there
SMOOTHING = 5  # steps in the running mean: a rollout's hack rate is of some dozens of completions


def running_mean(values: Sequence[float] | NDArray[np.float64], window: int = SMOOTHING) -> NDArray[np.float64]:
    """Mean of the last few values at each place.

    Args:
        values: [n].
        window: How many, fewer at the start.

    Returns:
        [n].
    """
    # Not by cumulative sums: one number that is not finite would stay in all that follow.
    return np.array([np.mean(values[max(0, stop - window) : stop]) for stop in range(1, len(values) + 1)])


def knows_hacks(measures: Mapping[str, Any]) -> bool:
    """Whether a step, a run or an arm has both that a frontier is of."""
    return all(name in measures for name in AT_EQUAL_KL)


def at_kl(rows: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Where a run stood when it had first moved so far from the untrained model, between steps interpolated.

    Args:
        rows: Its ``metrics.jsonl``, whose ``kl_ref`` must be to the untrained model.

    Returns:
        KL level → ``step`` and each measure of ``AT_EQUAL_KL`` there, all of them running means; without levels that
        the run never reached, and empty where one of these measures is not known.
    """
    if not rows or not knows_hacks(rows[0]):
        return {}
    kl, *compared = (running_mean([row[name] for row in rows]) for name in ("kl_ref", *AT_EQUAL_KL))
    reached = {}
    for level in KL_LEVELS:
        beyond = np.flatnonzero(kl >= level)
        if len(beyond):
            last, first = max(0, int(beyond[0]) - 1), int(beyond[0])
            # A fast arm would else be taken further out than a slow one, which is what this is to undo.
            part = (level - kl[last]) / (kl[first] - kl[last]) if first > last else 1.0
            columns = [np.array([row["step"] for row in rows]), *compared]
            values = [float(x[last] + part * (x[first] - x[last])) for x in columns]
            reached[f"{level:g}"] = dict(zip(("step", *AT_EQUAL_KL), values, strict=True))
    return reached


def frontier_area(rows: Sequence[Mapping[str, float]], end: Mapping[str, float]) -> float:
    """What a run can have, stopped at its best: the area that its steps and its end dominate, larger for more of both.

    Each is a point of honest share (1 − hack rate) and of true reward above that of the first rollout, which is the
    untrained model's; the area is of all that lies between 0 and any of them (dominated hypervolume; Zitzler and
    Thiele, 1999). The best of many noisy points: a run that learns nothing has some hundredths of the rewards' scale.

    Args:
        rows: Its ``metrics.jsonl``, at least one; measures are running means.
        end: The measures after training.

    Returns:
        The area, in units of the true reward; never negative.
    """
    hacked = np.append(running_mean([row["hack_rate"] for row in rows]), end["hack_rate"])
    true = np.append(running_mean([row["true_reward"] for row in rows]), end["true_reward"])
    honest, gained = 1.0 - hacked, true - rows[0]["true_reward"]
    # By falling gain, each point adds the strip in which it is the most honest so far.
    area, widest = 0.0, 0.0
    for place in np.argsort(-gained, kind="stable"):
        if gained[place] > 0 and honest[place] > widest:
            area += float(gained[place] * (honest[place] - widest))
            widest = float(honest[place])
    return area


def frontier(runs: Sequence[Mapping[str, Any]], arms: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Hack rate against true reward at equal KL, over the seeds of one scenario.

    Args:
        runs: Finished ones, as dictionaries of :class:`gaard.lab.compare.Run`.
        arms: Their names.

    Returns:
        KL level → arm → measure → interval of the runs that reached the level (``n``), and ``runs``, how many there
        are in all.
    """
    levels: dict[str, dict[str, Any]] = {}
    for level in (f"{level:g}" for level in KL_LEVELS):
        for arm in arms:
            own = [run["at_kl"] for run in runs if run["arm"] == arm]
            there = [reached[level] for reached in own if level in reached]
            if there:
                found = {
                    name: vars(mean_interval([one[name] for one in there], OF_RUN[name].bounds)) for name in AT_EQUAL_KL
                }
                levels.setdefault(level, {})[arm] = {**found, "runs": len(own)}
    return levels
