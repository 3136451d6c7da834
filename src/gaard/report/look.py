"""How arms look, the same in every chart, and the layout that all charts share."""

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

# At least 3 : 1 against white and against the page's dark paper.
PALETTE = ("#d9622b", "#3b82f6", "#1f9d68", "#a855f7", "#0f9aa3", "#b08504", "#e2457b", "#7a8794")
DASHES = ("solid", "dash", "dot", "dashdot")
MARKS = ("circle", "square", "diamond", "cross")
ARMS_A_ROW = 6  # of the legend, about
SHOWN_AT_FIRST = 6  # arms; the legend shows the others
MOST_POINTS = 200  # of a curve


class Look:
    """Colour and dash of each arm, by its place.

    Args:
        arms: Names, the baseline first.
    """

    def __init__(self, arms: Sequence[str]):
        self.arms = list(arms)

    def line(self, arm: str) -> dict[str, str]:
        """Of its curves."""
        return {"color": self.colour(arm), "dash": DASHES[self._lap(arm) % len(DASHES)]}

    def mark(self, arm: str) -> dict[str, Any]:
        """Of its points on the frontier."""
        return {"color": self.colour(arm), "symbol": MARKS[self._lap(arm) % len(MARKS)], "size": 11}

    def colour(self, arm: str) -> str:
        """Of its points."""
        return PALETTE[self.arms.index(arm) % len(PALETTE)]

    def faint(self, arm: str) -> str:
        """Of its bands."""
        red, green, blue = (int(self.colour(arm)[i : i + 2], 16) for i in (1, 3, 5))
        return f"rgba({red}, {green}, {blue}, 0.18)"

    def _lap(self, arm: str) -> int:
        """How often all colours were used up before it."""
        return self.arms.index(arm) // len(PALETTE)

    def visible(self, arm: str) -> bool | str:
        """Whether it is shown before the legend is touched."""
        return True if self.arms.index(arm) < SHOWN_AT_FIRST else "legendonly"


def laid_out(figure: go.Figure, height: int, arms: int) -> go.Figure:
    """A figure without a theme of its own, and with room for the legend of so many arms.

    Args:
        figure: Changed in place.
        height: Of the plot and its margins, in pixels, without the legend.
        arms: In the legend.

    Returns:
        The same figure.
    """
    rows = -(-arms // ARMS_A_ROW)
    legend = {"orientation": "h", "yanchor": "top", "y": -70 / height, "x": 0}
    margin = {"l": 56, "r": 16, "t": 36, "b": 60 + 24 * rows}
    figure.update_layout(
        template="none", height=height + 24 * rows, margin=margin, legend=legend, font={"size": 13}, autosize=True
    )
    figure.update_annotations(font={"size": 13})
    figure.update_xaxes(title_font={"size": 13}, title_standoff=4)
    figure.update_yaxes(title_font={"size": 13})
    return figure
