"""What the runs of a study have in common, though each of them imports a user's files anew."""

from collections.abc import Mapping
from typing import Any

from gaard.errors import ConfigError
from gaard.lab.arms import WHOLE_METHOD
from gaard.lab.study import RunKey
from gaard.training.difference import difference
from gaard.training.identity import determining_facts

Known = dict[str, dict[str, Any]]


def check_agreement(known: Known, key: RunKey, record: Mapping[str, Any]) -> None:
    """Hold a run to the first one of its scenario and the first one of its arm.

    Args:
        known: What those had; what nobody had before is added.
        key: The run.
        record: As ``run.json`` holds it.

    Raises:
        ConfigError: If model, rewards, prompts or algorithm are not those of its scenario, or method or regularisers
            not those of its arm; the message shows the difference.
    """
    setup = {name: value for name, value in record["model_setup"].items() if name != "value_head"}  # its seed's
    functions = dict(record["rewards"].get("functions", {}))
    ensemble = functions.pop("ensemble", None)  # of the arms that train on one alone
    rewards = {**record["rewards"], "functions": functions}
    of_scenario = {**determining_facts(record), "model_setup": setup, "rewards": rewards}
    facts = {
        f"scenario {key.scenario!r}": of_scenario,
        f"arm {key.arm!r}": {name: record["config"][name] for name in WHOLE_METHOD},
    }
    if ensemble is not None:
        facts[f"ensemble of scenario {key.scenario!r}"] = {"rewards": {"functions": {"ensemble": ensemble}}}
    for what, own in facts.items():
        changed = difference(known.setdefault(what, own), own)
        if changed:
            raise ConfigError(
                f"{key} differs from the first run of the {what}, as if a file had been edited meanwhile: put the file "
                "back, or use another --out, or --overwrite. What differs:\n  " + "\n  ".join(changed)
            )
