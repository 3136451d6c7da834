"""``results.json`` and ``runs.parquet`` of a study, as its runs end."""

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

from gaard.lab.collection import collect, write_table
from gaard.lab.spec import RunSpec
from gaard.lab.study import RunKey, Study
from gaard.training.checkpoint import write_file

RESULTS, TABLE = "results.json", "runs.parquet"
PATIENCE = 9  # times as long as writing took passes before the next: of thousands of runs it takes long


@dataclass
class Summary:
    """The results as runs end, written anew unless that would take more than a tenth of the time.

    Attributes:
        study: What is run.
        specs: All its runs.
        folder: Where they are written.
        known: How many runs an earlier call left results of.
        results: The newest.
        due: When they are to be written again, by the monotonic clock.
    """

    study: Study
    specs: Mapping[RunKey, RunSpec]
    folder: Path
    known: int
    results: dict[str, Any] = field(default_factory=dict)
    due: float = 0.0

    def add(self, runs: Mapping[RunKey, Any]) -> None:
        """Write what these runs say together, at the latest when they are all.

        Args:
            runs: All that have ended, of :class:`gaard.lab.compare.Run`.
        """
        began = monotonic()
        if len(runs) < len(self.specs) and began < self.due:
            return
        self.results = collect([asdict(runs[key]) for key in self.specs if key in runs], self.study)
        # Taking up finished runs must not leave less than there was, should it be interrupted.
        if len(runs) >= min(self.known, len(self.specs)):
            write(self.results, self.folder)
        self.due = monotonic() + PATIENCE * (monotonic() - began)


def write(results: Mapping[str, Any], folder: Path) -> None:
    """The results as JSON, and the runs as a table, by the process that writes.

    Args:
        results: As :func:`gaard.lab.collection.collect` gives them.
        folder: The study's.
    """
    if is_first_process():
        write_file(folder / RESULTS, json.dumps(results, indent=2) + "\n")
        write_table(results["runs"], folder / TABLE)


def earlier_runs(folder: Path) -> list[RunKey]:
    """The runs that an earlier call left results of.

    Args:
        folder: The study's.

    Returns:
        Their keys; none where there are no results, or torn ones: they are written again from the runs themselves.
    """
    try:
        runs = json.loads((folder / RESULTS).read_text(encoding="utf-8"))["runs"]
        return [RunKey(str(run["scenario"]), str(run["arm"]), int(run["seed"])) for run in runs]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def no_longer_told(earlier: Sequence[RunKey], specs: Mapping[RunKey, RunSpec]) -> str:
    """What an earlier call's results had that this one's will not have.

    Args:
        earlier: The runs in the results that are there.
        specs: The runs of this call.

    Returns:
        A sentence; empty where these are among the runs of this call.
    """
    arms = {key.arm for key in specs}
    away = (key.arm for key in earlier if key not in specs)
    gone = Counter(f"{arm} in other scenarios or with other seeds" if arm in arms else arm for arm in away)
    if not gone:
        return ""
    runs = ", ".join(f"{number} of {arm}" for arm, number in gone.items())
    return (
        f"runs of an earlier command that the results and the page will no longer tell: {runs}. Their folders stay: "
        "name their arms, scenarios and seeds, too, and one table has all; the earlier command makes its own again"
    )


def is_first_process() -> bool:
    """Whether this is the one of several launched processes that writes and tells."""
    return os.environ.get("RANK", "0") == "0"  # PartialState would settle the device before a run can
