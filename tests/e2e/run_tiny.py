"""One tiny run as a process of its own, to be killed or spread: ``run_tiny.py FOLDER [OPTIONS AS JSON]``."""

import json
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tiny import tiny_trainer


def main() -> None:
    """Train, then leave the final weights beside the run's files."""
    folder, options = sys.argv[1], json.loads(sys.argv[2]) if len(sys.argv) > 2 else {}
    if "dtype" in options:
        options["dtype"] = getattr(torch, options["dtype"])
    trainer = tiny_trainer(folder, **options)
    trainer.train()
    trainer.save_model(Path(folder) / "model")


if __name__ == "__main__":
    main()
