"""The published honeypots on the pocket model: the author's temperatures and λ = 0, the pocket's KL and steps.

With his KL coefficients (1.5, 1.0) and 250 steps PPO itself finds little to hack here (31% and 26%, one seed;
`studies/published-pilot.yaml`): `capped_his_kl` and `uncapped_his_kl` have those too.
`gaard compare studies/published.yaml` and `studies/published-kl.yaml` run them.
"""

from dataclasses import replace

from gaard.lab.scenarios import POCKET, PUBLISHED, SCENARIOS, Scenario


def _published(name: str, *, as_he_ran_it: bool = False) -> Scenario:
    theirs = SCENARIOS[f"nietzsche-{name}"]()
    training = {**POCKET, "lam": PUBLISHED["lam"]}
    if not as_he_ran_it:
        return replace(SCENARIOS[name](), temperature=theirs.temperature, training=training, reach=None)
    training["max_steps"] = PUBLISHED["max_steps"]
    return replace(
        SCENARIOS[name](), temperature=theirs.temperature, kl_coef=theirs.kl_coef, training=training, reach=None
    )


capped = _published("capped")
uncapped = _published("uncapped")
capped_his_kl = _published("capped", as_he_ran_it=True)
uncapped_his_kl = _published("uncapped", as_he_ran_it=True)
