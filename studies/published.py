"""The published honeypots on the pocket model: the author's temperatures and λ = 0, the pocket's KL and steps.

With his KL coefficients (1.5, 1.0) and 250 steps PPO itself finds little to hack here (31% and 26%, one seed;
`studies/published-pilot.yaml`): `capped_his_kl` and `uncapped_his_kl` have those too.
`gaard compare studies/published.yaml` and `studies/published-kl.yaml` run them.
"""

from dataclasses import replace

from gaard.lab.scenarios import POCKET, PUBLISHED, SCENARIOS, Scenario


def _published(name: str) -> Scenario:
    training = {**POCKET, "lam": PUBLISHED["lam"]}
    return replace(SCENARIOS[name](), temperature=_theirs(name).temperature, training=training, reach=None)


def _with_his_kl(name: str) -> Scenario:
    ours = _published(name)
    return replace(ours, kl_coef=_theirs(name).kl_coef, training={**ours.training, "max_steps": PUBLISHED["max_steps"]})


def _theirs(name: str) -> Scenario:
    return SCENARIOS[f"nietzsche-{name}"]()


capped = _published("capped")
uncapped = _published("uncapped")
capped_his_kl = _with_his_kl("capped")
uncapped_his_kl = _with_his_kl("uncapped")
