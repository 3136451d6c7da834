"""How arms look, the same in every chart, and the layout that all charts share."""

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

# At least 3 : 1 against white and against the page's dark paper.
PALETTE = ("#d9622b", "#3b82f6", "#1f9d68", "#a855f7", "#0f9aa3", "#b08504", "#e2457b", "#7a8794")
DASHES = ("solid", "dash", "dot", "dashdot")
# One fewer than colours, so that 56 arms differ in their marks. The page's key has a letter for each.
MARKS = {
    "circle": "●",
    "square": "■",
    "diamond": "◆",
    "cross": "✚",
    "triangle-up": "▲",
    "star": "★",
    "triangle-down": "▼",
}
SHOWN_AT_FIRST = 6  # arms; the boxes above the charts show the others
MOST_POINTS = 200  # of a curve


class Look:
    """Colour, dash and mark of each arm, by its place.

    Args:
        arms: Names, the baseline first.
    """

    def __init__(self, arms: Sequence[str]):
        self.arms = list(arms)

    def line(self, arm: str) -> dict[str, str]:
        """Of its curves."""
        return {"color": self.colour(arm), "dash": DASHES[self._place(arm) // len(PALETTE) % len(DASHES)]}

    def mark(self, arm: str) -> dict[str, Any]:
        """Of its points on the frontier."""
        return {"color": self.colour(arm), "symbol": self._symbol(arm), "size": 11}

    def key(self, arm: str) -> dict[str, Any]:
        """What the page shows of it beside its name."""
        shown = self.visible(arm) is True
        return {"name": arm, "colour": self.colour(arm), "letter": MARKS[self._symbol(arm)], "shown": shown}

    def colour(self, arm: str) -> str:
        """Of its points."""
        return PALETTE[self._place(arm) % len(PALETTE)]

    def faint(self, arm: str) -> str:
        """Of its bands."""
        red, green, blue = (int(self.colour(arm)[i : i + 2], 16) for i in (1, 3, 5))
        return f"rgba({red}, {green}, {blue}, 0.18)"

    def visible(self, arm: str) -> bool | str:
        """Whether it is shown before anybody chooses."""
        return True if self._place(arm) < SHOWN_AT_FIRST else "legendonly"

    def _symbol(self, arm: str) -> str:
        return list(MARKS)[self._place(arm) % len(MARKS)]

    def _place(self, arm: str) -> int:
        return self.arms.index(arm)


def laid_out(figure: go.Figure, height: int) -> go.Figure:
    """A figure without a theme and a key of its own: the page has both.

    Args:
        figure: Changed in place.
        height: Of the plot and its margins, in pixels.

    Returns:
        The same figure.
    """
    margin = {"l": 52, "r": 12, "t": 10, "b": 46}
    figure.update_layout(
        template="none", height=height, margin=margin, font={"size": 13}, autosize=True, showlegend=False
    )
    figure.update_annotations(font={"size": 13})
    figure.update_xaxes(title_font={"size": 13}, title_standoff=4, automargin=True)
    figure.update_yaxes(title_font={"size": 13}, automargin=True)
    return figure
