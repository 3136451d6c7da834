"""Comparisons: arms, seeds, measures and intervals."""

from gaard.extras import need

need("train", __name__)
