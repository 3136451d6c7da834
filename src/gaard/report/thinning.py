"""What is kept of a long series, so that a page stays small."""

import numpy as np
from numpy.typing import NDArray


def evenly(length: int, most: int) -> NDArray[np.intp]:
    """Places spread evenly over a series.

    Args:
        length: Of the series, 1 or more.
        most: How many places at most, 1 or more.

    Returns:
        In rising order; the last of the series is among them, and, if there are two or more, the first.
    """
    return np.unique(np.linspace(length - 1, 0, min(length, most)).round().astype(np.intp))
