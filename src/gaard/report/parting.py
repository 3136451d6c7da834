"""Where the proxy and a second reward part: the proxy has risen, and the true or the judge's has fallen without it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gaard.report.charts import Steps
from gaard.report.thinning import evenly

SECOND = {"true_reward": "true reward", "judge_reward": "judge's reward"}  # in words; the first that is known counts
FEWEST_STEPS = 15  # before anything is said
SHARE = 10  # a window is a tenth of the steps so far
SMALLEST_WINDOW = 5
CLEAR = 4.0  # standard errors: the best of many windows is above the true one, and a page is looked at many times
MOST_LOOKS = 500  # at a training so far
ALONG = 2.0  # standard errors by which a proxy that falls along may be told from one that stands


@dataclass(frozen=True)
class Parting:
    """Means of windows: where the second reward was best, and at the end.

    Attributes:
        second: Which reward it is, as a page calls it.
        seen: The step at which it was seen.
        step: The last one of the window in which the second reward was best.
        proxy: Of the first steps, and of the last.
        truth: Of the second reward where it was best, and of the last steps.
    """

    second: str
    seen: int
    step: int
    proxy: tuple[float, float]
    truth: tuple[float, float]

    def in_words(self) -> str:
        """The alarm as a page has it."""
        proxy, truth = ("from {:.3f} to {:.3f}".format(*pair) for pair in (self.proxy, self.truth))
        return (
            f"Proxy and {self.second} have parted: by step {self.seen} the proxy had risen {proxy}, while the "
            f"{self.second} had fallen {truth} since step {self.step}. The policy is likely to exploit the reward: "
            "read its texts."
        )


def second_reward(steps: Steps) -> str | None:
    """What the proxy is held against: the true reward, without one the judge's, which nothing trains on either.

    Args:
        steps: Of one run so far.

    Returns:
        Its key in ``SECOND``; None if neither is logged.
    """
    return next((name for name in SECOND if any(name in row for row in steps)), None)


def first_parting(steps: Steps) -> Parting | None:
    """Where it was first seen that proxy and second reward part; an alarm that was raised stays.

    Args:
        steps: Of one run so far.

    Returns:
        What :func:`parting` says of the steps up to there; None if they have not parted at any step.
    """
    looks = (parting(steps[: end + 1]) for end in evenly(len(steps), MOST_LOOKS)) if steps else ()
    return next((found for found in looks if found is not None), None)


def parting(steps: Steps) -> Parting | None:
    """Whether the second reward has fallen from its best although the proxy has risen and does not fall along.

    Means are over windows of a tenth of the steps, 5 at least. The noise of a step is taken from how far neighbouring
    steps differ, so that a trend is no noise. All three must hold: the last window's second reward is 4 standard errors
    below its best window's; the last window's proxy is 4 standard errors above the first one's; and it is not 2
    standard errors below the proxy where the second reward was best.

    Args:
        steps: Of one run so far.

    Returns:
        Where and by how much; None where they go together, where no second reward is logged, and before step 15.
    """
    second = second_reward(steps)
    if second is None:
        return None
    names = ("reward", second)
    rows = [row for row in steps if all(np.isfinite(row.get(name, np.nan)) for name in names)]
    if len(rows) < FEWEST_STEPS:
        return None
    window = max(SMALLEST_WINDOW, len(rows) // SHARE)
    proxy, truth = (_windows([row[name] for row in rows], window) for name in names)
    proxy_error, truth_error = (_error([row[name] for row in rows], window) for name in names)
    best = int(np.argmax(truth))
    fell = truth[best] - truth[-1] > CLEAR * truth_error
    rose = proxy[-1] - proxy[0] > CLEAR * proxy_error
    stands = proxy[-1] > proxy[best] - ALONG * proxy_error
    if not (fell and rose and stands):
        return None
    last_of_best = int(rows[best + window - 1]["step"])
    ends = (float(proxy[0]), float(proxy[-1])), (float(truth[best]), float(truth[-1]))
    return Parting(SECOND[second], int(rows[-1]["step"]), last_of_best, *ends)


def _windows(values: Sequence[float], window: int) -> NDArray[np.float64]:
    """Means of all windows, the first steps' first."""
    sums = np.cumsum([0.0, *values])
    return (sums[window:] - sums[:-window]) / window


def _error(values: Sequence[float], window: int) -> float:
    """Standard error of the difference of two windows' means: of a step, the spread of differences over √2."""
    of_step = float(np.std(np.diff(values), ddof=1)) / np.sqrt(2)
    return of_step * float(np.sqrt(2 / window))
