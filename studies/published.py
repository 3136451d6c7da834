"""The published honeypots on the pocket model: the author's temperatures and λ = 0, the pocket's KL and steps.

With his KL coefficients (1.5, 1.0) and 250 steps PPO itself finds little to hack here (31% and 26%, one seed;
`studies/published-pilot.yaml`). `gaard compare studies/published.yaml` runs them.
"""

from dataclasses import replace

from gaard.lab.scenarios import POCKET, PUBLISHED, SCENARIOS, Scenario


def _published(name: str) -> Scenario:
    theirs = SCENARIOS[f"nietzsche-{name}"]()
    training = {**POCKET, "lam": PUBLISHED["lam"]}
    return replace(SCENARIOS[name](), temperature=theirs.temperature, training=training, reach=None)


capped = _published("capped")
uncapped = _published("uncapped")
