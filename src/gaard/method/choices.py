"""The choices that equations know by name; apart from them, since a list of options should not wait for torch."""

from typing import Literal

Granularity = Literal["token", "minibatch"]
GreedyRatio = Literal["own", "sampled"]
GreedyClip = Literal["outside", "inside"]
ScaledTerms = Literal["surrogate", "objective"]
KLEstimator = Literal["exact", "k1", "k2", "k3"]
