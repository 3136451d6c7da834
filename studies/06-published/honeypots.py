"""The published honeypots on the pocket model, with the published temperatures.

Each arm of the studies that use them states λ = 0, as published. The policy's learning rate is the pocket model's. So
are the KL coefficient and the 80 steps, except in the two scenarios whose names end in `_kl`.
"""

from dataclasses import replace
from typing import Any

from gaard.lab.scenarios import SCENARIOS, Scenario

PUBLISHED = {"capped": {"temperature": 0.6, "kl_coef": 1.5}, "uncapped": {"temperature": 0.8, "kl_coef": 1.0}}
STEPS = 250


def _published(mode: str) -> Scenario:
    return replace(SCENARIOS[mode](), temperature=PUBLISHED[mode]["temperature"], reach=None)


def _with_kl(mode: str) -> Scenario:
    ours = _published(mode)
    training: dict[str, Any] = {**ours.training, "max_steps": STEPS}
    return replace(ours, kl_coef=PUBLISHED[mode]["kl_coef"], training=training)


published_capped = _published("capped")
published_uncapped = _published("uncapped")
published_capped_kl = _with_kl("capped")
published_uncapped_kl = _with_kl("uncapped")
