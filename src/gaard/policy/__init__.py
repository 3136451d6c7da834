"""The language model as the method sees it: trunk, value head, sampling, the greedy branch."""
