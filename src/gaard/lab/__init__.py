"""Comparisons: arms, seeds, measures and intervals."""
