"""``sharpness.json``: what was measured of a run's policies, kept measure by measure."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gaard.errors import ConfigError
from gaard.training.checkpoint import write_file
from gaard.training.difference import difference

FILE = "sharpness.json"


class Record:
    """The file of one run; a measure that is in it is not taken again.

    Args:
        folder: Of the run.
        settings: What every number in it depends on.
        overwrite: Whether numbers by other settings are forgotten.

    Raises:
        ConfigError: If there are such, and ``overwrite`` is off; or if the file is no JSON.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], overwrite: bool = False):
        self.path = folder / FILE
        found = {} if overwrite else read(folder)
        if found and (changed := difference(found.get("settings", {}), dict(settings))):
            raise ConfigError(
                f"{self.path} holds measures by other settings: give the same, or --overwrite to forget them. What "
                "differs:\n  " + "\n  ".join(changed)
            )
        self._content: dict[str, Any] = {"settings": dict(settings), "policies": found.get("policies", {})}

    def begin(self, step: int, weights: str) -> None:
        """Take up a policy; what was measured of other weights of that step is forgotten.

        Args:
            step: Its training step.
            weights: Their hash.
        """
        policies = self._content["policies"]
        if policies.get(str(step), {}).get("weights") != weights:
            policies[str(step)] = {"weights": weights}

    def has(self, step: int, *key: str) -> bool:
        """Whether a measure is there."""
        found = self._content["policies"].get(str(step), {})
        for part in key:
            found = found.get(part, {})
        return bool(found)

    def keep(self, step: int, measured: Any, *key: str) -> None:
        """Write a measure: the file is the old one or the new one, whole, at any moment.

        Args:
            step: Of the policy.
            measured: JSON-serialisable.
            *key: Where it stands among the policy's measures.
        """
        inner = self._content["policies"][str(step)]
        for part in key[:-1]:
            inner = inner.setdefault(part, {})
        inner[key[-1]] = measured
        write_file(self.path, json.dumps(self._content, indent=1) + "\n")


def read(folder: Path) -> dict[str, Any]:
    """What a run's file holds; nothing if there is none.

    Args:
        folder: Of the run.

    Returns:
        ``settings`` and ``policies``.

    Raises:
        ConfigError: If it is not what was written.
    """
    path = folder / FILE
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} is not readable JSON ({error}): delete it, or --overwrite") from error
    if not isinstance(found, dict) or not isinstance(found.get("policies"), dict):
        raise ConfigError(f"{path} is not what gaard sharpness writes: delete it, or --overwrite")
    return found
