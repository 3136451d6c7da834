"""Build the human reward: ``python scripts/pocket/build_reward.py``, some two minutes on 2 cores.

Writes ``src/gaard/assets/human_reward.safetensors`` and, beside it, how well it agrees with people.
"""

import json
from pathlib import Path

from human_reward import fit
from ratings import fetch, read, split
from rich.console import Console

ROOT = Path(__file__).resolve().parents[2]
ASSETS = ROOT / "src" / "gaard" / "assets"


def main() -> None:
    """Fetch, fit, judge, write."""
    console = Console(stderr=True)
    with console.status("fetching the rated sentences"):
        sentences = read(fetch(ROOT / ".cache" / "pocket"))
    training, held_out = split(sentences)
    with console.status(f"fitting {len(training)} sentences"):
        figures = fit(training, held_out, ASSETS)
    (ASSETS / "human_reward.json").write_text(json.dumps(figures, indent=2) + "\n")
    console.print_json(data=figures)


if __name__ == "__main__":
    main()
