"""The language model as the method sees it: trunk, value head, sampling, the greedy branch."""

from gaard.extras import need

need("train", __name__)
