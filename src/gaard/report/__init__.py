"""Figures of runs, comparisons and of the method itself."""
